import { useEffect } from "preact/hooks";
import { ChartCard } from "../../components/chart/chart.tsx";
import type { PlotSpec } from "../../components/chart/spec.ts";
import { Card } from "../../components/card.tsx";
import { ChipSelect, Segments } from "../../components/controls.tsx";
import { Icon } from "../../components/icons.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Load, Notice } from "../../components/states.tsx";
import { Status } from "../../components/status.tsx";
import { api } from "../../lib/api.ts";
import { glance, kwh, minus } from "../../lib/format.ts";
import { clip, type At } from "../../lib/gaps.ts";
import { useLoad, useNow } from "../../lib/hooks.ts";
import { PRESETS, rangeOf, shifted, STEP_MS, stepsFor, type Range } from "../../lib/profile-range.ts";
import { useQuery } from "../../lib/router.ts";
import { siteZone } from "../../lib/session.ts";
import { clock, DAY, HOUR, interval, iso, longDate, parse, weekdayDate, type Zone } from "../../lib/time.ts";
import type { Profile } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";
import type { OnChange } from "../meter.tsx";

/** Energy per interval with its gaps, on the overview and on a page of its own. */
export function ProfileCard({
  id,
  name,
  full = false,
  onChange,
}: {
  id: string;
  name: string;
  full?: boolean;
  onChange: OnChange;
}) {
  const [query, change] = useQuery();
  const zone = siteZone();
  const now = useNow(60_000);
  const range = rangeOf(query, now, zone);
  const from = iso(range.from);
  const to = iso(range.to);
  const loaded = useLoad(`profile/${id}/${from}/${to}/${range.step}`, (signal) =>
    api.profile(id, from, to, range.step, signal),
  );
  useEffect(() => onChange(loaded.reload), []);

  const presets = (
    <Segments
      label={t.meter.ranges}
      value={range.preset ?? ""}
      options={PRESETS.map((value) => ({ value, text: t.meter.range[value] ?? value }))}
      onChange={(preset) =>
        change({ range: preset === "2d" ? "" : preset, from: "", to: "", step: "" }, false)
      }
      class={full ? "" : "hide-n"}
      testid="profile-range"
    />
  );
  const controls = full ? (
    <div class="range-bar">
      {presets}
      <ChipSelect
        label={t.meter.step}
        value={range.step}
        options={stepsFor(Math.round((range.to - range.from) / DAY)).map((value) => ({
          value,
          text: t.meter.steps[value] ?? value,
        }))}
        onChange={(step) => change({ step }, false)}
        plain
        testid="profile-step"
      />
      <div class="row">
        <button
          type="button"
          class="btn sm icon"
          aria-label={t.meter.earlier}
          title={t.meter.earlier}
          onClick={() => change(moved(range, -1, zone), false)}
          data-testid="profile-earlier"
        >
          <Icon name="chevron-left" />
        </button>
        <span class="range-text" data-testid="profile-range-text">
          {rangeText(range.from, range.to, zone)}
        </span>
        <button
          type="button"
          class="btn sm icon"
          aria-label={t.meter.later}
          title={t.meter.later}
          disabled={range.to > now}
          onClick={() => change(moved(range, 1, zone), false)}
          data-testid="profile-later"
        >
          <Icon name="chevron-right" />
        </button>
        {range.follows ? null : (
          <button
            type="button"
            class="btn sm"
            onClick={() =>
              change(
                { range: range.preset && range.preset !== "2d" ? range.preset : "", from: "", to: "" },
                false,
              )
            }
          >
            {t.meter.toNow}
          </button>
        )}
      </div>
    </div>
  ) : null;

  if (loaded.data === null) {
    return (
      <Card
        id="prof"
        title={t.meter.profile}
        testid="meter-profile"
        aside={full ? null : presets}
        busy={!loaded.error}
      >
        {controls}
        <Load
          of={loaded}
          what={t.meter.whatProfile}
          shape={<div class={full ? "plot plot-320 skel-plot" : "plot plot-240 skel-plot"} />}
        >
          {() => null}
        </Load>
      </Card>
    );
  }
  return (
    <Drawn
      profile={loaded.data}
      range={range}
      id={id}
      name={name}
      full={full}
      aside={full ? null : presets}
      controls={controls}
    />
  );
}

function moved(range: Range, by: number, zone: Zone): Record<string, string> {
  const next = shifted(range, by, zone);
  return { from: iso(next.from), to: iso(next.to), step: range.step };
}

