import { minus } from "../../lib/format.ts";
import type { PlotSpec } from "./spec.ts";

type PowerLine = Pick<PlotSpec, "kind" | "times" | "series" | "unit" | "yText" | "yRange">;

/**
 * A line of power: `watts` at `times` with nulls where it breaks, in kW where one of the values that are `shown` is
 * that large. Without any value the axis is bare.
 */
export function powerLine(times: number[], watts: (number | null)[], shown: number[]): PowerLine {
  const none = shown.length === 0;
  const kilo = shown.some((w) => Math.abs(w) >= 1000);
  return {
    kind: "line",
    times,
    series: [
      {
        values: watts.map((w) => (w === null ? null : kilo ? w / 1000 : w)),
        colour: "--c1",
        area: "--c-area",
      },
    ],
    unit: none ? "" : kilo ? "kW" : "W",
    yText: (value, digits) => (none ? "" : value === 0 ? "0" : minus(value.toFixed(digits))),
    ...(none ? { yRange: [0, 1] as [number, number] } : {}),
  };
}
