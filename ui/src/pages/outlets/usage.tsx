import { Card } from "../../components/card.tsx";
import { ChartCard } from "../../components/chart/chart.tsx";
import type { PlotSpec } from "../../components/chart/spec.ts";
import { ChipSelect } from "../../components/controls.tsx";
import { Icon } from "../../components/icons.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Load, Notice } from "../../components/states.tsx";
import { Status } from "../../components/status.tsx";
import { useAct } from "../../lib/act.ts";
import { api } from "../../lib/api.ts";
import { csv, glance, kwh, minus } from "../../lib/format.ts";
import type { Span } from "../../lib/gaps.ts";
import { useBurst, useLoad } from "../../lib/hooks.ts";
import { useQuery } from "../../lib/router.ts";
import { siteZone } from "../../lib/session.ts";
import { DAY, interval, parse, weekdayDate } from "../../lib/time.ts";
import type { OutletMeter, OutletSection, OutletUsage } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";
import { toast } from "../../components/toasts.tsx";
import { nameOf, SECTION_MS } from "./parts.tsx";

/** The day before or after one as 2026-11-21. */
export function dayBeside(date: string, days: number): string {
  const at = Date.parse(`${date}T00:00:00Z`);
  return new Date(at + days * DAY).toISOString().slice(0, 10);
}

/** So long after sections were asked for, the day is read again. */
const ASKED_MS = 1_500;

interface Hole extends Span {
  first: number;
  last: number;
}

/** Runs of sections that are missing. */
export function holesOf(sections: OutletSection[]): Hole[] {
  const holes: Hole[] = [];
  for (const section of sections) {
    if (section.state !== "missing") continue;
    const from = parse(section.t) ?? 0;
    const last = holes.at(-1);
    if (last && last.last + 1 === section.number) {
      last.last = section.number;
      last.to = from + SECTION_MS;
      last.intervals += 1;
    } else {
      holes.push({
        from,
        to: from + SECTION_MS,
        intervals: 1,
        first: section.number,
        last: section.number,
      });
    }
  }
  return holes;
}

/** One outlet's day in its 144 sections. Day and outlet are in the address. */
export function UsageCard({ meter }: { meter: OutletMeter }) {
  const [search, change] = useQuery();
  const wanted = Number(search.get("outlet"));
  const outlet = meter.outlets.find((one) => one.number === wanted) ?? meter.outlets[0];
  const asked = search.get("date") ?? "";
  const date = /^\d{4}-\d{2}-\d{2}$/.test(asked) && asked <= meter.today ? asked : meter.today;
  const number = outlet?.number ?? 0;
  const loaded = useLoad(`outlet-usage/${meter.id}/${number}/${date}/${meter.missing}`, (signal) =>
    api.outletUsage(meter.id, number, date, signal),
  );
  const again = useBurst(ASKED_MS, loaded.reload);
  if (!outlet) return null;
  const go = (days: number): void => {
    const next = dayBeside(date, days);
    change({ date: next >= meter.today ? "" : next });
  };
  const controls = (
    <div class="toolbar usage-bar">
      <ChipSelect
        label={t.outlets.pick}
        value={String(number)}
        options={meter.outlets.map((one) => ({ value: String(one.number), text: nameOf(one) }))}
        onChange={(value) => change({ outlet: value })}
        plain
        testid="usage-outlet"
      />
      <span class="row">
        <button
          type="button"
          class="btn icon sm"
          aria-label={t.outlets.dayBefore}
          onClick={() => go(-1)}
          data-testid="usage-before"
        >
          <Icon name="chevron-left" />
        </button>
        <span data-testid="usage-day">{weekdayDate(Date.parse(`${date}T12:00:00Z`), siteZone())}</span>
        <button
          type="button"
          class="btn icon sm"
          aria-label={t.outlets.dayAfter}
          onClick={() => go(1)}
          disabled={date >= meter.today}
          data-testid="usage-after"
        >
          <Icon name="chevron-right" />
        </button>
      </span>
    </div>
  );
  if (loaded.data === null) {
    return (
      <Card id="usage" title={t.outlets.usage} testid="outlet-usage" busy={loaded.error === null}>
        {controls}
        <Load of={loaded} what={t.outlets.whatUsage} shape={<div class="plot plot-240" />}>
          {() => null}
        </Load>
      </Card>
    );
  }
  return (
    <Drawn meter={meter} name={nameOf(outlet)} usage={loaded.data} controls={controls} onAsked={again} />
  );
}

