// What the page of paths works out by itself: quick changes of a fence, and where ASes stand in the picture.
// What a fence leaves is never worked out here: the head end's own policy tells it.
import type { FencePath } from "./fence-api.ts";

/** A fence's text with single blanks between its words. */
export function tidy(text: string): string {
  return text.trim().replace(/\s+/g, " ");
}

const BEGINS = /^\s*[-+](?=\s|$)/;

/** Whether the fence has an entry of its own that keeps out of this domain or AS. */
export function keepsOut(fence: string, place: string): boolean {
  return tidy(fence).includes(`- ${place} `);
}

/** The fence with such an entry before all others, or without it where it has one. */
export function toggled(fence: string, place: string): string {
  const text = tidy(fence);
  if (keepsOut(text, place)) return text.replace(`- ${place} `, "");
  // What is no fence yet is let stand, so that nothing typed is lost.
  const rest = text === "" ? "+" : text;
  return `- ${place} ${BEGINS.test(rest) ? rest : `+ ${rest}`}`;
}

export const domainOf = (as: string): string => as.split("-", 1)[0] ?? as;

/** The domains and ASes that paths cross and that are none of the ends', those of most paths first. */
export function crossed(paths: FencePath[], most: number): { domains: string[]; ases: string[] } {
  const counts = (pick: (path: FencePath) => string[]): string[] => {
    const seen = new Map<string, number>();
    for (const path of paths) for (const one of new Set(pick(path))) seen.set(one, (seen.get(one) ?? 0) + 1);
    return [...seen].sort(([a, n], [b, m]) => m - n || order(a, b)).map(([one]) => one);
  };
  const ends = new Set(paths.flatMap((path) => [path.ases[0] ?? "", path.ases.at(-1) ?? ""]));
  const home = new Set([...ends].map(domainOf));
  const between = (path: FencePath): string[] => path.ases.filter((as) => !ends.has(as));
  return {
    domains: counts((path) => between(path).map(domainOf)).filter((domain) => !home.has(domain)),
    ases: counts(between).slice(0, most),
  };
}

export type LinkState = "on" | "in" | "out";

export interface Node {
  as: string;
  /** How far from the head end, and the how-manieth of how many there. */
  column: number;
  row: number;
  of: number;
  end: boolean;
  /** Whether no allowed path crosses it. */
  out: boolean;
}

export interface Edge {
  id: string;
  from: string;
  to: string;
  /** 0 where it is the only one between the two; else how far from the middle. */
  bend: number;
  state: LinkState;
}

export interface Picture {
  columns: number;
  rows: number;
  nodes: Node[];
  edges: Edge[];
}

const order = (a: string, b: string): number => a.localeCompare(b, "en", { numeric: true });

/** ASes in columns by their greatest distance from the head end, and the links between them. */
export function picture(paths: FencePath[]): Picture {
  const depth = new Map<string, number>();
  const allowed = new Set<string>();
  const ends = new Set<string>();
  const edges = new Map<string, Omit<Edge, "bend">>();
  const rank: Record<LinkState, number> = { out: 0, in: 1, on: 2 };
  for (const path of paths) {
    const state: LinkState = path.refused !== null ? "out" : path.active ? "on" : "in";
    path.ases.forEach((as, i) => {
      depth.set(as, Math.max(depth.get(as) ?? 0, i));
      if (state !== "out") allowed.add(as);
      if (i === 0 || i === path.ases.length - 1) ends.add(as);
    });
    const words = path.hops.split(/\s+/);
    for (let i = 0; i + 2 < words.length; i += 2) {
      const [from = "", , to = ""] = words.slice(i, i + 3);
      const id = words.slice(i, i + 3).join(" ");
      const known = edges.get(id);
      if (known === undefined || rank[known.state] < rank[state]) edges.set(id, { id, from, to, state });
    }
  }
  const columns: string[][] = [];
  for (const [as, at] of depth) (columns[at] ??= []).push(as);
  const nodes = columns.flatMap((ases, column) =>
    ases
      .sort(order)
      .map((as, row) => ({ as, column, row, of: ases.length, end: ends.has(as), out: !allowed.has(as) })),
  );
  const beside = new Map<string, string[]>();
  for (const { id, from, to } of edges.values()) {
    const pair = `${from} ${to}`;
    beside.set(pair, [...(beside.get(pair) ?? []), id]);
  }
  return {
    columns: columns.length,
    rows: Math.max(1, ...columns.map((ases) => ases.length)),
    nodes,
    edges: [...edges.values()]
      .map((edge) => {
        const all = (beside.get(`${edge.from} ${edge.to}`) ?? []).sort(order);
        return { ...edge, bend: all.indexOf(edge.id) - (all.length - 1) / 2 };
      })
      // The active one is drawn last, over all others.
      .sort((a, b) => rank[a.state] - rank[b.state]),
  };
}