function rangeText(from: number, to: number, zone: Zone): string {
  const last = to - HOUR;
  return zone.local(from).year === zone.local(last).year
    ? `${weekdayDate(from, zone)} – ${longDate(last, zone)}`
    : `${longDate(from, zone)} – ${longDate(last, zone)}`;
}

interface Point {
  at: number;
  used: number | null;
  delivered: number | null;
  status: string[];
}

const number = (value: unknown): number | null => (typeof value === "number" ? value : null);

function pointsOf(profile: Profile): Point[] {
  const out: Point[] = [];
  for (const one of profile.intervals) {
    const at = parse(one.t);
    if (at === null) continue;
    out.push({ at, used: number(one.import_wh), delivered: number(one.export_wh), status: one.status ?? [] });
  }
  return out;
}

function Drawn({
  profile,
  range,
  id,
  name,
  full,
  aside,
  controls,
}: {
  profile: Profile;
  range: Range;
  id: string;
  name: string;
  full: boolean;
  aside: preact.ComponentChildren;
  controls: preact.ComponentChildren;
}) {
  const zone = siteZone();
  const points = pointsOf(profile);
  const stepMs = profile.step_s * 1000;
  const { from, to } = range;
  const gaps = clip(
    profile.gaps.flatMap((gap) => {
      const start = parse(gap.from);
      const end = parse(gap.to);
      return start === null || end === null ? [] : [{ from: start, to: end, intervals: gap.intervals }];
    }),
    from,
    to,
    stepMs,
  );
  const delivers = points.some((one) => (one.delivered ?? 0) > 0);
  const spec: PlotSpec = {
    kind: "bars",
    times: points.map((one) => one.at),
    stepMs,
    series: [
      { values: points.map((one) => (one.used === null ? null : one.used / 1000)), colour: "--c1" },
      ...(delivers
        ? [
            {
              values: points.map((one) => (one.delivered === null ? null : -one.delivered / 1000)),
              colour: "--c3" as const,
            },
          ]
        : []),
    ],
    from,
    to,
    gaps,
    unit: "kWh",
    yText: (value, digits) => (value === 0 ? "0" : minus(value.toFixed(digits))),
    zone,
    gapTitle: t.meter.noData,
    gapText: (n) => t.meter.intervals(n),
  };
  const end = (one: Point): number => (stepMs >= 23 * HOUR ? zone.startOfDay(one.at, 1) : one.at + stepMs);
  const hours = (one: Point): number => (end(one) - one.at) / HOUR;
  const quality = (one: Point): string => one.status.map((word) => word.replaceAll("_", " ")).join(", ");
  const isGood = (one: Point): boolean =>
    one.status.length === 0 && (one.used !== null || one.delivered !== null);
  const qualityOf = (one: Point): preact.ComponentChild =>
    one.used === null && one.delivered === null ? (
      <Status shape="miss">{t.meter.noDataWord}</Status>
    ) : one.status.length > 0 ? (
      quality(one)
    ) : (
      <span class="t3">{t.meter.good}</span>
    );
  // Power over the interval: what was used less what was delivered.
  const averageOf = (one: Point): { text: string; unit: string } | null =>
    one.used === null ? null : glance((one.used - (delivers ? (one.delivered ?? 0) : 0)) / hours(one), "W");
  const latest = [...points].reverse().find((one) => one.used !== null);

  const pointAt = (at: At | null): Point | undefined =>
    at === null ? latest : at.kind === "value" ? points[at.index] : undefined;
  const say = (one: Point): string => {
    const average = averageOf(one);
    const parts = [
      interval(one.at, end(one), zone),
      one.used === null ? t.meter.noDataWord : `${kwh(one.used)} kWh ${t.meter.used}`,
    ];
    if (average) parts.push(`${average.text} ${average.unit} ${t.meter.average}`);
    if (one.status.length > 0) parts.push(quality(one));
    return parts.join(", ");
  };

  if (points.length === 0 && gaps.length === 0) {
    return (
      <Card id="prof" title={t.meter.profile} testid="meter-profile" aside={aside}>
        {controls}
        <Notice kind="empty" icon="inbox" title={t.meter.emptyProfile} text={t.meter.emptyProfileText} />
      </Card>
    );
  }
  return (
    <ChartCard
      id="prof"
      title={t.meter.profile}
      testid="meter-profile"
      aside={aside}
      lead={controls}
      legend={
        delivers ? (
          <ul class="legend">
            <li>
              <span class="swatch c1" />
              {t.meter.channelUsed}
            </li>
            <li>
              <span class="swatch c3" />
              {t.meter.channelDelivered}
            </li>
          </ul>
        ) : null
      }
      spec={spec}
      height={full ? 320 : 240}
      summary={t.meter.profileSummary({
        step: t.meter.stepWord[range.step] ?? range.step,
        range: rangeText(from, to, zone),
        gaps: gaps.map((gap) => `${spanText(gap.from, gap.to, zone)}, ${t.meter.intervals(gap.intervals)}`),
      })}
      spoken={(at) => {
        const one = pointAt(at);
        if (one) return say(one);
        return at.kind === "gap"
          ? `${spanText(at.span.from, at.span.to, zone)}, ${t.meter.noDataWord}`
          : t.meter.notDue;
      }}
      readout={(at) => {
        const one = pointAt(at);
        if (!one) {
          if (at?.kind === "gap") {
            return (
              <>
                <span>{spanText(at.span.from, at.span.to, zone)}</span>
                <Status shape="miss">{t.meter.noDataWord}</Status>
                <span>{t.meter.intervals(at.span.intervals)}</span>
              </>
            );
          }
          return <span>{at === null ? t.meter.noDataWord : t.meter.notDue}</span>;
        }
        const average = averageOf(one);
        return (
          <>
            <span>{interval(one.at, end(one), zone)}</span>
            {one.used === null ? null : (
              <span>
                <b>
                  <Num text={kwh(one.used)} unit="kWh" />
                </b>{" "}
                {t.meter.used}
              </span>
            )}
            {delivers && one.delivered !== null ? (
              <span>
                <b>
                  <Num text={kwh(one.delivered)} unit="kWh" />
                </b>{" "}
                {t.meter.deliveredEnergy}
              </span>
            ) : null}
            {average ? (
              <span>
                <b>
                  <Num text={average.text} unit={average.unit} />
                </b>{" "}
                {t.meter.average}
              </span>
            ) : null}
            {one.status.length > 0 ? <Status shape="info">{quality(one)}</Status> : null}
          </>
        );
      }}
      table={{
        caption: `${t.meter.profile}, ${rangeText(from, to, zone)}`,
        head: [
          { text: t.meter.interval },
          { text: t.meter.channelUsed, right: true },
          { text: t.meter.channelDelivered, right: true },
          { text: t.meter.quality, narrow: false },
        ],
        rows: () =>
          [...points].reverse().map((one) => [
            <>
              {interval(one.at, end(one), zone)}
              {isGood(one) ? null : <span class="under only-narrow">{qualityOf(one)}</span>}
            </>,
            one.used === null ? <NoValue /> : <Num text={kwh(one.used)} unit="kWh" />,
            one.delivered === null ? <NoValue /> : <Num text={kwh(one.delivered)} unit="kWh" />,
            qualityOf(one),
          ]),
      }}
      footer={gaps.length > 0 ? <GapLines profile={profile} full={full} /> : undefined}
      subject={name}
      file={`${name}-profile`}
      csv={{ href: api.profileCsv(id, iso(from), iso(to), range.step) }}
    />
  );
}

