import type { CampaignLine, NewCampaign } from "./types.ts";

/** What was put into the form of a new campaign, as it stands there. */
export interface Draft {
  image: string;
  who: "all" | "endpoint" | "filter" | "list";
  endpoint: string;
  q: string;
  feeder: string;
  list: string;
  skipSilent: boolean;
  skipAlone: boolean;
  /** Per cent of the meters, rising to 100. */
  rings: string;
  /** Minutes between two rings. */
  soak: string;
  /** Per cent of a ring. */
  failures: string;
  /** The line's medium; empty where it is not known. */
  medium: string;
  /** Repetitions on S-FSK, hops on the others. */
  hops: string;
  /** Per cent of the blocks. */
  loss: string;
}

export type DraftField = "list" | "endpoint" | "rings" | "soak" | "failures" | "hops" | "loss";

export const NEW_DRAFT: Draft = {
  image: "",
  who: "all",
  endpoint: "",
  q: "",
  feeder: "",
  list: "",
  skipSilent: true,
  skipAlone: false,
  rings: "1, 10, 100",
  soak: "10",
  failures: "5",
  medium: "",
  hops: "0",
  loss: "5",
};

/** The head end takes so many rings. */
const RINGS_MAX = 10;

/** A decimal number with one digit behind the point at most, times ten; NaN where it is none. */
function tenths(text: string): number {
  const trimmed = text.trim().replace(",", ".");
  return /^\d{1,6}(?:\.\d)?$/.test(trimmed) ? Math.round(Number(trimmed) * 10) : NaN;
}

function whole(text: string): number {
  return /^\d{1,6}$/.test(text.trim()) ? Number(text.trim()) : NaN;
}

const within = (value: number, most: number): boolean => value >= 0 && value <= most;

/** The rings in thousandths; nothing where they do not rise to all. */
export function readRings(text: string): number[] | null {
  const parts = text.split(/[\s,;]+/).filter((part) => part !== "");
  const rings = parts.map((part) => tenths(part.replace(/%$/, "")));
  const rise = rings.every((ring, i) => ring > (rings[i - 1] ?? 0));
  return rise && rings.length <= RINGS_MAX && rings.at(-1) === 1000 ? rings : null;
}

/** The names of a list: with spaces, commas or lines between them, each once. */
export function readNames(text: string): string[] {
  return [...new Set(text.split(/[\s,;]+/).filter((name) => name !== ""))];
}

/** What would be asked of the head end, and which fields stand in the way. */
export function readDraft(draft: Draft): { body: NewCampaign; faults: DraftField[] } {
  const faults: DraftField[] = [];
  const note = (field: DraftField, ok: boolean): void => {
    if (!ok) faults.push(field);
  };
  const names = readNames(draft.list);
  const rings = readRings(draft.rings);
  const soak = whole(draft.soak);
  const failures = tenths(draft.failures);
  const hops = whole(draft.hops);
  const loss = tenths(draft.loss);
  note("endpoint", draft.who !== "endpoint" || draft.endpoint !== "");
  note("list", draft.who !== "list" || names.length > 0);
  note("rings", rings !== null);
  note("soak", within(soak, 10_080));
  note("failures", within(failures, 1000));
  let line: CampaignLine | undefined;
  if (draft.medium !== "") {
    const repeats = draft.medium === "s-fsk";
    note("hops", within(hops, repeats ? 7 : 15));
    note("loss", within(loss, 500));
    line = {
      medium: draft.medium,
      credit: repeats ? hops : 0,
      hops: repeats ? 0 : hops,
      loss_permille: loss,
    };
  }
  const body: NewCampaign = {
    image_id: draft.image,
    ...(draft.who === "endpoint" ? { endpoint: draft.endpoint } : {}),
    ...(draft.who === "list" ? { meters: names } : {}),
    ...(draft.who === "filter" && draft.q.trim() !== "" ? { q: draft.q.trim() } : {}),
    ...(draft.who === "filter" && draft.feeder !== "" ? { feeder: draft.feeder } : {}),
    skip: [
      ...(draft.skipSilent ? (["silent"] as const) : []),
      ...(draft.skipAlone ? (["no_broadcast_key"] as const) : []),
    ],
    settings: {
      rings: rings ?? [],
      soak_s: soak * 60,
      failures_permille: failures,
      ...(line ? { line } : {}),
    },
  };
  return { body, faults };
}