function Drawn({
  meter,
  name,
  usage,
  controls,
  onAsked,
}: {
  meter: OutletMeter;
  name: string;
  usage: OutletUsage;
  controls: preact.JSX.Element;
  onAsked: () => void;
}) {
  const zone = siteZone();
  const from = parse(usage.from) ?? 0;
  const day = weekdayDate(Date.parse(`${usage.date}T12:00:00Z`), zone);
  const { sections } = usage;
  const at = (section: OutletSection): number => parse(section.t) ?? 0;
  const span = (section: OutletSection): string => interval(at(section), at(section) + SECTION_MS, zone);
  const holes = holesOf(sections);
  const drawn = sections.filter((one) => one.state === "read" || one.state === "missing");
  const due = usage.received + usage.missing;
  if (drawn.length === 0) {
    return (
      <Card id="usage" title={t.outlets.usage} testid="outlet-usage">
        {controls}
        <Notice kind="empty" icon="inbox" title={t.outlets.emptyDay} text={t.outlets.emptyDayText} />
      </Card>
    );
  }
  const spec: PlotSpec = {
    kind: "bars",
    times: drawn.map(at),
    stepMs: SECTION_MS,
    series: [{ values: drawn.map((one) => one.watts), colour: "--c1" }],
    from,
    to: from + DAY,
    gaps: holes,
    unit: "W",
    yText: (value, digits) => (value === 0 ? "0" : minus(value.toFixed(digits))),
    zone,
    gapTitle: t.outlets.noData,
    gapText: (n) => t.outlets.sections(n),
  };
  const say = (one: OutletSection): string => {
    if (one.watts === null) return `${span(one)}, ${word(one)}`;
    const power = glance(one.watts, "W");
    return `${span(one)}, ${power.text} ${power.unit}, ${amperes(one)} A, ${one.volts} V`;
  };
  const latest = [...drawn].reverse().find((one) => one.watts !== null);
  return (
    <ChartCard
      id="usage"
      title={t.outlets.usage}
      testid="outlet-usage"
      aside={<span class="t3 hide-n">{t.outlets.ofDay(usage.received, due)}</span>}
      lead={controls}
      spec={spec}
      height={240}
      summary={t.outlets.usageSummary({
        name,
        day,
        have: usage.received,
        gaps: holes.map((hole) => interval(hole.from, hole.to, zone)),
      })}
      spoken={(place) => {
        if (place.kind === "gap") {
          return `${interval(place.span.from, place.span.to, zone)}, ${t.meter.noDataWord}`;
        }
        const one = place.kind === "value" ? drawn[place.index] : undefined;
        return one ? say(one) : t.outlets.notDue;
      }}
      readout={(place) => {
        if (place?.kind === "gap") {
          return (
            <>
              <span>{interval(place.span.from, place.span.to, zone)}</span>
              <Status shape="miss">{t.meter.noDataWord}</Status>
              <span>{t.outlets.sections(place.span.intervals)}</span>
            </>
          );
        }
        const one = place === null ? latest : place.kind === "value" ? drawn[place.index] : undefined;
        if (!one || one.watts === null) {
          return <span>{place === null ? t.meter.noDataWord : t.outlets.notDue}</span>;
        }
        const power = glance(one.watts, "W");
        return (
          <>
            <span>{span(one)}</span>
            <span>
              <b>
                <Num text={power.text} unit={power.unit} />
              </b>{" "}
              {t.outlets.mean}
            </span>
            <span>
              <Num text={amperes(one)} unit="A" />
            </span>
            <span class="hide-n">
              <Num text={String(one.volts ?? 0)} unit="V" />
            </span>
          </>
        );
      }}
      table={{
        caption: `${t.outlets.usage}, ${name}, ${day}`,
        head: [
          { text: t.meter.interval },
          { text: t.outlets.power, right: true },
          { text: t.outlets.current, right: true, narrow: false },
        ],
        rows: () =>
          [...drawn]
            .reverse()
            .map((one) => [
              span(one),
              one.watts === null ? (
                <Status shape="miss">{t.meter.noDataWord}</Status>
              ) : (
                <Num text={String(one.watts)} unit="W" />
              ),
              one.milliamperes === null ? <NoValue /> : <Num text={amperes(one)} unit="A" />,
            ]),
      }}
      footer={<UsageFoot meter={meter} usage={usage} holes={holes} onAsked={onAsked} />}
      subject={`${t.outlets.one(String(meter.id))}, ${name}`}
      file={`gridward-outlet-${meter.id}-${usage.outlet}-${usage.date}`}
      csv={{
        text: () =>
          csv([
            ["section", "time", "state", "volts", "milliamperes", "watts"],
            ...sections.map((one) => [one.number, one.t, one.state, one.volts, one.milliamperes, one.watts]),
          ]),
      }}
    />
  );
}

const amperes = (one: OutletSection): string => ((one.milliamperes ?? 0) / 1000).toFixed(2);

const word = (one: OutletSection): string =>
  one.state === "before" ? t.outlets.before : one.state === "not_due" ? t.outlets.notDue : t.meter.noDataWord;

const SHOWN = 3;

function UsageFoot({
  meter,
  usage,
  holes,
  onAsked,
}: {
  meter: OutletMeter;
  usage: OutletUsage;
  holes: Hole[];
  onAsked: () => void;
}) {
  const zone = siteZone();
  const { busy, refused, run } = useAct();
  const ask = (first: number, last: number): Promise<void> =>
    run(async () => {
      await api.askSections(meter.id, usage.outlet, usage.date, first, last);
      toast(t.outlets.asked);
      onAsked();
    });
  const first = holes[0];
  const last = holes.at(-1);
  return (
    <div class="usage-foot">
      <ul class="gap-lines" data-testid="usage-gaps">
        {usage.energy_wh === null ? null : (
          <li>
            <Num text={kwh(usage.energy_wh)} unit="kWh" /> <span class="t3">{t.outlets.energy}</span>
          </li>
        )}
        {holes.slice(0, SHOWN).map((hole) => (
          <li key={hole.first}>
            <Status shape="miss">
              {t.outlets.missingSpan(interval(hole.from, hole.to, zone), hole.intervals)}
            </Status>
          </li>
        ))}
        {holes.length > SHOWN ? <li class="t3">{t.outlets.moreSpans(holes.length - SHOWN)}</li> : null}
        {refused === null ? null : (
          <li role="alert" class="err">
            <Status shape="crit">{refused}</Status>
          </li>
        )}
      </ul>
      <button
        type="button"
        class="btn sm"
        disabled={busy || !meter.connected}
        onClick={() => void (first && last ? ask(first.first, last.last) : ask(1, 144))}
        data-testid="usage-ask"
      >
        <Icon name="refresh-cw" />
        {first && last ? t.outlets.ask(last.last - first.first + 1) : t.outlets.askDay}
      </button>
      {meter.connected ? null : <span class="t3">{t.outlets.notNow}</span>}
    </div>
  );
}
