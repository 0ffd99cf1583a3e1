import { ask, get, post, query } from "./api.ts";

/** One reading of a drill; times are milliseconds since the first one was due. */
export interface DrillReading {
  due_ms: number;
  asked_ms: number;
  /** From when it was due to its answer; null where none came. */
  latency_ms: number | null;
  /** The number of its path. */
  path: number | null;
  /** How often it was sent. */
  sent: number;
  /** Whether an association had to be made for it. */
  anew: boolean;
  why: string | null;
}

export interface DrillTimeline {
  every_ms: number;
  /** The two ends of the link that was cut. */
  link: string | null;
  to: string | null;
  cut_ms: number | null;
  mended_ms: number | null;
  anew_ms: number | null;
  paths: { hops: string; fingerprint: string }[];
  readings: DrillReading[];
}

export interface DrillSummary {
  readings: number;
  lost: number;
  retried: number;
  usual_ms: number | null;
  gap_ms: number | null;
  gap_from_ms: number | null;
  from: number | null;
  to: number | null;
  moved_ms: number | null;
  back_ms: number | null;
}

export type DrillHow = "loud" | "silent";
export type DrillState = "waiting" | "steady" | "cut" | "mended" | "done" | "stopped" | "failed" | "cut_off";

export interface Drill {
  number: number;
  t: string;
  who: string;
  reason: string;
  /** Null: one that the path in use crossed. */
  link: string | null;
  how: DrillHow;
  mend_after_s: number;
  state: DrillState;
  answer: string | null;
  ended: string | null;
  summary: DrillSummary;
  timeline: DrillTimeline | null;
}

export interface Drills {
  why_not: string | null;
  shown: Drill | null;
  drills: Drill[];
}

export interface DrillLink {
  link: string;
  to: string;
  latency_ms: number;
  down: boolean;
  in_use: boolean;
  leaves: number;
}

export interface DrillLinks {
  links: DrillLink[];
  allowed: number;
  chosen: string | null;
  every_ms: number;
  lead_s: number;
  tail_s: number;
  mend_after_s_max: number;
}

/** A drill to begin. */
export interface NewDrill {
  /** Null: one that the path in use crosses. */
  link: string | null;
  how: DrillHow;
  mend_after_s: number;
  reason: string;
  /** The place, where no allowed path is left without the link. */
  confirm?: string;
}

const of = (meter: string): string => `/meters/${encodeURIComponent(meter)}/drill`;

/** The head end's API of drills. */
export const drillApi = {
  view: (meter: string, number: number | null, signal?: AbortSignal) =>
    get<Drills>(`${of(meter)}${query({ number })}`, signal),
  links: (meter: string, signal?: AbortSignal) => get<DrillLinks>(`${of(meter)}/links`, signal),
  begin: (meter: string, order: NewDrill) => post<Drill>(of(meter), order),
  /** Asks for its end; that its link is mended is told by the drill once it has ended. */
  stop: (meter: string) => ask(`${of(meter)}/stop`),
};