/** "Wed 18 Nov, 10:30–13:45". */
function spanText(from: number, to: number, zone: Zone): string {
  if (to - from <= STEP_MS["1d"] * 1.1) return interval(from, to, zone);
  return `${weekdayDate(from, zone)} ${clock(from, zone)} – ${weekdayDate(to, zone)} ${clock(to, zone)}`;
}

function GapLines({ profile, full }: { profile: Profile; full: boolean }) {
  const zone = siteZone();
  const most = full ? 6 : 2;
  const shown = profile.gaps.slice(0, most);
  const rest = profile.gaps.length - shown.length;
  return (
    <ul class="gap-lines" data-testid="profile-gaps">
      {shown.map((gap) => {
        const from = parse(gap.from);
        const to = parse(gap.to);
        if (from === null || to === null) return null;
        const held =
          gap.held_by_meter === null
            ? t.meter.heldUnknown
            : gap.held_by_meter
              ? t.meter.held
              : t.meter.notHeld;
        return (
          <li key={gap.from}>
            <Status shape="miss">
              <span>
                {t.meter.missing(spanText(from, to, zone))}, {held}
              </span>
            </Status>
          </li>
        );
      })}
      {rest > 0 ? <li class="t3">{t.meter.moreGaps(rest)}</li> : null}
    </ul>
  );
}
