import { Card } from "../../components/card.tsx";
import { ChipSelect } from "../../components/controls.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Load, Notice, Skeleton } from "../../components/states.tsx";
import { Status, type Shape } from "../../components/status.tsx";
import { Table } from "../../components/table.tsx";
import { Time } from "../../components/time.tsx";
import { grouped } from "../../lib/format.ts";
import { useKey, useNow, type Loaded } from "../../lib/hooks.ts";
import { siteZone } from "../../lib/session.ts";
import { parse, when } from "../../lib/time.ts";
import type { CampaignMeter, CampaignMeters, CampaignStep } from "../../lib/types.ts";
import { campaigns as T } from "../../texts/campaigns.en.ts";
import { t } from "../../texts/en.ts";
import { reasonText } from "./parts.tsx";

/** Meters of one page of the table. */
export const PAGE = 100;

export interface MeterFilter {
  q: string;
  step: string;
  ring: string;
  offset: number;
}

const STEPS: CampaignStep[] = ["failed", "waiting", "receiving", "asked", "verified", "active"];

const SHAPES: Record<CampaignStep, Shape> = {
  waiting: "todo",
  receiving: "run",
  asked: "run",
  verified: "info",
  active: "ok",
  failed: "crit",
};

function State({ meter }: { meter: CampaignMeter }) {
  const broke = meter.step !== "failed" && meter.tries > 0;
  const shape = meter.reason === "unreachable" ? "off" : broke ? "warn" : SHAPES[meter.step];
  return (
    <Status shape={shape}>
      {meter.reason === null ? (T.steps[meter.step] ?? meter.step) : reasonText(meter.reason)}
    </Status>
  );
}

/** What is next with it, or what was done last. */
function Next({ meter, now }: { meter: CampaignMeter; now: number }) {
  const at = parse(meter.next_try);
  if (meter.busy) return <span class="t2">{T.busy}</span>;
  if (at !== null)
    return (
      <span class="t2">
        {T.brokeOff(meter.tries)}, <Time at={at} now={now} text={T.again(when(at, now, siteZone()))} />
      </span>
    );
  if (meter.told && meter.step !== "active") return <span class="t2">{T.told}</span>;
  return <NoValue />;
}

/** How far each meter is, a page at a time. */
export function MetersCard({
  loaded,
  filter,
  rings,
  onChange,
}: {
  loaded: Loaded<CampaignMeters>;
  filter: MeterFilter;
  rings: number;
  onChange: (changes: Record<string, string>) => void;
}) {
  const now = useNow(5_000);
  const list = loaded.data;
  const total = list?.total ?? 0;
  const go = (offset: number): void => onChange({ offset: offset <= 0 ? "" : String(offset) });
  const earlier = filter.offset > 0;
  const later = filter.offset + PAGE < total;
  useKey("k", () => (earlier ? go(filter.offset - PAGE) : undefined));
  useKey("j", () => (later ? go(filter.offset + PAGE) : undefined));
  const filtered = filter.q !== "" || filter.step !== "" || filter.ring !== "";
  const ringOptions = Array.from({ length: rings }, (_, i) => ({ value: String(i), text: String(i + 1) }));
  return (
    <Card
      id="meters"
      title={T.meters}
      class="campaign-meters"
      testid="campaign-meters"
      flush
      footer={
        total > 0 ? (
          <>
            <span data-testid="campaign-page">
              {T.page(
                grouped(String(Math.min(filter.offset + 1, total))),
                grouped(String(Math.min(filter.offset + PAGE, total))),
                grouped(String(total)),
              )}
            </span>
            {earlier || later ? (
              <span class="end">
                <button
                  type="button"
                  class="btn sm"
                  disabled={!earlier}
                  onClick={() => go(filter.offset - PAGE)}
                  data-testid="campaign-earlier"
                >
                  {T.earlier}
                </button>
                <button
                  type="button"
                  class="btn sm"
                  disabled={!later}
                  onClick={() => go(filter.offset + PAGE)}
                  data-testid="campaign-later"
                >
                  {T.later}
                </button>
              </span>
            ) : null}
          </>
        ) : undefined
      }
    >
      <div class="toolbar">
        <input
          class="input filter"
          type="search"
          aria-label={T.filter}
          placeholder={T.filter}
          value={filter.q}
          maxLength={100}
          onInput={(event) => onChange({ q: event.currentTarget.value, offset: "" })}
          data-testid="campaign-filter"
        />
        <ChipSelect
          label={T.step}
          value={filter.step}
          options={[
            { value: "", text: T.any },
            ...STEPS.map((step) => ({ value: step, text: T.steps[step] ?? step })),
          ]}
          onChange={(step) => onChange({ step, offset: "" })}
          testid="campaign-step"
        />
        <ChipSelect
          label={T.ring}
          value={filter.ring}
          options={[{ value: "", text: T.any }, ...ringOptions]}
          onChange={(ring) => onChange({ ring, offset: "" })}
          testid="campaign-of-ring"
        />
      </div>
      <Load
        of={loaded}
        what={T.whatMeters}
        shape={
          <div class="pad">
            <Skeleton lines={6} />
          </div>
        }
      >
        {(data) =>
          data.rows.length === 0 ? (
            <Notice
              kind="nomatch"
              icon="search-x"
              title={T.noMeter}
              text={T.noMeterText}
              actions={
                filtered || filter.offset > 0 ? (
                  <button
                    type="button"
                    class="btn"
                    onClick={() => onChange({ q: "", step: "", ring: "", offset: "" })}
                    data-testid="campaign-clear"
                  >
                    {t.state.clear}
                  </button>
                ) : undefined
              }
            />
          ) : (
            <Rows rows={data.rows} now={now} />
          )
        }
      </Load>
    </Card>
  );
}

function Rows({ rows, now }: { rows: CampaignMeter[]; now: number }) {
  const c = T.meterColumns;
  return (
    <>
      <Table
        class="campaign-tbl only-wide"
        testid="campaign-meter-table"
        caption={T.metersCaption}
        columns={[
          c.state,
          c.meter,
          { text: c.place, class: "hide-m" },
          { text: c.ring, class: "r" },
          { text: c.asked, class: "r" },
          c.next,
        ]}
      >
        {rows.map((meter) => (
          <tr key={meter.id} data-testid="campaign-meter" data-id={meter.id} data-state={meter.step}>
            <td>
              <State meter={meter} />
            </td>
            <th scope="row">
              <a href={`/meters/${meter.id}`}>{meter.name}</a>
            </th>
            <td class="t2 clip hide-m">{meter.place === "" ? <NoValue /> : meter.place}</td>
            <td class="r">
              <Num text={String(meter.ring + 1)} />
            </td>
            <td class="r">
              <Num text={String(meter.bitmaps[0] + meter.bitmaps[1])} />
            </td>
            <td class="wr">
              <Next meter={meter} now={now} />
            </td>
          </tr>
        ))}
      </Table>
      <ul class="cards only-narrow" data-testid="campaign-meter-cards">
        {rows.map((meter) => (
          <li key={meter.id} data-testid="campaign-meter" data-id={meter.id} data-state={meter.step}>
            <a class="a cut-off" href={`/meters/${meter.id}`}>
              {meter.name}
            </a>
            <span class="e t2">{T.ringName(meter.ring + 1)}</span>
            <span class="b">
              <State meter={meter} />
            </span>
            <span class="b e cut-off">
              <Next meter={meter} now={now} />
            </span>
            <span class="b cut-off">{meter.place}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
