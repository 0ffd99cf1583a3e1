/** Ranges of a load profile, on the days of a zone. Pure. */
import { DAY, HOUR, MINUTE, type Zone } from "./time.ts";

export type Step = "15m" | "1h" | "1d";
export type Preset = "2d" | "week" | "month" | "year";

export interface Range {
  from: number;
  to: number;
  step: Step;
  /** The preset whose length this is, where it is one. */
  preset: Preset | null;
  /** Whether the range ends with today and moves on with it. */
  follows: boolean;
}

export const PRESETS: Preset[] = ["year", "month", "week", "2d"];
export const STEPS: Step[] = ["15m", "1h", "1d"];
export const STEP_MS: Record<Step, number> = { "15m": 15 * MINUTE, "1h": HOUR, "1d": DAY };

const DAYS: Record<Preset, number> = { "2d": 2, week: 7, month: 31, year: 365 };
const DEFAULT_STEP: Record<Preset, Step> = { "2d": "15m", week: "1h", month: "1d", year: "1d" };
/** The head end gives at most so many days of each step. */
const MOST_DAYS: Record<Step, number> = { "15m": 40, "1h": 100, "1d": 800 };

/** Steps that the head end gives for a range of so many days. */
export function stepsFor(days: number): Step[] {
  return STEPS.filter((step) => days <= MOST_DAYS[step]);
}

function daysIn(from: number, to: number): number {
  return Math.max(1, Math.round((to - from) / DAY));
}

/** The range of a preset that ends with the day of `now`. */
export function presetRange(preset: Preset, now: number, zone: Zone, step?: Step): Range {
  const days = DAYS[preset];
  const allowed = stepsFor(days);
  return {
    from: zone.startOfDay(now, 1 - days),
    to: zone.startOfDay(now, 1),
    step: step !== undefined && allowed.includes(step) ? step : DEFAULT_STEP[preset],
    preset,
    follows: true,
  };
}

/** The range that a query string asks for; what is not understood falls back to the last two days. */
export function rangeOf(query: URLSearchParams, now: number, zone: Zone): Range {
  const asked = query.get("step");
  const step = STEPS.find((one) => one === asked);
  const from = Date.parse(query.get("from") ?? "");
  const to = Date.parse(query.get("to") ?? "");
  if (!Number.isNaN(from) && !Number.isNaN(to) && to > from && to - from <= 800 * DAY) {
    const days = daysIn(from, to);
    const allowed = stepsFor(days);
    const preset = PRESETS.find((one) => DAYS[one] === days) ?? null;
    const fallback = preset ? DEFAULT_STEP[preset] : days <= 3 ? "15m" : days <= 10 ? "1h" : "1d";
    return {
      from,
      to,
      step: step !== undefined && allowed.includes(step) ? step : fallback,
      preset,
      follows: false,
    };
  }
  const preset = PRESETS.find((one) => one === query.get("range")) ?? "2d";
  return presetRange(preset, now, zone, step);
}

/** The same length, one length earlier (-1) or later (+1), on whole local days. */
export function shifted(range: Range, by: number, zone: Zone): { from: number; to: number } {
  const days = daysIn(range.from, range.to) * by;
  return { from: zone.startOfDay(range.from, days), to: zone.startOfDay(range.to, days) };
}
