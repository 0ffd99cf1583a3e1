import type { Session } from "./types.ts";
import { Store } from "./store.ts";
import { Zone } from "./time.ts";

/** Who is signed in: undefined while not known, null when nobody is. */
export const session = new Store<Session | null | undefined>(undefined);

let serverAhead = 0;
let zone = new Zone("UTC");

/** Takes a session as the head end gave it, with its clock and zone. */
export function enter(next: Session): void {
  hear(next.now);
  zone = new Zone(next.zone);
  session.set(next);
}

/** Takes the server's present, so that this device may have another clock. */
export function hear(present: string): void {
  const at = Date.parse(present);
  if (!Number.isNaN(at)) serverAhead = at - Date.now();
}

/** The head end's present: ages are told by one clock, not by the one of this device. */
export function now(): number {
  return Date.now() + serverAhead;
}

/** The zone of the site. */
export function siteZone(): Zone {
  return zone;
}
