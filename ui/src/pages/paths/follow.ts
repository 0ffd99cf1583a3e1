import { useBurst, useLiveEvent, useTopic } from "../../lib/hooks.ts";

/** Readings come in bursts; so long after one of them what is shown is read again. */
const BURST_MS = 2_000;

/** Follows a meter once it is `known`, and reads `again` after its readings. */
export function useReadings(id: string, known: boolean, again: () => void): void {
  useTopic(known ? `meter:${id}` : null);
  const later = useBurst(BURST_MS, again);
  useLiveEvent<{ id: string }>("meter", (event) => {
    if (event.id === id) later();
  });
}
