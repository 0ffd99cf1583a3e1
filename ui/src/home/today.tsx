import { useMemo } from "preact/hooks";
import { Card } from "../components/card.tsx";
import { Chart, Twin, useTwin } from "../components/chart/chart.tsx";
import type { PlotSpec } from "../components/chart/spec.ts";
import { NoValue, Num } from "../components/number.tsx";
import { minus } from "../lib/format.ts";
import { clock, HOUR, MINUTE, parse, weekdayDate, type Zone } from "../lib/time.ts";
import { t } from "../texts/home.en.ts";
import { compared, dayHours, energy, sinceWords, type DayHours } from "./model.ts";
import { TwinButton, useHeights } from "./parts.tsx";
import type { History, HomeState } from "./types.ts";

function specOf(day: DayHours, height: number, zone: Zone): PlotSpec {
  return {
    kind: "bars",
    times: day.times,
    stepMs: HOUR,
    series: [
      { values: day.used, colour: "--c1" },
      ...(day.given.some((value) => value !== null) ? [{ values: day.given, colour: "--c3" as const }] : []),
    ],
    marks: day.yesterday,
    from: day.from,
    to: day.to,
    gaps: day.gaps,
    lines: height > 200 ? 6 : 4,
    unit: "kWh",
    yText: (value, digits) => (value === 0 ? "0" : minus(value.toFixed(digits))),
    zone,
    gapTitle: "",
    gapText: () => "",
  };
}

/** A total that ends so long ago is marked as old. */
const OLD_MS = 10 * MINUTE;

/** Energy of today by the hour, against yesterday. */
export function TodayCard({
  state,
  hours,
  failed,
  now: present,
  zone,
}: {
  state: HomeState;
  hours: History | null;
  failed: boolean;
  now: number;
  zone: Zone;
}) {
  // What was known last is about the day on which it was told.
  const now = Math.min(present, parse(state.now) ?? present);
  const isToday = zone.startOfDay(now) === zone.startOfDay(present);
  const today = state.today;
  const end = parse(today?.to);
  const used = today?.delivered_wh ?? null;
  const by = state.yesterday?.delivered_by_now_wh ?? null;
  const given = today?.received_wh ?? 0;
  const since = parse(today?.from);
  const partial = today !== null && !today.complete && since !== null && since > zone.startOfDay(now);
  const difference = used !== null && by !== null && !partial ? compared(used, by) : null;
  return (
    <Card
      id="to"
      title={isToday ? t.today.title : weekdayDate(now, zone)}
      class="todaycard"
      testid="home-today"
    >
      <p class="bigger">
        {used === null ? (
          <span class="none">{t.today.none}</span>
        ) : (
          <Num text={minus(energy(used))} unit="kWh" />
        )}
      </p>
      <p class="say2">
        {difference
          ? (isToday ? t.today.compared : t.today.comparedThen)[difference.than](difference.text)
          : partial && since !== null
            ? t.today.since(clock(since, zone))
            : null}
        {end !== null && present - end >= OLD_MS ? (
          <span class="block" data-testid="home-today-age">
            {t.today.asOf(sinceWords(end, present, zone))}
          </span>
        ) : null}
        {given > 0 ? <span class="block">{t.today.given(energy(given))}</span> : null}
      </p>
      {hours !== null ? (
        <Hours history={hours} isToday={isToday} now={now} zone={zone} />
      ) : (
        <div class="plot plot-150 hours-wait" aria-busy={failed ? undefined : "true"}>
          {failed ? <p class="t3">{t.today.failed}</p> : <span class="vh">{t.start.loading}</span>}
        </div>
      )}
    </Card>
  );
}

