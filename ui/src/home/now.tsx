import { Chart, Twin, useTwin } from "../components/chart/chart.tsx";
import { powerLine } from "../components/chart/power.ts";
import type { PlotSpec } from "../components/chart/spec.ts";
import { Icon } from "../components/icons.tsx";
import { Num } from "../components/number.tsx";
import { glance, minus } from "../lib/format.ts";
import { breakWherever, silences } from "../lib/gaps.ts";
import { age, clock, clockSeconds, DAY, parse, type Zone } from "../lib/time.ts";
import { t } from "../texts/home.en.ts";
import { GRAPH_MS, sinceWords, untilWords, watts, type NowView, type Sample } from "./model.ts";
import type { Extreme, HomeState } from "./types.ts";
import { TwinButton, useHeights } from "./parts.tsx";

interface Props {
  state: HomeState | null;
  samples: Sample[];
  view: NowView;
  periodMs: number;
  currency: string | null;
  now: number;
  zone: Zone;
}

/** The one big number, what it costs, and the last ten minutes. */
export function NowCard(props: Props) {
  const { state, samples, view, currency, now, zone } = props;
  const last = samples.at(-1) ?? null;
  const isLive = view.kind === "live";
  // What was known on another day says nothing of today.
  const told = parse(state?.now);
  const facts = told !== null && zone.startOfDay(told) === zone.startOfDay(now);
  return (
    <section
      class="card nowcard"
      aria-labelledby="h-now"
      data-testid="home-now"
      data-state={view.kind}
      aria-busy={state === null ? "true" : undefined}
    >
      <div class={isLive ? "now" : "now stale"}>
        <div class="row wrap">
          <h1 id="h-now">{view.kind === "old" ? t.now.oldTitle : t.now.title}</h1>
          <span class="grow" />
          <PriceChip state={state} now={now} zone={zone} />
        </div>
        <p class={last === null ? "hero no-power" : "hero"} data-testid="home-power">
          {last === null && state === null ? (
            <span class="skel hero-wait" />
          ) : last === null ? (
            <span class="none">{state?.meter.last ? t.now.unknown : t.now.none}</span>
          ) : (
            <Hero w={last.w} />
          )}
        </p>
        <p class="say" data-testid="home-say">
          {last === null
            ? null
            : !isLive
              ? now - last.seen < DAY
                ? t.now.from(clock(last.seen, zone), age(now - last.seen))
                : t.now.fromDate(sinceWords(last.seen, now, zone))
              : last.w < 0
                ? t.now.giving
                : last.costPerHour === null || currency === null
                  ? null
                  : t.now.cost(last.costPerHour, currency)}
        </p>
        {facts && (state?.lowest_today || state?.highest_today) ? (
          <p class="facts">
            <Fact name={t.now.lowest} extreme={state.lowest_today} zone={zone} />
            <Fact name={t.now.highest} extreme={state.highest_today} zone={zone} />
          </p>
        ) : null}
      </div>
      {state === null && last === null ? null : view.kind === "never" && !state?.meter.last ? (
        <div class="first" data-testid="state-empty">
          <p class="t2">{t.now.firstText}</p>
        </div>
      ) : (
        <Graph {...props} />
      )}
    </section>
  );
}

function Hero({ w }: { w: number }) {
  const { text, unit } = glance(w, "W");
  return (
    <>
      {text}
      <span class="u">{unit}</span>
    </>
  );
}

function Fact({ name, extreme, zone }: { name: string; extreme: Extreme | null; zone: Zone }) {
  const at = parse(extreme?.at);
  if (extreme === null || at === null) return null;
  return (
    <span>
      {name} <b class="n">{watts(extreme.w)}</b> {t.now.at(clock(at, zone))}
    </span>
  );
}

