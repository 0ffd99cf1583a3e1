import { minus } from "./format.ts";
import type { BalancePoint } from "./types.ts";

/** Per cent with one digit from whole thousandths; more metered than supplied is a loss below zero. */
export function lossText(permille: number): string {
  const size = Math.abs(permille);
  return minus(`${permille < 0 ? "-" : ""}${Math.trunc(size / 10)}.${size % 10}`);
}

export interface LossBars {
  width: number;
  height: number;
  /** Where zero is, and where the line of what may be lost. */
  zero: number;
  limit: number;
  /** Bars of intervals within the limit, over it, and of those that do not count. */
  even: string;
  over: string;
  open: string;
}

const WIDTH = 192;
const HEIGHT = 24;
const ZERO = 19;
const QUARTER = 900_000;

/** Bars of the loss of each interval; the limit stands at a third, and what is higher is cut. */
export function lossBars(points: BalancePoint[], from: number, to: number, limitPercent: number): LossBars {
  const slots = Math.max(1, Math.ceil((to - from) / QUARTER));
  const step = WIDTH / slots;
  const width = Math.max(0.75, step * 0.72).toFixed(2);
  const limit = (ZERO * 2) / 3;
  const scale = (ZERO - limit) / Math.max(1, limitPercent);
  const paths = { even: "", over: "", open: "" };
  for (const point of points) {
    const slot = Math.round((Date.parse(point.t) - from) / QUARTER) - 1;
    if (!(slot >= 0) || slot >= slots) continue;
    const x = (slot * step).toFixed(2);
    if (point.weight !== "weighed" || point.supplied_wh === null || point.supplied_wh <= 0) {
      paths.open += `M${x} ${ZERO + 2}h${width}v2h-${width}z`;
      continue;
    }
    const percent = ((point.supplied_wh - point.metered_wh) * 100) / point.supplied_wh;
    const high = Math.min(ZERO, Math.max(ZERO - HEIGHT, percent * scale));
    const top = (ZERO - Math.max(0, high)).toFixed(2);
    const tall = Math.max(0.75, Math.abs(high)).toFixed(2);
    paths[percent > limitPercent ? "over" : "even"] += `M${x} ${top}h${width}v${tall}h-${width}z`;
  }
  return { width: WIDTH, height: HEIGHT, zero: ZERO, limit, ...paths };
}
