import { useEffect } from "preact/hooks";
import { Card } from "../components/card.tsx";
import { ChartCard } from "../components/chart/chart.tsx";
import type { PlotSpec } from "../components/chart/spec.ts";
import { FirstSteps } from "../components/first-steps.tsx";
import { NoValue, Num } from "../components/number.tsx";
import { Page } from "../components/page.tsx";
import { Load, Skeleton } from "../components/states.tsx";
import { Status, StatusShape, shapeOf } from "../components/status.tsx";
import { Stat, Strip } from "../components/strip.tsx";
import { Time } from "../components/time.tsx";
import { api } from "../lib/api.ts";
import { csv, percent, percentOfPermille } from "../lib/format.ts";
import { useLiveEvent, useLoad, useNow } from "../lib/hooks.ts";
import { preload } from "../lib/lazy.tsx";
import { live } from "../lib/live-client.ts";
import { siteZone } from "../lib/session.ts";
import { useStore } from "../lib/store.ts";
import { age, clockSeconds, DAY, exact, parse, shortDate, weekdayDate } from "../lib/time.ts";
import type { Fleet, FleetUpdate } from "../lib/types.ts";
import { t } from "../texts/en.ts";
import { MetersCard } from "./fleet/meters.tsx";
import { OutletMetersCard } from "./fleet/outlets.tsx";

export function FleetPage() {
  const loaded = useLoad("fleet", api.fleet);
  useLiveEvent<FleetUpdate>("fleet", (update) => {
    loaded.patch((old) => withUpdate(old, update));
    // What the update does not carry is read again when it may have changed.
    if (loaded.data && update.alarms_open !== loaded.data.alarms_open) loaded.reload();
  });
  const known = loaded.data !== null;
  useEffect(() => {
    if (!known) return;
    const timer = setTimeout(preload, 500);
    return () => clearTimeout(timer);
  }, [known]);
  const stale = useStore(live.view).state;
  const fleet = loaded.data;
  return (
    <Page
      title={t.fleet.title}
      crumbs={[{ text: t.fleet.title }]}
      lead={
        fleet ? (
          <>
            <span>
              <Num text={String(fleet.meters)} /> {t.fleet.meters(fleet.meters)}
            </span>
            <AsOf at={parse(fleet.as_of)} />
          </>
        ) : (
          <span class="skel w4" />
        )
      }
    >
      {fleet?.meters === 0 ? (
        <>
          <FirstSteps texts={t.fleet} icon="inbox" />
          <OutletMetersCard />
        </>
      ) : loaded.data === null && loaded.error ? (
        <Load of={loaded} what={t.fleet.what} card>
          {() => null}
        </Load>
      ) : (
        <>
          <Figures fleet={fleet} dim={stale === "stale" || stale === "offline"} />
          <div class="grid stretch">
            {fleet ? (
              <>
                <Success fleet={fleet} />
                <Needs fleet={fleet} />
              </>
            ) : (
              <>
                <Card id="succ" title={t.fleet.successTitle} class="c8" busy>
                  <div class="plot plot-150" />
                </Card>
                <Card id="need" title={t.fleet.needs} class="c4 first-n" busy>
                  <div class="col">
                    <Skeleton lines={3} />
                  </div>
                </Card>
              </>
            )}
          </div>
          <OutletMetersCard />
          <MetersCard feeders={fleet?.feeders ?? []} />
        </>
      )}
    </Page>
  );
}

/** The fleet with the figures of a live update; the last day of the chart is today. */
export function withUpdate(fleet: Fleet, update: FleetUpdate): Fleet {
  const days = [...fleet.days];
  const last = days.at(-1);
  if (last) days[days.length - 1] = { ...last, ...update.read_today };
  return { ...fleet, ...update, days };
}

function AsOf({ at }: { at: number | null }) {
  const now = useNow(1000);
  if (at === null) return null;
  return (
    <span>
      {t.fleet.asOf} <Time at={at} now={now} text={clockSeconds(at, siteZone())} />
    </span>
  );
}

function Figure({ value, unit }: { value: string | null; unit: string }) {
  return value === null ? <NoValue /> : <Num text={value} unit={unit} />;
}

