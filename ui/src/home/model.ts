/** What the home page shows, worked out from what the gateway told. Pure: the present and the zone come in. */
import { glance, minus, shiftPoint } from "../lib/format.ts";
import { clip, type Span } from "../lib/gaps.ts";
import type { LiveState } from "../lib/live.ts";
import { clock, DAY, HOUR, MINUTE, parse, shortDate, weekday, type Zone } from "../lib/time.ts";
import type { History, HomeState, PowerNow } from "./types.ts";

export interface Sample {
  w: number;
  /** When the home had this power, by the clock that stamped it. */
  at: number;
  /** When the gateway received it, by its clock. */
  seen: number;
  costPerHour: number | null;
}

/** The graph of power shows so much. */
export const GRAPH_MS = 10 * MINUTE;
/** Kept a little longer, so that the line reaches the left end. */
const KEPT_MS = GRAPH_MS + MINUTE;
/** Two readings a second at most. */
const KEPT = 1_400;
/** A value that lies further back than this is from a clock that was set, and begins a new line. */
const CLOCK_SET_MS = MINUTE;
const PERIOD_MS = 10_000;
const LEAST_GAP_MS = 10 * MINUTE;
/** Even where readings come each second, one that is so young is still now. */
const NOW_MS = 5_000;

export function sampleOf(power: PowerNow): Sample | null {
  const at = parse(power.at);
  const seen = parse(power.received) ?? at;
  return at === null || seen === null ? null : { w: power.w, at, seen, costPerHour: power.cost_per_hour };
}

/** Adds what is newer; the same array where nothing is. */
export function add(samples: Sample[], more: Sample[]): Sample[] {
  let out = samples;
  for (const one of more) {
    const last = out.at(-1);
    if (last && last.at - one.at > CLOCK_SET_MS) out = [one];
    else if (!last || one.at > last.at) out = [...out, one];
  }
  if (out === samples) return samples;
  const from = (out.at(-1)?.at ?? 0) - KEPT_MS;
  return out.filter((one) => one.at >= from).slice(-KEPT);
}

/** The power that the gateway still has in memory, with what came since. */
export function joined(raw: History, samples: Sample[]): Sample[] {
  const old: Sample[] = [];
  for (const one of raw.intervals) {
    const at = parse(one.t);
    if (at !== null && one.w !== null) old.push({ w: one.w, at, seen: at, costPerHour: null });
  }
  const first = samples.find((one) => one.at > (old.at(-1)?.at ?? 0));
  // The newest sample stays as it came, with the time of its receipt and its cost.
  const last = samples.at(-1);
  const all = add(old.slice(-KEPT), first ? samples.slice(samples.indexOf(first)) : []);
  return last && all.at(-1)?.at === last.at ? [...all.slice(0, -1), last] : all;
}

/** How far readings are apart: as configured, else as seen. */
export function periodOf(state: HomeState | null, samples: Sample[]): number {
  if (state?.link.interval_s != null) return state.link.interval_s * 1000;
  const apart = samples
    .slice(-21)
    .map((one, i, all) => one.at - (all[i - 1]?.at ?? one.at))
    .slice(1)
    .sort((a, b) => a - b);
  const middle = apart[apart.length >> 1];
  return middle === undefined ? PERIOD_MS : Math.min(MINUTE, Math.max(1000, middle));
}

/** Why there is no power now, the nearest cause first. */
export type Cause = "offline" | "link" | "meter" | null;

export interface NowView {
  kind: "never" | "live" | "old";
  cause: Cause;
}

/** Whether the newest power may be called now. What is old is never called so, whoever is at fault. */
export function nowView(
  state: HomeState | null,
  last: Sample | null,
  connection: LiveState,
  now: number,
  periodMs: number,
): NowView {
  const fresh = last !== null && now - last.seen <= Math.max(2.5 * periodMs, NOW_MS);
  let cause: Cause = null;
  if (connection === "offline" || (connection === "stale" && !fresh)) cause = "offline";
  else if (state !== null && connection !== "connecting") {
    if (!state.link.open) cause = "link";
    else if (state.meter.state === "silent" || (state.meter.state === "answers" && !fresh)) cause = "meter";
  }
  if (last === null) return { kind: "never", cause };
  return { kind: fresh && cause === null ? "live" : "old", cause };
}

/** Digits after the point of an energy at a glance. */
const digitsOf = (wattHours: number): number => {
  const size = Math.abs(wattHours);
  return size < 995 ? 2 : size < 999_950 ? 1 : 0;
};

/** Energy at a glance, in kWh. */
export function energy(wattHours: number, digits = digitsOf(wattHours)): string {
  const text = (wattHours / 1000).toFixed(digits);
  return minus(/^-0(\.0*)?$/.test(text) ? text.slice(1) : text);
}

