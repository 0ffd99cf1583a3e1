import {
  byNeed,
  COLUMNS_MAX,
  levelsOf,
  linkOf,
  RANK,
  restOf,
  ROOT,
  STEP,
  TOP,
  WIDTH,
  type Column,
  type Link,
  type Picture,
} from "./segment.ts";
import type { BehindMeter } from "./types.ts";

/** A meter with those for whom it repeats. */
export interface Branch {
  meter: BehindMeter;
  /** How many others repeat for it. */
  depth: number;
  /** Those directly behind it: repeaters first, the worst of them first. */
  children: Branch[];
  /** How many are behind it, near or far. */
  behind: number;
  /** The worst link of those behind it, and how many have it. */
  worst: Link;
  bad: number;
  /** The mean of what is heard of all in it, in thousandths; whoever is silent counts none. */
  heard: number;
}

export interface Tree {
  branches: Branch[];
  /** Those of whom it is not told through whom they are reached. */
  loose: BehindMeter[];
}

function heardOf(meter: BehindMeter): number {
  return meter.there ? (meter.quality_permille ?? 1000) : 0;
}

function byBranch(a: Branch, b: Branch): number {
  const leaf = (branch: Branch): number => (branch.behind === 0 ? 1 : 0);
  return leaf(a) - leaf(b) || (a.behind === 0 ? 0 : a.heard - b.heard) || byNeed(a.meter, b.meter);
}

/** The meters as branches by repeater; null where of none it is told through whom it is reached. */
export function treeOf(meters: BehindMeter[]): Tree | null {
  const next = new Map<number, BehindMeter[]>();
  for (const meter of meters) {
    if (meter.behind === null) continue;
    const list = next.get(meter.behind);
    if (list) list.push(meter);
    else next.set(meter.behind, [meter]);
  }
  // A concentrator may tell of one SAP twice, and so of a meter behind itself: nobody comes twice.
  const reached = new Set<BehindMeter>();
  const take = (found: BehindMeter[]): BehindMeter[] => {
    const list = found.filter((one) => !reached.has(one));
    for (const one of list) reached.add(one);
    return list;
  };
  const grow = (meter: BehindMeter, depth: number): Branch => {
    const children = take(next.get(meter.sap) ?? [])
      .map((one) => grow(one, depth + 1))
      .sort(byBranch);
    const behind = children.reduce((sum, child) => sum + 1 + child.behind, 0);
    let [worst, bad]: [Link, number] = ["up", 0];
    const count = (link: Link, n: number): void => {
      const rank = RANK[worst] - RANK[link];
      if (rank > 0) [worst, bad] = [link, n];
      else if (rank === 0) bad += n;
    };
    let heard = heardOf(meter);
    for (const child of children) {
      heard += child.heard * (child.behind + 1);
      count(linkOf(child.meter), 1);
      count(child.worst, child.bad);
    }
    return { meter, depth, children, behind, worst, bad, heard: heard / (behind + 1) };
  };
  const told = next.get(0);
  if (!told) return null;
  // Beside a line with repeaters, media without any tell of none: whoever is there without hops is heard directly.
  const direct = meters.filter((meter) => meter.behind === null && meter.hops === 0 && meter.there);
  const branches = take([...told, ...direct])
    .map((meter) => grow(meter, 0))
    .sort(byBranch);
  return { branches, loose: meters.filter((meter) => !reached.has(meter)).sort(byNeed) };
}

/** The SAPs from a branch next to the concentrator to a meter, with its own; empty where it is in no branch. */
export function pathTo(branches: Branch[], sap: number | null): number[] {
  for (const { meter, children } of branches) {
    if (meter.sap === sap) return [sap];
    const path = pathTo(children, sap);
    if (path.length > 0) return [meter.sap, ...path];
  }
  return [];
}

/** The repeaters that come first beside others, at each level: their SAPs. */
export function firstOf(branches: Branch[]): number[] {
  return branches.flatMap(({ meter, behind, children }, i) =>
    behind === 0 ? [] : [...(i === 0 ? [meter.sap] : []), ...firstOf(children)],
  );
}

/** Those who repeat for a meter, the one nearest to the concentrator first; null where that is not told. */
export function wayOf(meters: BehindMeter[], meter: BehindMeter): BehindMeter[] | null {
  const bySap = new Map(meters.map((one) => [one.sap, one]));
  const way: BehindMeter[] = [];
  let at = meter.behind;
  while (at !== 0) {
    const one = at === null ? undefined : bySap.get(at);
    if (!one || way.includes(one)) return null;
    way.unshift(one);
    at = one.behind;
  }
  return way;
}

/** How many are behind a meter, near or far. */
export function behindOf(tree: Tree, sap: number): number {
  const find = (branches: Branch[]): Branch | undefined => {
    for (const branch of branches) {
      const found = branch.meter.sap === sap ? branch : find(branch.children);
      if (found) return found;
    }
    return undefined;
  };
  return find(tree.branches)?.behind ?? 0;
}

/** Lines that the picture has room for. */
const ROWS = 10;

