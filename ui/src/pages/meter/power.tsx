import { useEffect, useRef, useState } from "preact/hooks";
import { ChartCard } from "../../components/chart/chart.tsx";
import { powerLine } from "../../components/chart/power.ts";
import type { PlotSpec } from "../../components/chart/spec.ts";
import { Icon } from "../../components/icons.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Status } from "../../components/status.tsx";
import { csv, glance, minus } from "../../lib/format.ts";
import { breakWherever, silences } from "../../lib/gaps.ts";
import { useLiveEvent, useNow } from "../../lib/hooks.ts";
import { freshness } from "../../lib/live.ts";
import { now as present, siteZone } from "../../lib/session.ts";
import { age, clockSeconds, DAY, iso, MINUTE, parse, when } from "../../lib/time.ts";
import type { Meter, Power, PowerErrorEvent, PowerEvent } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";

const SPAN_MS = 3 * MINUTE;
const PERIOD_MS = 1_000;
/** Two samples further apart than this have lost one between them. */
const BREAK_MS = 2_500;
const KEPT = 600;

/** A value that lies further back than this is from a clock that was set, and begins a new line. */
const CLOCK_SET_MS = MINUTE;

interface Sample extends Power {
  /** When the meter had this power, by the clock that stamped it. */
  time: number;
  /** When it arrived, by the head end's clock as this page knows it. */
  seen: number;
}

