/** What this page knows of the home, and what it keeps for the time when the gateway does not answer. */
import { enter, hear } from "../lib/session.ts";
import { Store } from "../lib/store.ts";
import { iso } from "../lib/time.ts";
import { add, joined, sampleOf, type Sample } from "./model.ts";
import type { History, HomeSession, HomeState, PowerNow } from "./types.ts";

const KEY = "gridward.home";

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

/** Begins a session; what was known before stays. */
export function begin(session: HomeSession): void {
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

function keep(): void {
  if (!info.value || !state.value) return;
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
