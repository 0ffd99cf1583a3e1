/**
 * The state of the live connection as a plain machine: what happened and the time come in, what to do comes
 * out. No timer, no network and no chance in here.
 */

export type LiveState = "connecting" | "live" | "stale" | "offline";

export interface LiveView {
  state: LiveState;
  /** When the last event came, or null before the first. */
  last: number | null;
  /** When the next try is due, where one is. */
  retryAt: number | null;
  /** Whether the head end refused, so that no further try helps. */
  refused: boolean;
}

export type LiveAction = "open" | "close" | "none";

/** The first second shows nothing, then "Connecting". */
export const QUIET_MS = 1_000;
/** Without an event for so long the connection is given up and shown as offline. */
export const OFFLINE_MS = 30_000;
/** A head end that does not answer for so long does not answer. */
export const OPEN_MS = 15_000;
/** A hidden page closes its stream after so long. */
export const HIDDEN_MS = 60_000;
const RETRY_S = [1, 2, 4, 8, 16, 30] as const;

/** Seconds until the nth retry (from 0), with jitter of up to a fifth either way; `random` is 0 to 1. */
export function retryDelayMs(attempt: number, random: number): number {
  const seconds = RETRY_S[Math.min(attempt, RETRY_S.length - 1)] ?? 30;
  return Math.round(seconds * 1000 * (0.8 + 0.4 * Math.min(1, Math.max(0, random))));
}

export class LiveMachine {
  private started: number | null = null;
  private last: number | null = null;
  private open = false;
  /** Since when an answer is waited for. */
  private openingSince: number | null = null;
  private attempt = 0;
  private retryAt: number | null = null;
  private hiddenSince: number | null = null;
  private asleep = false;
  private refused = false;
  private failedAt: number | null = null;

  /** `periodMs` is the longest time between two events of a healthy stream. */
  constructor(private readonly periodMs: number) {}

  start(now: number): LiveAction {
    this.started = now;
    this.openingSince = now;
    return "open";
  }

  /** The stream answered; an event may still take its time. */
  opened(now: number): void {
    this.open = true;
    this.openingSince = null;
    this.refused = false;
    this.retryAt = null;
    if (this.last === null) this.started = now;
  }

  /** An event or a sign of life that carries data came. */
  event(now: number): void {
    this.last = now;
    this.attempt = 0;
    this.failedAt = null;
  }

  /** The stream ended or could not be opened. */
  failed(now: number, random: number): void {
    if (this.asleep) return;
    this.open = false;
    this.openingSince = null;
    this.failedAt ??= now;
    this.retryAt = now + retryDelayMs(this.attempt, random);
    this.attempt += 1;
  }

  /** The head end refused for good, for instance since the session ended. */
  refuse(now: number): void {
    this.open = false;
    this.openingSince = null;
    this.refused = true;
    this.retryAt = null;
    this.failedAt ??= now;
  }

  /** Somebody asks for a try at once; a try under way is given up for it. */
  tryNow(now: number): LiveAction {
    if (this.open) return "none";
    this.retryAt = null;
    this.refused = false;
    this.openingSince = now;
    return "open";
  }

  hidden(now: number): void {
    this.hiddenSince ??= now;
  }

  /** The page is seen again: a closed stream is opened, and what was missed is to be read again. */
  shown(now: number): LiveAction {
    this.hiddenSince = null;
    if (!this.asleep) return "none";
    this.asleep = false;
    this.started = now;
    this.openingSince = now;
    return "open";
  }

  /** Time passes; asked about once a second. */
  tick(now: number): LiveAction {
    if (this.asleep) return "none";
    if (this.hiddenSince !== null && now - this.hiddenSince >= HIDDEN_MS) {
      this.asleep = true;
      this.open = false;
      this.openingSince = null;
      this.retryAt = null;
      return "close";
    }
    if (this.retryAt !== null && now >= this.retryAt) {
      this.retryAt = null;
      this.openingSince = now;
      return "open";
    }
    return "none";
  }

  /** Whether the stream is silent for so long that it must be taken for dead. */
  dead(now: number): boolean {
    if (this.openingSince !== null && now - this.openingSince >= OPEN_MS) return true;
    if (!this.open || this.asleep) return false;
    return now - (this.last ?? this.started ?? now) >= OFFLINE_MS;
  }

  view(now: number): LiveView {
    return { state: this.state(now), last: this.last, retryAt: this.retryAt, refused: this.refused };
  }

  private state(now: number): LiveState {
    if (this.refused) return "offline";
    const since = this.last ?? this.started ?? now;
    if (this.last === null) {
      if (this.failedAt !== null && !this.open)
        return now - since >= OFFLINE_MS || this.attempt > 1 ? "offline" : "connecting";
      return now - since >= OFFLINE_MS ? "offline" : "connecting";
    }
    const silent = now - this.last;
    if (silent >= OFFLINE_MS) return "offline";
    if (silent > 2.5 * this.periodMs || this.failedAt !== null) return "stale";
    return "live";
  }
}

/** The same three states for values of one meter, from the time of the newest one. */
export function freshness(at: number | null, now: number, periodMs: number): LiveState {
  if (at === null) return "connecting";
  const silent = now - at;
  if (silent >= OFFLINE_MS) return "offline";
  return silent > 2.5 * periodMs ? "stale" : "live";
}