/** The meter's power each second: a number, three phases, the last three minutes. */
export function LivePower({ id, meter }: { id: string; meter: Meter | null }) {
  const samples = useRef<Sample[]>([]);
  const [shown, setShown] = useState<Sample[]>([]);
  const [paused, setPaused] = useState(false);
  const hold = useRef(paused);
  hold.current = paused;
  const [error, setError] = useState<{ at: number; reason: string } | null>(null);
  const frame = useRef(0);

  // At most one drawing a frame, however many samples come.
  const draw = (): void => {
    if (frame.current !== 0 || hold.current) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      setShown([...samples.current]);
    });
  };
  useEffect(() => () => cancelAnimationFrame(frame.current), []);

  useLiveEvent<PowerEvent>("power", (event) => {
    if (event.id !== id) return;
    const seen = present();
    const time = parse(event.at) ?? seen;
    const last = samples.current.at(-1);
    if (last && last.time - time > CLOCK_SET_MS) samples.current = [];
    else if (last && time <= last.time) return;
    samples.current.push({ ...event, time, seen });
    if (samples.current.length > KEPT) samples.current.splice(0, samples.current.length - KEPT);
    setError(null);
    draw();
  });
  useLiveEvent<PowerErrorEvent>("power_error", (event) => {
    if (event.id === id) setError({ at: parse(event.at) ?? 0, reason: event.reason });
  });

  const now = useNow(1_000);
  const zone = siteZone();
  const last = shown.at(-1) ?? null;
  const before = parse(meter?.power.at);
  const newest: (Power & { seen: number | null }) | null =
    last ?? (meter && meter.power.w !== null ? { ...meter.power, seen: before } : null);
  const state = error && !paused ? "offline" : freshness(last?.seen ?? null, now, PERIOD_MS);
  const old = !paused && last === null ? newest !== null : state !== "live" && !paused;

  // The axis runs on the clock that stamps the samples, which may differ from this one.
  const end =
    last === null ? now : paused || now - last.seen < 5_000 ? last.time : now + (last.time - last.seen);
  const from = end - SPAN_MS;
  const view = shown.filter((one) => one.time >= from && one.time <= end);
  const broken = breakWherever(
    view.map((one) => one.time),
    view.map((one) => one.w),
    BREAK_MS,
  );
  const values = view.map((one) => one.w).filter((w): w is number => w !== null);
  const lost = silences(
    view.map((one) => one.time),
    end,
    BREAK_MS,
    PERIOD_MS,
  );
  const spec: PlotSpec = {
    ...powerLine(broken.times, broken.values, values),
    stepMs: PERIOD_MS,
    from,
    to: end,
    gaps: lost,
    endText: t.meter.now,
    endDot: state === "live" || paused,
    zone,
    gapTitle: t.meter.noData,
    gapText: () => "",
  };
  const summary =
    values.length === 0 || last === null || last.w === null
      ? t.meter.powerSummaryNone
      : t.meter.powerSummary({
          minutes: "3 min",
          low: words(Math.min(...values)),
          high: words(Math.max(...values)),
          now: words(last.w),
        });
  const sampleAt = (time: number | undefined): Sample | undefined => view.find((one) => one.time === time);

  return (
    <ChartCard
      id="live"
      title={t.meter.powerNow}
      testid="meter-live"
      spec={spec}
      height={150}
      summary={summary}
      aside={
        <span class="live" data-state={paused ? "stale" : state} data-testid="meter-live-state">
          {paused
            ? t.meter.paused
            : state === "live"
              ? t.live.every
              : state === "connecting"
                ? t.meter.waitingPower
                : last
                  ? (state === "offline" ? t.live.offlineFrom : t.live.staleSince)(
                      clockSeconds(last.time, zone),
                    )
                  : t.live.short.offline}
        </span>
      }
      end={
        <button
          type="button"
          class="btn sm"
          onClick={() => {
            setPaused(!paused);
            if (paused) setShown([...samples.current]);
          }}
          data-testid="meter-live-pause"
        >
          <Icon name={paused ? "play" : "pause"} />
          {paused ? t.meter.resume : t.meter.pause}
        </button>
      }
      lead={
        <>
          <div class={`row wrap now-row${old ? " stale" : ""}`}>
            <p class="big" data-testid="meter-live-value">
              <BigPower w={newest?.w ?? null} />
              {old && newest?.seen != null ? (
                <span class="aged">
                  {now - newest.seen < DAY
                    ? t.meter.readAgo(age(now - newest.seen))
                    : when(newest.seen, now, zone)}
                </span>
              ) : null}
            </p>
            <span class="grow" />
            <dl class="phases" aria-label={t.meter.phases}>
              {(["l1_w", "l2_w", "l3_w"] as const).map((key, i) => {
                const w = newest?.[key] ?? null;
                if (w === null && !(meter?.phase ?? "L123").includes(String(i + 1))) return null;
                return (
                  <div key={key}>
                    <dt>L{i + 1}</dt>
                    <dd>{w === null ? <NoValue /> : <Glance w={w} />}</dd>
                  </div>
                );
              })}
            </dl>
          </div>
          {error ? (
            <p class="live-error" role="status" data-testid="meter-live-error">
              <Status shape="off">{t.meter.powerError(error.reason)}</Status>
            </p>
          ) : null}
        </>
      }
      spoken={(at) => {
        if (at.kind !== "value") return t.meter.lost;
        const one = sampleAt(broken.times[at.index]);
        return one && one.w !== null ? `${clockSeconds(one.time, zone)}, ${words(one.w)}` : t.meter.lost;
      }}
      readout={(at) => {
        const one = at === null ? last : at.kind === "value" ? sampleAt(broken.times[at.index]) : undefined;
        if (!one || one.w === null) {
          return <span>{at === null && error === null ? t.meter.waitingPower : t.meter.lost}</span>;
        }
        return (
          <>
            <span>{clockSeconds(one.time, zone)}</span>
            <span>
              <b>
                <Glance w={one.w} />
              </b>
              {one.w < 0 ? ` ${t.meter.delivered}` : ""}
            </span>
          </>
        );
      }}
      table={{
        caption: t.meter.powerNow,
        head: [
          { text: t.meter.time },
          { text: t.meter.power, right: true },
          { text: "L1", right: true },
          { text: "L2", right: true },
          { text: "L3", right: true },
        ],
        rows: () =>
          [...view]
            .reverse()
            .map((one) => [
              clockSeconds(one.time, zone),
              ...[one.w, one.l1_w, one.l2_w, one.l3_w].map((w) =>
                w === null ? <NoValue /> : <Num text={minus(String(w))} unit="W" />,
              ),
            ]),
      }}
      subject={meter?.name ?? id}
      file={`${meter?.name ?? id}-power`}
      csv={{
        text: () =>
          csv([
            ["time_utc", "time_local_offset", "power_w", "l1_w", "l2_w", "l3_w"],
            ...view.map((one) => [
              iso(one.time),
              zone.offsetText(one.time),
              one.w,
              one.l1_w,
              one.l2_w,
              one.l3_w,
            ]),
          ]),
      }}
    />
  );
}

function words(w: number): string {
  const { text, unit } = glance(w, "W");
  return `${text} ${unit}`;
}

function Glance({ w }: { w: number }) {
  const { text, unit } = glance(w, "W");
  return <Num text={text} unit={unit} />;
}

function BigPower({ w }: { w: number | null }) {
  if (w === null) return <span class="no-value">{t.status.noReading}</span>;
  const { text, unit } = glance(w, "W");
  return (
    <>
      {text}
      <span class="u">{unit}</span>
    </>
  );
}