interface Picked {
  branch: Branch;
  children: Picked[];
}

/** How many lines a branch could use. */
function fill(branch: Branch): number {
  if (branch.depth >= COLUMNS_MAX - 1 || branch.children.length === 0) return 1;
  return Math.min(
    ROWS,
    branch.children.reduce((sum, child) => sum + fill(child), 0),
  );
}

/** Picks what fits into so many lines: half of them for repeaters and those behind, then the others. */
function pick(branches: Branch[], room: number): Picked[] {
  const repeaters = branches.filter((branch) => branch.behind > 0).slice(0, Math.max(1, Math.ceil(room / 2)));
  const rows = repeaters.map(() => 1);
  let left = room - rows.length;
  const leaves = branches.filter((branch) => branch.behind === 0);
  // A line for the worst of the others, before repeaters take all.
  const kept = Math.min(leaves.length, left > 2 ? 1 : 0);
  left -= kept;
  for (let grown = true; grown && left > 0;) {
    grown = false;
    for (const [i, branch] of repeaters.entries()) {
      const has = rows[i] ?? 1;
      if (left > 0 && has < fill(branch)) {
        rows[i] = has + 1;
        left -= 1;
        grown = true;
      }
    }
  }
  const shown = [...repeaters, ...leaves.slice(0, kept + left)];
  return shown.map((branch, i) => ({
    branch,
    children: branch.depth >= COLUMNS_MAX - 1 ? [] : pick(branch.children, rows[i] ?? 1),
  }));
}

/** Lays the branches out: a column for each number of hops, each repeater beside those behind it. */
export function layOutTree(tree: Tree): Picture {
  const hopsOf = new Map<BehindMeter, number>();
  const meters: BehindMeter[] = [...tree.loose];
  const walk = (branch: Branch): void => {
    hopsOf.set(branch.meter, branch.depth);
    meters.push(branch.meter);
    branch.children.forEach(walk);
  };
  tree.branches.forEach(walk);
  const last = COLUMNS_MAX - 1;
  const placed = meters.map((meter) => ({
    ...meter,
    hops: Math.min(last, hopsOf.get(meter) ?? meter.hops),
  }));
  const levels = levelsOf(placed);
  const from = ROOT + 58;
  const width = (WIDTH - from - 4) / levels.length;
  const columns: Column[] = levels.map((level, index) => ({
    level,
    x: from + index * width,
    width,
    nodes: [],
    rest: null,
    bus: null,
  }));
  const at = new Map(columns.map((column) => [column.level.hops, column]));
  const lines: NonNullable<Picture["lines"]> = [];
  const wide = columns.length < COLUMNS_MAX;
  let row = 0;
  const put = ({ branch, children }: Picked): number => {
    const column = at.get(branch.depth);
    const ys = children.map(put);
    if (ys.length === 0) row += 1;
    const [first = TOP + row * STEP - STEP / 2, end = first] = [ys[0], ys.at(-1)];
    const y = (first + end) / 2;
    if (!column) return y;
    const { meter, behind } = branch;
    const cap = behind > 0 && wide ? 108 : 88;
    column.nodes.push({ meter, link: linkOf(meter), x: column.x, y, behind, cap });
    for (const [i, child] of children.entries()) {
      const link = linkOf(child.branch.meter);
      const x = at.get(child.branch.depth)?.x ?? column.x;
      lines.push({ link, x1: column.x + 10 + cap, y1: y, x2: x - 6, y2: ys[i] ?? y });
    }
    return y;
  };
  const picked = pick(tree.branches, ROWS);
  const roots = picked.map(put);
  const middle = ((roots[0] ?? TOP) + (roots.at(-1) ?? TOP)) / 2;
  for (const [i, { branch }] of picked.entries()) {
    const y2 = roots[i] ?? middle;
    lines.push({ link: linkOf(branch.meter), x1: ROOT + 2, y1: middle, x2: from - 6, y2 });
  }
  // What is left over is for those of whom it is not told who repeats for them.
  for (const meter of tree.loose.slice(0, Math.max(0, ROWS - row))) {
    const column = at.get(Math.min(last, meter.hops));
    row += 1;
    const y = TOP + row * STEP - STEP / 2;
    column?.nodes.push({ meter, link: linkOf(meter), x: column.x, y, behind: 0, cap: 88 });
  }
  let bottom = TOP + Math.max(3, row) * STEP;
  const below = TOP + row * STEP + 24;
  for (const column of columns) {
    column.nodes.sort((a, b) => a.y - b.y);
    const named = new Set(column.nodes.map((node) => node.meter.name));
    const others = column.level.meters.filter((meter) => !named.has(meter.name));
    const { rest, end } = restOf(others, column.x, below, Math.floor((width - 34) / 13));
    column.rest = rest;
    bottom = Math.max(bottom, end);
  }
  return {
    width: WIDTH,
    height: bottom + 12,
    root: { x: 2, y: Math.max(TOP - 10, middle - 22), width: ROOT, height: 44 },
    columns,
    named: columns.reduce((sum, column) => sum + column.nodes.length, 0),
    lines,
  };
}