function Figures({ fleet, dim }: { fleet: Fleet | null; dim: boolean }) {
  const f = t.fleet;
  if (fleet === null) {
    const names = [f.readToday, f.last30, f.late, f.alarms, f.queue, f.throughput];
    return <Strip testid="fleet-stats" names={names} />;
  }
  const { read_today: today, read_30d: month, meter_days_per_s: pace } = fleet;
  const eta = fleet.queue > 0 && pace !== null && pace > 0 ? (fleet.queue / pace) * 1000 : null;
  return (
    <Strip testid="fleet-stats" dim={dim}>
      <Stat
        name={f.readToday}
        sub={
          today.expected > 0 ? (
            <>
              <Num text={String(today.received)} /> {f.readTodaySub} <Num text={String(today.expected)} />
            </>
          ) : (
            f.nothingDue
          )
        }
      >
        <Figure value={percent(today.received, today.expected)} unit="%" />
      </Stat>
      <Stat name={f.last30} sub={month.expected > 0 ? f.underTarget(month.days_under_target) : f.nothingDue}>
        <Figure value={percent(month.received, month.expected)} unit="%" />
      </Stat>
      <Stat
        name={f.late}
        sub={fleet.silent > 0 ? <Status shape="off">{f.silentSub(fleet.silent)}</Status> : f.lateNone}
      >
        <Num text={String(fleet.late)} />
      </Stat>
      <Stat
        name={f.alarms}
        sub={
          fleet.alarms_critical > 0 ? (
            <Status shape="crit">{f.critical(fleet.alarms_critical)}</Status>
          ) : (
            f.alarmsNone
          )
        }
      >
        <Num text={String(fleet.alarms_open)} />
      </Stat>
      <Stat
        name={f.queue}
        sub={
          fleet.queue === 0
            ? f.queueEmpty
            : eta !== null && eta >= 1000
              ? f.queueEta(age(eta))
              : f.queueReadings
        }
      >
        <Num text={String(fleet.queue)} />
      </Stat>
      <Stat name={f.throughput} sub={pace === null ? f.throughputNone : f.throughputSub}>
        <Figure value={pace === null ? null : rate(pace)} unit="/s" />
      </Stat>
    </Strip>
  );
}

/** Two figures where there are few, so that a slow rate is not a zero. */
function rate(perSecond: number): string {
  if (perSecond >= 10 || perSecond === 0) return perSecond.toFixed(0);
  return perSecond >= 1 ? perSecond.toFixed(1) : perSecond < 0.01 ? "< 0.01" : perSecond.toFixed(2);
}

interface SuccessDay {
  from: number;
  permille: number | null;
  received: number;
  expected: number;
}

function daysOf(fleet: Fleet): SuccessDay[] {
  const zone = siteZone();
  return fleet.days.map((day) => {
    const [year = 1970, month = 1, date = 1] = day.date.split("-").map(Number);
    return {
      from: zone.startOfDate(year, month, date),
      permille: day.expected > 0 ? Math.floor((day.received * 1000) / day.expected) : null,
      received: day.received,
      expected: day.expected,
    };
  });
}

/** The lower end of the axis: the next even per cent below the lowest day, and zero when days are that bad. */
function lowEnd(days: SuccessDay[], target: number): number {
  const least = Math.min(target, ...days.map((day) => (day.permille === null ? 1000 : day.permille)));
  if (least < 800) return 0;
  return Math.min(96, Math.floor((least / 10 - 0.5) / 2) * 2);
}

