import { useLayoutEffect, useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Heartbeat } from "../../components/heartbeat.tsx";
import { Num, Share } from "../../components/number.tsx";
import { Status, shapeOf } from "../../components/status.tsx";
import { Table } from "../../components/table.tsx";
import { Stamp } from "../../components/time.tsx";
import { rem, useVirtual } from "../../components/virtual.ts";
import { api } from "../../lib/api.ts";
import { glance } from "../../lib/format.ts";
import { useBurst, useLiveEvent, useLoad, useMedia, useNow, useTopic, type Loaded } from "../../lib/hooks.ts";
import type { OutletMeterList, OutletMeterRow } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";

const FEW = 4;
/** What changes is read again at most so often. */
const AGAIN_MS = 500;
/** Shorter lists are drawn as a whole. */
const WHOLE = 60;
const SPARE = 8;
const ROW_REM = 2.125;
const CARD_REM = 4.75;
const HEAD_REM = 2;

/** "007", as the messages write it. */
export const three = (number: number): string => String(number).padStart(3, "0");

/** Reads again what changed, once for a burst of events. */
export function useOutletEvents(id: number | null, reload: () => void): void {
  useTopic("outlets");
  const again = useBurst(AGAIN_MS, reload);
  useLiveEvent<{ id: number }>("outlet", (event) => {
    if (id === null || event.id === id) again();
  });
}

export function useOutletMeters(): Loaded<OutletMeterList> {
  const loaded = useLoad("outlet-meters", api.outletMeters);
  useOutletEvents(null, loaded.reload);
  return loaded;
}

/** The first few in the fleet; a fleet without outlet meters has no such card. */
export function OutletMetersCard() {
  const { data } = useOutletMeters();
  if (data === null || data.rows.length === 0) return null;
  return (
    <Card
      id="outlets"
      title={t.outlets.title}
      class="outlets-card"
      testid="fleet-outlets"
      flush
      end={
        <a href="/outlet-meters" data-testid="fleet-outlets-all">
          {t.outlets.all(data.rows.length)}
        </a>
      }
    >
      <OutletMetersTable rows={data.rows.slice(0, FEW)} />
    </Card>
  );
}

function Watts({ watts }: { watts: number | null }) {
  if (watts === null) return <span class="t3">{t.outlets.noSection}</span>;
  const { text, unit } = glance(watts, "W");
  return <Num text={text} unit={unit} />;
}

function Heard({ row, now }: { row: OutletMeterRow; now: number }) {
  return <Stamp at={row.last_heard} now={now} none={<span class="t3">{t.outlets.never}</span>} />;
}

/** In place of rows that are out of view. */
function Gap({ px, card }: { px: number; card: boolean }) {
  const height = (element: HTMLElement | null): void => {
    if (element) element.style.height = `${px}px`;
  };
  if (px <= 0) return null;
  if (card) return <li class="gap" aria-hidden="true" ref={height} />;
  return (
    <tr class="gap" aria-hidden="true">
      <td colSpan={8} ref={height} />
    </tr>
  );
}

export function OutletMetersTable({ rows }: { rows: OutletMeterRow[] }) {
  const narrow = useMedia("(max-width: 899px)");
  return <OutletMetersList key={narrow ? "cards" : "table"} rows={rows} narrow={narrow} />;
}

function OutletMetersList({ rows: all, narrow }: { rows: OutletMeterRow[]; narrow: boolean }) {
  const now = useNow(5_000);
  const [rowPx, setRowPx] = useState(() => (narrow ? CARD_REM : ROW_REM) * rem());
  const headPx = narrow ? 0 : HEAD_REM * rem();
  const { ref, view } = useVirtual(all.length, rowPx, SPARE, headPx);
  const whole = all.length <= WHOLE;
  const [start, end] = whole ? [0, all.length] : [view.start, Math.min(view.end, all.length)];
  const rows = all.slice(start, end);
  // Fonts and widths decide how tall a row is.
  useLayoutEffect(() => {
    const row = ref.current?.querySelector("[data-testid=outlet-meter-row]");
    const px = row?.getBoundingClientRect().height ?? 0;
    if (!whole && px > 0 && Math.abs(px - rowPx) > 0.5) setRowPx(px);
  });
  const above = start * rowPx;
  const below = (all.length - end) * rowPx;
  if (narrow) {
    return (
      <div ref={ref}>
        <ul class="cards" data-testid="outlet-cards">
          <Gap px={above} card />
          {rows.map((row) => (
            <li key={row.id} data-testid="outlet-meter-row" data-id={row.id} data-state={row.state}>
              <a class="a" href={`/outlet-meters/${row.id}`}>
                {t.outlets.one(three(row.id))}
              </a>
              <span class="e">
                <Watts watts={row.power_w} />
              </span>
              <span class="b">
                <Status shape={shapeOf(row.state)}>{row.state_text}</Status>
              </span>
              <span class="e b">
                <Heard row={row} now={now} />
              </span>
              <span class="b cut-off">{row.place}</span>
            </li>
          ))}
          <Gap px={below} card />
        </ul>
      </div>
    );
  }
  const columns = t.outlets.columns;
  return (
    <div ref={ref}>
      <Table
        class="outlet-tbl"
        rowCount={whole ? undefined : all.length + 1}
        caption={t.outlets.caption}
        columns={[
          columns.state,
          columns.meter,
          columns.place,
          { text: columns.outlets, class: "r" },
          { text: columns.power, class: "r" },
          { text: columns.heard, class: "r" },
          { text: columns.days, class: "hide-m" },
          { text: columns.read, class: "r" },
        ]}
      >
        <Gap px={above} card={false} />
        {rows.map((row, index) => (
          <tr
            key={row.id}
            aria-rowindex={whole ? undefined : start + index + 2}
            data-testid="outlet-meter-row"
            data-id={row.id}
            data-state={row.state}
          >
            <td>
              <Status shape={shapeOf(row.state)}>{row.state_text}</Status>
            </td>
            <th scope="row">
              <a href={`/outlet-meters/${row.id}`}>{t.outlets.one(three(row.id))}</a>
            </th>
            <td class="clip">{row.place}</td>
            <td class="r">{row.outlets}</td>
            <td class="r">
              <Watts watts={row.power_w} />
            </td>
            <td class="r">
              <Heard row={row} now={now} />
            </td>
            <td class="hide-m">
              <Heartbeat days={row.days} />
            </td>
            <td class="r">
              <Share permille={row.read_permille} />
            </td>
          </tr>
        ))}
        <Gap px={below} card={false} />
      </Table>
    </div>
  );
}
