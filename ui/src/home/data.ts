/** What this page knows of the home, and what it keeps for the time when the gateway does not answer. */
import { enter, hear } from "../lib/session.ts";
import { Store } from "../lib/store.ts";
import { iso } from "../lib/time.ts";
import { add, joined, sampleOf, type Sample } from "./model.ts";
import type { History, HomeSession, HomeState, PowerNow } from "./types.ts";

const KEY = "gridward.home";
const KEEP_MS = 60_000;

export const info = new Store<HomeSession | null>(null);
export const state = new Store<HomeState | null>(null);
export const samples = new Store<Sample[]>([]);
export const hours = new Store<History | null>(null);

interface Kept {
  info: HomeSession;
  state: HomeState;
  samples: Sample[];
  hours: History | null;
}

/** Begins a session; what was known before stays. A page of an older version gives way to the present one. */
export function begin(session: HomeSession): void {
  if (info.value && info.value.version !== session.version) {
    location.reload();
    return;
  }
  enter({ ...session, site: session.name });
  info.set(session);
}

export function takeState(next: HomeState): void {
  hear(next.now);
  state.set(next);
  if (next.power) takePower(next.power);
  keep();
}

export function takePower(power: PowerNow): void {
  const sample = sampleOf(power);
  if (sample) samples.set(add(samples.value, [sample]));
}

export function takeRaw(raw: History): void {
  samples.set(joined(raw, samples.value));
}

export function takeHours(history: History): void {
  hours.set(history);
  keep();
}

let keptAt = 0;

/** Keeps what is known, at most once a minute, since the memory of a tablet wears out; at once if it `must`. */
export function keep(must = false): void {
  if (!info.value || !state.value || (!must && Date.now() - keptAt < KEEP_MS)) return;
  keptAt = Date.now();
  const kept: Kept = {
    info: info.value,
    state: state.value,
    samples: samples.value,
    hours: hours.value,
  };
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // Without storage the page knows nothing after a reload while the gateway is away.
  }
}

/** Takes what was kept, and says whether there was anything. */
export function recall(): boolean {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "null") as Kept | null;
    if (!kept?.info || !kept.state) return false;
    // Ages are told by this device's clock until the gateway tells its own.
    begin({ ...kept.info, now: iso(Date.now()) });
    state.set(kept.state);
    hours.set(kept.hours);
    samples.set(Array.isArray(kept.samples) ? kept.samples : []);
    return true;
  } catch {
    return false;
  }
}

/** Whoever signs out leaves nothing on the device. */
export function forget(): void {
  keptAt = 0;
  info.set(null);
  state.set(null);
  samples.set([]);
  hours.set(null);
  try {
    localStorage.removeItem(KEY);
  } catch {
    // Nothing was kept then.
  }
}
