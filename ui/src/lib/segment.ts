import type { BehindMeter } from "./types.ts";

/** How well a meter is heard; `up` is there on a medium that does not tell. */
export type Link = "good" | "fair" | "poor" | "silent" | "up";

/** The words of a link from the permille of frames that are heard. */
export function linkOf(meter: Pick<BehindMeter, "there" | "quality_permille">): Link {
  if (!meter.there) return "silent";
  const heard = meter.quality_permille;
  if (heard === null) return "up";
  return heard >= 900 ? "good" : heard >= 700 ? "fair" : "poor";
}

/** How much a link needs a person, the worst first. */
export const RANK: Record<Link, number> = { silent: 0, poor: 1, fair: 2, good: 3, up: 4 };

/** Worst first; equal links by what is heard, then by SAP. */
export function byNeed(a: BehindMeter, b: BehindMeter): number {
  const rank = RANK[linkOf(a)] - RANK[linkOf(b)];
  const heard = (meter: BehindMeter): number => meter.quality_permille ?? 1001;
  return rank || heard(a) - heard(b) || a.sap - b.sap;
}

export interface Level {
  hops: number;
  meters: BehindMeter[];
  worst: Link;
  counts: Record<Link, number>;
}

/** The meters by the number of others that repeat for them, worst first in each level. */
export function levelsOf(meters: BehindMeter[]): Level[] {
  const levels = new Map<number, BehindMeter[]>();
  for (const meter of meters) {
    const level = levels.get(meter.hops);
    if (level) level.push(meter);
    else levels.set(meter.hops, [meter]);
  }
  return [...levels.entries()]
    .sort(([a], [b]) => a - b)
    .map(([hops, list]) => {
      const sorted = [...list].sort(byNeed);
      const counts: Record<Link, number> = { good: 0, fair: 0, poor: 0, silent: 0, up: 0 };
      for (const meter of sorted) counts[linkOf(meter)] += 1;
      return { hops, meters: sorted, counts, worst: sorted[0] ? linkOf(sorted[0]) : "up" };
    });
}

/** The last figures of a name, which tell the meters of one street apart. */
export function shortName(name: string): string {
  return name.length > 4 ? name.slice(-4) : name;
}

/** A node of the picture. */
export interface Node {
  meter: BehindMeter;
  link: Link;
  x: number;
  y: number;
  /** In a picture of branches: how many are behind it, and how wide its name stands. */
  behind?: number;
  cap?: number;
}

/** The meters of a level that are too many to be named, as a field of marks. */
export interface Rest {
  x: number;
  y: number;
  marks: { link: Link; x: number; y: number }[];
  /** How many more there are than marks. */
  more: number;
  count: number;
}

export interface Column {
  level: Level;
  x: number;
  width: number;
  nodes: Node[];
  rest: Rest | null;
  /** The bar from which the next level is fed. */
  bus: { x: number; top: number; bottom: number } | null;
}

export interface Picture {
  width: number;
  height: number;
  root: { x: number; y: number; width: number; height: number };
  columns: Column[];
  named: number;
  /** Who repeats for whom, where that is told. */
  lines?: { link: Link; x1: number; y1: number; x2: number; y2: number }[];
}

export const WIDTH = 690;
export const ROOT = 112;
export const TOP = 36;
export const STEP = 32;
const MARK = 13;
const MARKS_MAX = 240;
/** Levels that are drawn apart; what is further away stands in the last one. */
export const COLUMNS_MAX = 4;

/** The meters that are not named, as a field of marks from a point on, and where it ends. */
export function restOf(
  others: BehindMeter[],
  x: number,
  y: number,
  perRow: number,
): { rest: Rest | null; end: number } {
  if (others.length === 0) return { rest: null, end: 0 };
  const marks = others.slice(0, MARKS_MAX).map((meter, i) => ({
    link: linkOf(meter),
    x: x + (i % perRow) * MARK,
    y: y + Math.floor(i / perRow) * MARK,
  }));
  const rest = { x, y, marks, more: others.length - marks.length, count: others.length };
  return { rest, end: y + Math.ceil(marks.length / perRow) * MARK + 6 };
}

/** Puts the deepest levels together where there are more than fit. */
export function drawn(levels: Level[]): Level[] {
  if (levels.length <= COLUMNS_MAX) return levels;
  const far = levels.slice(COLUMNS_MAX - 1).flatMap((level) => level.meters);
  const [last] = levelsOf(far.map((meter) => ({ ...meter, hops: 0 })));
  const hops = levels[COLUMNS_MAX - 1]?.hops ?? COLUMNS_MAX;
  return [...levels.slice(0, COLUMNS_MAX - 1), ...(last ? [{ ...last, hops }] : [])];
}

/** Lays the picture out: a column for each level, the worst meters named, the others as marks below. */
export function layOut(all: Level[]): Picture {
  const levels = drawn(all);
  const columns: Column[] = [];
  const from = ROOT + 58;
  const width = (WIDTH - from - 4) / Math.max(1, levels.length);
  const names = 8;
  const single = levels.length === 1;
  let bottom = TOP + 3 * STEP;
  for (const [index, level] of levels.entries()) {
    const x = from + index * width;
    // A single level has room beside the names, several have it below.
    const aside = single ? 150 : 0;
    const fitting = Math.floor((width - aside - 34) / MARK);
    const perRow = Math.max(4, single ? Math.min(fitting, 16) : fitting);
    const named = level.meters.slice(0, level.meters.length <= names + 2 ? names + 2 : names);
    const nodes = named.map((meter, i) => ({
      meter,
      link: linkOf(meter),
      x,
      y: TOP + i * STEP + STEP / 2,
    }));
    let end = TOP + named.length * STEP;
    const others = level.meters.slice(named.length);
    const { rest, end: below } = restOf(others, x + aside, single ? TOP + 40 : end + 24, perRow);
    end = Math.max(end, below);
    bottom = Math.max(bottom, end);
    columns.push({ level, x, width, nodes, rest, bus: null });
  }
  for (const [index, column] of columns.entries()) {
    const next = columns[index + 1];
    const [first, last] = [next?.nodes[0], next?.nodes.at(-1)];
    if (next && first && last) column.bus = { x: next.x - 32, top: first.y - 9, bottom: last.y + 9 };
  }
  const height = bottom + 12;
  const [first] = columns;
  const middle = first ? TOP + (first.nodes.length * STEP) / 2 : height / 2;
  return {
    width: WIDTH,
    height,
    root: { x: 2, y: Math.max(TOP, middle - 22), width: ROOT, height: 44 },
    columns,
    named: columns.reduce((sum, column) => sum + column.nodes.length, 0),
  };
}
