import { get, put, query } from "./api.ts";
import type { PathRun } from "./types.ts";

/** A path to a meter, and whether it may be taken. */
export interface FencePath {
  hops: string;
  ases: string[];
  fingerprint: string;
  /** One way, as its ASes say. */
  latency_ms: number | null;
  active: boolean;
  refused: string | null;
}

/** What an AS tells of itself: its own word, which nobody checks. */
export interface AsTold {
  isd_as: string;
  /** Where its routers on these paths are. */
  places: string[];
  note: string | null;
}

export type Remaining = "none" | "one" | "one_link" | "several";

/** The paths to a meter and what a fence leaves of them, the allowed ones first. */
export interface FenceView {
  fence: string | null;
  enrolled: string | null;
  /** The newest first; a fence of null is the enrolment's again. */
  saved: { at: string; who: string; reason: string; fence: string | null; allowed: number; known: number }[];
  known: number;
  allowed: number;
  remaining: Remaining;
  decides: string | null;
  active_stays: boolean | null;
  moved: string | null;
  /** Whether links of its network can be cut on purpose. */
  drills: boolean;
  paths: FencePath[];
  /** Each AS on any of the paths. */
  about: AsTold[];
}

const of = (meter: string): string => `/meters/${encodeURIComponent(meter)}`;

/** The head end's API of paths and fences. An empty fence is the enrolment's. */
export const fenceApi = {
  runs: (meter: string, limit: number, signal?: AbortSignal) =>
    get<{ total: number; rows: PathRun[] }>(`${of(meter)}/paths${query({ limit })}`, signal),
  view: (meter: string, signal?: AbortSignal) => get<FenceView>(`${of(meter)}/fence`, signal),
  preview: (meter: string, fence: string, signal?: AbortSignal) =>
    get<FenceView>(`${of(meter)}/fence/preview?fence=${encodeURIComponent(fence)}`, signal),
  save: (meter: string, fence: string, reason: string, send_nothing: boolean) =>
    put<FenceView>(`${of(meter)}/fence`, { fence: fence === "" ? null : fence, reason, send_nothing }),
};
