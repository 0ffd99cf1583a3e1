// What the page of drills works out by itself: how the readings are told in a few lines, and where links stand in the
// picture. What a drill came to is never worked out here: the head end tells it.
import type { Drill, DrillReading, DrillTimeline } from "./drill-api.ts";

/** Whether a drill is under way. */
export const isUnderWay = ({ state }: Drill): boolean =>
  state === "waiting" || state === "steady" || state === "cut" || state === "mended";

/** What became of a reading. Late is one that came after the next was due. */
export type Fate = "usual" | "late" | "repeated" | "lost";

export function fateOf(reading: DrillReading, every: number): Fate {
  if (reading.latency_ms === null) return "lost";
  if (reading.sent > 1) return "repeated";
  return reading.latency_ms > every ? "late" : "usual";
}

/** Readings one after the other with the same path and the same fate. */
export interface Stretch {
  from: number;
  to: number;
  count: number;
  path: number | null;
  fate: Fate;
  anew: boolean;
  /** The longest latency; null where there is no answer. */
  worst: number | null;
  why: string | null;
}

export function stretches(timeline: DrillTimeline): Stretch[] {
  const out: Stretch[] = [];
  for (const reading of timeline.readings) {
    const fate = fateOf(reading, timeline.every_ms);
    const last = out.at(-1);
    const goes =
      last !== undefined &&
      last.fate === fate &&
      last.path === reading.path &&
      last.anew === reading.anew &&
      last.why === reading.why &&
      !reading.anew;
    if (goes) {
      last.to = reading.due_ms;
      last.count += 1;
      if (reading.latency_ms !== null) last.worst = Math.max(last.worst ?? 0, reading.latency_ms);
    } else {
      const { due_ms, path, anew, latency_ms, why } = reading;
      out.push({ from: due_ms, to: due_ms, count: 1, path, fate, anew, worst: latency_ms, why });
    }
  }
  return out;
}

/** The number of a path as people are told it: A, B, … Z, AA, AB … */
export const letter = (path: number): string =>
  (path < 26 ? "" : letter(Math.floor(path / 26) - 1)) + String.fromCharCode(65 + (path % 26));

/** When the timeline ends, in milliseconds; not before `least`, nor within the first second. */
export function lengthOf(timeline: DrillTimeline, least = 0): number {
  const last = timeline.readings.at(-1);
  const answered = Math.max(0, ...timeline.readings.map((one) => one.due_ms + (one.latency_ms ?? 0)));
  return Math.max(1_000, least, timeline.mended_ms ?? 0, timeline.anew_ms ?? 0, last?.due_ms ?? 0, answered);
}

/** Ticks of an axis that is so long, in milliseconds; at most eleven up to ten minutes. */
export function ticks(length: number): number[] {
  const step = [500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000].find((one) => length / one <= 10) ?? 60_000;
  return Array.from({ length: Math.floor(length / step) + 1 }, (_, i) => i * step);
}

/** Whether an edge of the picture, `FROM out>in TO`, is the link that ends at these. */
export function isLink(edge: string, ends: [string, string]): boolean {
  const [from = "", over = "", to = ""] = edge.split(" ");
  const [out = "", into = ""] = over.split(">");
  return ends.includes(`${from}#${out}`) || ends.includes(`${to}#${into}`);
}
