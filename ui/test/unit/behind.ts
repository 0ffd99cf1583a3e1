import type { BehindMeter } from "../../src/lib/types.ts";

/** A meter behind a concentrator, of which little is known. */
export function meter(sap: number, hops: number, quality: number | null, there = true): BehindMeter {
  return {
    name: `GWD${String(sap).padStart(13, "0")}`,
    sap,
    id: null,
    place: "",
    feeder: "",
    phase: "",
    state: null,
    state_text: "",
    segment: 0,
    there,
    heard: null,
    hops,
    sap_since: null,
    repeated_today: null,
    quality_permille: quality,
    behind: null,
    mode: "direct",
    has_keys: false,
    held_rows: 0,
    read_today: null,
  };
}