function PriceChip({ state, now, zone }: { state: HomeState | null; now: number; zone: Zone }) {
  const price = state?.price;
  if (!price) return null;
  const until = parse(price.until);
  // A price that ended while nobody answered is not the one that holds now.
  if (until !== null && until <= now) return null;
  const dark = /night|low|off|nacht|nuit|notte/i.test(price.name);
  const text = until === null ? null : untilWords(until, now, zone);
  return (
    <span class="tchip" data-testid="home-price">
      <Icon name={dark ? "moon" : "sun"} />
      {t.now.price(price.name, text)}
    </span>
  );
}

function Graph({ samples, view: state, periodMs, now, zone }: Props) {
  const height = useHeights().now;
  const [shown, setShown] = useTwin();
  const last = samples.at(-1) ?? null;
  // The axis runs on the clock that stamps the readings, which may differ from that of the gateway.
  const end = last === null ? now : now + (last.at - last.seen);
  const from = end - GRAPH_MS;
  const most = 2.5 * periodMs;
  const view = samples.filter((one) => one.at >= from && one.at <= end);
  const before = samples.findLast((one) => one.at < from);
  const drawn = before ? [before, ...view] : view;
  const broken = breakWherever(
    drawn.map((one) => one.at),
    drawn.map((one) => one.w),
    most,
  );
  const values = view.map((one) => one.w);
  // A meter that was heard before, and not in all this time, has one gap.
  const times = drawn.length === 0 ? [from] : drawn.map((one) => one.at);
  const gaps = silences(times, end, most, periodMs).map((gap) => ({
    ...gap,
    from: Math.max(gap.from, from),
  }));
  const spec: PlotSpec = {
    ...powerLine(broken.times, broken.values, values),
    stepMs: periodMs,
    from,
    to: end,
    gaps,
    lines: height > 200 ? 6 : 4,
    endText: t.now.axisNow,
    endDot: state.kind === "live",
    zone,
    gapTitle: t.now.noData,
    gapText: () => "",
  };
  const summary =
    values.length === 0
      ? t.now.summaryNone
      : t.now.summary({
          low: watts(Math.min(...values)),
          high: watts(Math.max(...values)),
          gaps: gaps.map((gap) => t.now.gap(clockSeconds(gap.from, zone), clockSeconds(gap.to, zone))),
        });
  const words = (one: Sample): string => `${watts(one.w)}${one.w < 0 ? ` ${t.now.toGrid}` : ""}`;
  const at = (index: number): Sample | undefined =>
    view.find((one) => one.at === broken.times[index]) ?? undefined;
  return (
    <div class="gr" data-testid="home-graph">
      {shown === "chart" ? (
        <Chart
          testid="home-live"
          spec={spec}
          height={height}
          summary={summary}
          readout={(place) => {
            if (place === null) return <span>{t.now.lastMinutes(values.some((w) => w < 0))}</span>;
            const one = place.kind === "value" ? at(place.index) : undefined;
            if (!one) return <span>{t.now.lost}</span>;
            return (
              <>
                <span>{clockSeconds(one.at, zone)}</span>
                <b>{words(one)}</b>
              </>
            );
          }}
          spoken={(place) => {
            const one = place.kind === "value" ? at(place.index) : undefined;
            return one ? `${clockSeconds(one.at, zone)}, ${words(one)}` : t.now.lost;
          }}
        />
      ) : (
        <Twin
          testid="home-live"
          table={{
            caption: t.now.graph,
            head: [{ text: t.now.time }, { text: t.now.power, right: true }],
            rows: () =>
              [
                ...view.map((one) => ({
                  at: one.at,
                  row: [clockSeconds(one.at, zone), <Num text={minus(String(one.w))} unit="W" />],
                })),
                ...gaps.map((gap) => ({
                  at: gap.to - 1,
                  row: [
                    `${clockSeconds(gap.from, zone)}–${clockSeconds(gap.to, zone)}`,
                    <span class="t3">{t.now.lost}</span>,
                  ],
                })),
              ]
                .sort((a, b) => b.at - a.at)
                .map((one) => one.row),
          }}
        />
      )}
      <TwinButton shown={shown} setShown={setShown} what={t.now.graph} testid="home-live-view" />
    </div>
  );
}