function Hours({
  history,
  isToday,
  now,
  zone,
}: {
  history: History;
  isToday: boolean;
  now: number;
  zone: Zone;
}) {
  const [shown, setShown] = useTwin();
  const height = useHeights().today;
  // The present moves each second; what an hour is drawn from does not.
  const minute = Math.floor(now / MINUTE);
  const day = useMemo(() => dayHours(history, now, zone), [history, minute, zone]);
  const spec: PlotSpec = useMemo(() => specOf(day, height, zone), [day, height, zone]);
  const hasGiven = day.given.some((value) => value !== null);
  if (day.used.every((value) => value === null) && day.yesterday.every((value) => value === null))
    return <p class="small hours">{t.today.empty}</p>;
  const hasYesterday = day.yesterday.some((value) => value !== null);
  const hour = (at: number): string => `${clock(at, zone)}–${clock(at + HOUR, zone)}`;
  const kwh = (value: number): string => energy(value * 1000);
  const words = (i: number): string[] => {
    const at = day.times[i] ?? 0;
    const used = day.used[i] ?? null;
    const given = day.given[i] ?? null;
    const then = day.yesterday[i] ?? null;
    const missing = day.gaps.some((gap) => at >= gap.from && at < gap.to);
    return [
      used !== null
        ? `${kwh(used)} kWh${at + HOUR > now ? ` ${t.today.soFar}` : ""}`
        : missing
          ? t.today.noReadings
          : t.today.toCome,
      ...(given === null ? [] : [`${kwh(-given)} kWh ${t.now.toGrid}`]),
      ...(then === null ? [] : [t.today.yesterdayWas(kwh(then))]),
    ];
  };
  const index = (at: { kind: string; index?: number; span?: { from: number } }): number =>
    at.kind === "value" ? (at.index ?? 0) : -1;
  return (
    <div class="hours">
      {shown === "chart" ? (
        <>
          <Chart
            testid="home-hours"
            spec={spec}
            height={height}
            summary={t.today.summary(
              day.gaps.map((gap) => t.now.gap(clock(gap.from, zone), clock(gap.to, zone))),
            )}
            readout={(place) => {
              if (place === null) return null;
              if (place.kind === "gap")
                return (
                  <>
                    <span>{`${clock(place.span.from, zone)}–${clock(place.span.to, zone)}`}</span>
                    <b>{t.today.noReadings}</b>
                  </>
                );
              const i = index(place);
              if (i < 0) return <span>{t.today.toCome}</span>;
              const [first, ...rest] = words(i);
              return (
                <>
                  <span>{hour(day.times[i] ?? 0)}</span>
                  <b>{first}</b>
                  {rest.map((text) => (
                    <span key={text}>{text}</span>
                  ))}
                </>
              );
            }}
            spoken={(place) => {
              if (place.kind === "gap") return t.today.noReadings;
              const i = index(place);
              return i < 0 ? t.today.toCome : [hour(day.times[i] ?? 0), ...words(i)].join(", ");
            }}
          />
          <ul class="legend">
            <li>
              <span class="swatch c1" />
              {isToday ? t.today.legend.today : t.today.legend.thatDay}
            </li>
            {hasGiven ? (
              <li>
                <span class="swatch c3" />
                {t.today.legend.given}
              </li>
            ) : null}
            {hasYesterday ? (
              <li>
                <span class="swatch mark" />
                {isToday ? t.today.legend.yesterday : t.today.legend.dayBefore}
              </li>
            ) : null}
            {day.gaps.length > 0 ? (
              <li>
                <span class="swatch gap" />
                {t.today.legend.gap}
              </li>
            ) : null}
          </ul>
        </>
      ) : (
        <Twin
          testid="home-hours"
          table={{
            caption: t.today.chart,
            head: [
              { text: t.today.hour },
              { text: t.today.used, right: true },
              ...(hasGiven ? [{ text: t.today.toGrid, right: true }] : []),
              { text: t.today.yesterday, right: true },
            ],
            rows: () =>
              day.times.map((at, i) => {
                const used = day.used[i] ?? null;
                const given = day.given[i] ?? null;
                const then = day.yesterday[i] ?? null;
                return [
                  hour(at),
                  used === null ? (
                    <span class="t3">{at > now ? t.today.toCome : t.today.noReadings}</span>
                  ) : (
                    <Num text={kwh(used)} unit="kWh" />
                  ),
                  ...(hasGiven ? [given === null ? <NoValue /> : <Num text={kwh(-given)} unit="kWh" />] : []),
                  then === null ? <NoValue /> : <Num text={kwh(then)} unit="kWh" />,
                ];
              }),
          }}
        />
      )}
      <TwinButton shown={shown} setShown={setShown} what={t.today.chart} testid="home-hours-view" />
    </div>
  );
}