function Success({ fleet }: { fleet: Fleet }) {
  const zone = siteZone();
  const days = daysOf(fleet);
  const target = fleet.target_permille;
  const last = days.length - 1;
  const under = days.filter((day, i) => i !== last && day.permille !== null && day.permille < target);
  const from = days[0]?.from ?? 0;
  const to = zone.startOfDay(days[last]?.from ?? 0, 1);
  const low = lowEnd(days, target);
  const spec: PlotSpec = {
    kind: "bars",
    times: days.map((day) => day.from),
    stepMs: DAY,
    series: [
      { values: days.map((day) => (day.permille === null ? null : day.permille / 10)), colour: "--line-2" },
    ],
    barColour: (i) => {
      if (i === last) return "--c1";
      const permille = days[i]?.permille ?? null;
      return permille !== null && permille < target ? "--warn" : null;
    },
    from,
    to,
    gaps: [],
    unit: "%",
    yText: (value) => String(value),
    yRange: [low, 100],
    threshold: { value: target / 10, text: t.fleet.target(percentOfPermille(target)) },
    endText: t.fleet.today,
    zone,
    gapTitle: "",
    gapText: () => "",
  };
  const say = (day: SuccessDay): string =>
    `${weekdayDate(day.from, zone)}, ${day.permille === null ? t.fleet.notDue : `${percentOfPermille(day.permille)} %`}`;
  const rest = days[last];
  return (
    <ChartCard
      id="succ"
      title={t.fleet.successTitle}
      class="c8"
      testid="fleet-success"
      spec={spec}
      height={150}
      summary={t.fleet.successSummary({
        days: days.length,
        target: percentOfPermille(target),
        under: under.map((day) => `${shortDate(day.from, zone)} ${percentOfPermille(day.permille ?? 0)}`),
        today: rest?.permille == null ? null : percentOfPermille(rest.permille),
      })}
      spoken={(at) => {
        const day = at.kind === "value" ? days[at.index] : undefined;
        return day ? say(day) : t.fleet.notDue;
      }}
      readout={(at) => {
        const day = at?.kind === "value" ? days[at.index] : at === null ? rest : undefined;
        if (!day) return <span>{t.fleet.notDue}</span>;
        return (
          <>
            <span>{weekdayDate(day.from, zone)}</span>
            {day.permille === null ? (
              <span>{t.fleet.notDue}</span>
            ) : (
              <>
                <span>
                  <b>{percentOfPermille(day.permille)} %</b>
                </span>
                <span>
                  <Num text={String(day.received)} /> {t.fleet.readTodaySub}{" "}
                  <Num text={String(day.expected)} />
                </span>
              </>
            )}
            <span class="t3 hide-n">{t.fleet.target(percentOfPermille(target))}</span>
            {low > 0 ? <span class="t3 axis-note">{t.fleet.axisFrom(low)}</span> : null}
          </>
        );
      }}
      table={{
        caption: t.fleet.successTitle,
        head: [
          { text: t.fleet.day },
          { text: t.fleet.share, right: true },
          { text: t.fleet.received, right: true },
          { text: t.fleet.expected, right: true },
        ],
        rows: () =>
          [...days].reverse().map((day) => [
            weekdayDate(day.from, zone),
            day.permille === null ? (
              <span class="t3">{t.fleet.notDue}</span>
            ) : day.permille < target ? (
              <Status shape="warn">
                <Num text={percentOfPermille(day.permille)} unit="%" />
              </Status>
            ) : (
              <Num text={percentOfPermille(day.permille)} unit="%" />
            ),
            <Num text={String(day.received)} />,
            <Num text={String(day.expected)} />,
          ]),
      }}
      file="gridward-read-success"
      csv={{
        text: () =>
          csv([
            ["date", "received", "expected", "share_permille"],
            ...fleet.days.map((day, i) => [day.date, day.received, day.expected, days[i]?.permille ?? null]),
          ]),
      }}
    />
  );
}

function Needs({ fleet }: { fleet: Fleet }) {
  const now = useNow(10_000);
  return (
    <Card
      id="need"
      title={t.fleet.needs}
      class="c4 first-n"
      flush
      end={fleet.needs.length > 0 ? <span class="t3">{fleet.needs.length}</span> : null}
    >
      {fleet.needs.length === 0 ? (
        <div class="calm" data-testid="fleet-needs-none">
          <Status shape="ok">{t.fleet.needsNone}</Status>
          <p class="t3">{t.fleet.needsNoneText}</p>
        </div>
      ) : (
        <ul class="list ruled" data-testid="fleet-needs">
          {fleet.needs.slice(0, 3).map((need) => {
            const since = parse(need.since);
            const shape = shapeOf(need.state);
            return (
              <li key={need.href + need.title}>
                <span class={`st st-${shape === "off" ? "crit" : shape}`}>
                  <StatusShape shape={shape} />
                </span>
                <div class="t">
                  <a href={need.href}>{need.title}</a>
                  <span>{need.detail}</span>
                </div>
                {since === null ? null : (
                  <span class="when">
                    <time dateTime={need.since} title={exact(since, siteZone())}>
                      {age(now - since)}
                    </time>
                  </span>
                )}
              </li>
            );
          })}
        </ul>
      )}
    </Card>
  );
}