/** A register in kWh as exactly as the meter tells it, with one digit after the point at least. */
export function total(wattHours: number): string {
  return shiftPoint(String(wattHours), 3).replace(/0{1,2}$/, "");
}

/** How a value differs from one it is compared with; what cannot be seen in the figures is the same. */
export function compared(wattHours: number, other: number): { than: "less" | "more" | "same"; text: string } {
  const text = energy(Math.abs(wattHours - other), Math.min(digitsOf(wattHours), digitsOf(other)));
  if (Number(text) === 0) return { than: "same", text };
  return { than: wattHours < other ? "less" : "more", text };
}

export interface DayHours {
  from: number;
  to: number;
  /** Starts of all hours of the day, also of those to come. */
  times: number[];
  /** From the grid, in kWh. */
  used: (number | null)[];
  /** To the grid, in kWh and negative; all null where the meter tells none. */
  given: (number | null)[];
  /** From the grid in the same hour of the day before. */
  yesterday: (number | null)[];
  gaps: Span[];
}

const wallClock = (at: number, zone: Zone): string => {
  const { hour, minute } = zone.local(at);
  return `${hour}:${minute}`;
};

/** The hours of today beside those of yesterday, by the wall clock of the zone. */
export function dayHours(history: History | null, now: number, zone: Zone): DayHours {
  const from = zone.startOfDay(now);
  const to = zone.startOfDay(now, 1);
  const before = zone.startOfDay(now, -1);
  const known = new Map((history?.intervals ?? []).map((one) => [parse(one.t) ?? 0, one]));
  const earlier = new Map<string, number | null>();
  for (let at = before; at < from; at += HOUR) {
    const hour = wallClock(at, zone);
    if (!earlier.has(hour)) earlier.set(hour, known.get(at)?.delivered_wh ?? null);
  }
  const out: DayHours = { from, to, times: [], used: [], given: [], yesterday: [], gaps: [] };
  const lost: Span[] = [];
  for (let at = from; at < to; at += HOUR) {
    const one = known.get(at);
    out.times.push(at);
    out.used.push(one?.delivered_wh == null ? null : one.delivered_wh / 1000);
    // A meter that has never given anything tells zeros; they would only hide the base line.
    out.given.push(one?.received_wh ? -one.received_wh / 1000 : null);
    const then = earlier.get(wallClock(at, zone)) ?? null;
    out.yesterday.push(then === null ? null : then / 1000);
    const missing = one !== undefined && one.delivered_wh === null && one.received_wh === null;
    if (missing && !one.partial) lost.push({ from: at, to: at + HOUR, intervals: 1 });
  }
  for (const gap of history?.gaps ?? []) {
    const start = parse(gap.from) ?? now;
    const end = parse(gap.to) ?? now;
    // Shorter ones cannot be seen in a day.
    if (end - start >= LEAST_GAP_MS) lost.push({ from: start, to: end, intervals: 1 });
  }
  out.gaps = clip(lost, from, Math.min(now, to), HOUR);
  return out;
}

/** Whether there is a whole hour to take along: a gateway that is new has none, and answers "not found". */
export function hasHistory(state: HomeState, hours: History | null): boolean {
  return (
    state.last_month?.delivered_wh != null ||
    (hours?.intervals ?? []).some((one) => !one.partial && one.delivered_wh !== null)
  );
}

/** This month and the one before, to take along. */
export function downloadRange(now: number, zone: Zone): { from: number; to: number } {
  const { year, month } = zone.local(now);
  const from = zone.startOfDate(month === 1 ? year - 1 : year, month === 1 ? 12 : month - 1, 1);
  return { from, to: Math.floor(now / 1000) * 1000 };
}

/** A clock time for today, else with its day. */
export function sinceWords(at: number, now: number, zone: Zone): string {
  if (at >= zone.startOfDay(now)) return clock(at, zone);
  if (at >= zone.startOfDay(now, -1)) return `yesterday ${clock(at, zone)}`;
  return `${shortDate(at, zone, now)}, ${clock(at, zone)}`;
}

/** When something to come ends: a clock time within a day, else with the day of the week. */
export function untilWords(at: number, now: number, zone: Zone): string {
  return at - now < DAY ? clock(at, zone) : `${weekday(at, zone)} ${clock(at, zone)}`;
}

/** What a program says, as a sentence; a path or a name at its beginning stays as it is. */
export function sentence(text: string): string {
  const begun = /^[a-z]+ /.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/** "486 W". */
export function watts(w: number): string {
  const { text, unit } = glance(w, "W");
  return `${text} ${unit}`;
}
