import type { Span } from "../../lib/gaps.ts";
import type { Zone } from "../../lib/time.ts";

/** A colour token of the design language; charts hold no colour of their own. */
export type ColourToken = `--${string}`;

export interface PlotSeries {
  values: (number | null)[];
  colour: ColourToken;
  /** Soft ground under a line; for one series only. */
  area?: ColourToken;
  /** Second and further lines also differ by dash. */
  dash?: number[];
}

/** What a chart shows, apart from the screen. Times are milliseconds. */
export interface PlotSpec {
  kind: "bars" | "line";
  /** Interval starts for bars, times of samples for a line. */
  times: number[];
  /** Width of a bar in time; for a line the usual distance of samples. */
  stepMs: number;
  series: PlotSeries[];
  /** The colour of a single bar, where it is not that of its series. */
  barColour?: (index: number) => ColourToken | null;
  from: number;
  to: number;
  gaps: Span[];
  /** Values of a compared period over the bars: marks, never a second fill. */
  marks?: (number | null)[];
  /** At most so many lines across; fewer suit a low chart. */
  lines?: number;
  /** Unit above the axis. */
  unit: string;
  /** Text of a tick of the y axis. */
  yText: (value: number, digits: number) => string;
  /** Fixed range; without it the axis starts at zero and ends at a round number. */
  yRange?: [number, number];
  threshold?: { value: number; text: string };
  /** Bold text at the right end. */
  endText?: string;
  /** Draws a dot at the newest sample. */
  endDot?: boolean;
  zone: Zone;
  gapTitle: string;
  gapText: (intervals: number) => string;
}

export interface PlotHandle {
  update: (spec: PlotSpec) => void;
  range: (from: number, to: number) => void;
  /** Puts the cursor at a time, or takes it away. */
  cursor: (at: number | null) => void;
  resize: (width: number) => void;
  png: (title: string, subtitle: string) => Promise<Blob>;
  destroy: () => void;
}
