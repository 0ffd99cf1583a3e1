/** Draws a chart with uPlot; a file of its own, read with the first chart. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { clip } from "../../lib/gaps.ts";
import { niceRange, tickDigits, ticks, timeTicks } from "../../lib/scale.ts";
import type { ColourToken, PlotHandle, PlotSpec } from "./spec.ts";

const FONT_PX = 11;
const AXIS_Y_PX = 36;
const AXIS_X_PX = 22;
/** Between a label and the plot, and some air at its other side. */
const LABEL_GAP_PX = 8;
const TOP_PX = 20;
const MOST_LINES = 6;

type Colours = (token: ColourToken) => string;

function readColours(host: Element): Colours {
  const style = getComputedStyle(host);
  const kept = new Map<string, string>();
  return (token) => {
    let colour = kept.get(token);
    if (colour === undefined) {
      colour = style.getPropertyValue(token).trim();
      kept.set(token, colour);
    }
    return colour;
  };
}

function family(host: Element): string {
  return getComputedStyle(host).fontFamily;
}

/** x is milliseconds; bars are held at the middle of their interval, so that the cursor finds them. */
function dataOf(spec: PlotSpec): uPlot.AlignedData {
  const half = spec.kind === "bars" ? spec.stepMs / 2 : 0;
  const x = spec.times.map((time) => time + half);
  return [x, ...spec.series.map((series) => series.values)] as uPlot.AlignedData;
}

function yRangeOf(spec: PlotSpec, from: number, to: number): [number, number] {
  if (spec.yRange) return spec.yRange;
  let low = 0;
  let high = 0;
  for (const values of [...spec.series.map((series) => series.values), spec.marks ?? []]) {
    for (const [i, value] of values.entries()) {
      const time = spec.times[i] ?? 0;
      if (value === null || time + spec.stepMs < from || time > to) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (spec.threshold) high = Math.max(high, spec.threshold.value);
  return niceRange(low, high, spec.lines ?? MOST_LINES);
}

function build(
  host: HTMLElement,
  first: PlotSpec,
  size: { width: number; height: number },
  scale: number,
  view: { from: number; to: number },
  onCursor: ((at: number | null) => void) | null,
): { plot: uPlot; set: (spec: PlotSpec) => void } {
  let spec = first;
  const colours = readColours(host);
  const font = family(host);
  // All drawing is in device pixels; `scale` makes everything larger for a picture to keep.
  const unit = (): number => devicePixelRatio * scale;
  const text = (weight: number): string => `${weight} ${FONT_PX * unit()}px ${font}`;

  const yTicks = (u: uPlot): number[] => {
    const { min = 0, max = 1 } = u.scales.y ?? {};
    return ticks(min ?? 0, max ?? 1, spec.lines ?? MOST_LINES);
  };

  const hatch = (ctx: CanvasRenderingContext2D, x: number, y: number, w: number, h: number): void => {
    const px = unit();
    ctx.save();
    ctx.beginPath();
    ctx.rect(x, y, w, h);
    ctx.fillStyle = colours("--gap");
    ctx.fill();
    ctx.clip();
    ctx.beginPath();
    ctx.strokeStyle = colours("--gap-line");
    ctx.lineWidth = px;
    const step = 6 * px;
    // Lines stand on a fixed grid, so that they do not move with the gap.
    for (let k = Math.floor((x - h) / step) * step; k < x + w; k += step) {
      ctx.moveTo(k, y + h);
      ctx.lineTo(k + h, y);
    }
    ctx.stroke();
    ctx.restore();
  };

  const drawGaps = (u: uPlot): void => {
    const { min: from = 0, max: to = 0 } = u.scales.x ?? {};
    const { left, top, width, height } = u.bbox;
    for (const gap of clip(spec.gaps, from ?? 0, to ?? 0, spec.stepMs)) {
      const x0 = Math.max(left, u.valToPos(gap.from, "x", true));
      const x1 = Math.min(left + width, u.valToPos(gap.to, "x", true));
      hatch(u.ctx, x0, top, Math.max(1, x1 - x0), height);
    }
  };

  const drawGapLabels = (u: uPlot): void => {
    const { ctx, bbox } = u;
    const px = unit();
    const { min: from = 0, max: to = 0 } = u.scales.x ?? {};
    ctx.save();
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.font = text(500);
    for (const gap of clip(spec.gaps, from ?? 0, to ?? 0, spec.stepMs)) {
      const x0 = u.valToPos(gap.from, "x", true);
      const x1 = u.valToPos(gap.to, "x", true);
      if (x1 - x0 < 24 * px) continue;
      const lines = [spec.gapTitle, spec.gapText(gap.intervals)].filter((line) => line !== "");
      if (lines.length === 0) continue;
      const wide = Math.max(...lines.map((line) => ctx.measureText(line).width)) + 16 * px;
      const high = (lines.length * 15 + 8) * px;
      const middle = Math.min(
        bbox.left + bbox.width - wide / 2,
        Math.max(bbox.left + wide / 2, (x0 + x1) / 2),
      );
      const y = bbox.top + bbox.height * 0.45;
      ctx.fillStyle = colours("--gap");
      ctx.beginPath();
      ctx.roundRect(middle - wide / 2, y - high / 2, wide, high, 4 * px);
      ctx.fill();
      ctx.fillStyle = colours("--text-2");
      for (const [i, line] of lines.entries()) {
        ctx.fillText(line, middle, y + (i - (lines.length - 1) / 2) * 15 * px);
      }
    }
    ctx.restore();
  };

  const drawBars = (u: uPlot): void => {
    const { ctx, bbox } = u;
    const px = unit();
    const { min: from = 0, max: to = 0 } = u.scales.x ?? {};
    const zero = Math.min(bbox.top + bbox.height, Math.max(bbox.top, u.valToPos(0, "y", true)));
    const slot = Math.abs(u.valToPos(spec.stepMs, "x", true) - u.valToPos(0, "x", true));
    const space = slot >= 12 * px ? 3 * px : slot >= 3 ? Math.max(1, Math.round(slot / 5)) : 0;
    const radius = slot >= 8 * px ? 1.5 * px : 0;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const series of spec.series) {
      for (const [i, value] of series.values.entries()) {
        const time = spec.times[i] ?? 0;
        if (value === null || time >= (to ?? 0) || time + spec.stepMs <= (from ?? 0)) continue;
        const x0 = Math.round(u.valToPos(time, "x", true));
        const x1 = Math.round(u.valToPos(time + spec.stepMs, "x", true)) - Math.round(space);
        const y = u.valToPos(value, "y", true);
        ctx.fillStyle = colours(spec.barColour?.(i) ?? series.colour);
        const top = Math.min(y, zero);
        // A value of zero is a value: it keeps a hair of height, while a missing one has none.
        const high = Math.max(Math.abs(y - zero), px);
        ctx.beginPath();
        const from0 = value < 0 ? zero : Math.min(top, zero - high);
        ctx.roundRect(
          x0,
          from0,
          Math.max(1, x1 - x0),
          high,
          value < 0 ? [0, 0, radius, radius] : [radius, radius, 0, 0],
        );
        ctx.fill();
      }
    }
    ctx.fillStyle = colours("--c-ref");
    for (const [i, value] of (spec.marks ?? []).entries()) {
      if (value === null) continue;
      const x0 = Math.round(u.valToPos(spec.times[i] ?? 0, "x", true));
      const y = Math.round(u.valToPos(value, "y", true));
      ctx.fillRect(x0 - px, y - px, Math.max(px, slot - space + 2 * px), 2 * px);
    }
    ctx.restore();
  };

  /** Room for the longest label, so that no sign or digit is cut off; by steps, so that it seldom changes. */
  const axisWidth = (u: uPlot): number => {
    const values = yTicks(u);
    const digits = tickDigits(values);
    u.ctx.save();
    u.ctx.font = text(400);
    const widths = values.map((value) => u.ctx.measureText(spec.yText(value, digits)).width / unit());
    u.ctx.restore();
    return AXIS_Y_PX + Math.ceil(Math.max(0, Math.max(...widths) + LABEL_GAP_PX - AXIS_Y_PX) / 8) * 8;
  };

  const drawAxes = (u: uPlot): void => {
    const { ctx, bbox } = u;
    const px = unit();
    const values = yTicks(u);
    const digits = tickDigits(values);
    ctx.save();
    ctx.font = text(400);
    ctx.fillStyle = colours("--c-axis");
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    for (const value of values) {
      const y = u.valToPos(value, "y", true);
      ctx.fillText(spec.yText(value, digits), bbox.left - 6 * px, y);
    }
    if (spec.unit !== "") {
      ctx.fillText(spec.unit, bbox.left - 6 * px, bbox.top - 13 * px);
    }
    // The base line stands out from the grid.
    ctx.strokeStyle = colours("--line-2");
    ctx.lineWidth = Math.max(1, Math.round(px));
    const base =
      Math.round(u.valToPos(Math.max(0, u.scales.y?.min ?? 0), "y", true)) + (ctx.lineWidth % 2) / 2;
    ctx.beginPath();
    ctx.moveTo(bbox.left, base);
    ctx.lineTo(bbox.left + bbox.width, base);
    ctx.stroke();

    const { min: from = 0, max: to = 0 } = u.scales.x ?? {};
    const room = Math.max(2, Math.floor(bbox.width / px / 72));
    const y = bbox.top + bbox.height + 13 * px;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    const right = bbox.left + bbox.width;
    let end = spec.endText ? 0 : Number.POSITIVE_INFINITY;
    if (spec.endText) {
      ctx.font = text(600);
      const wide = ctx.measureText(spec.endText).width;
      ctx.fillStyle = colours("--text");
      ctx.fillText(spec.endText, right - wide / 2, y);
      end = right - wide - 8 * px;
    }
    const all = timeTicks(from ?? 0, to ?? 0, spec.zone, room);
    const middleOf = spec.kind === "bars" && spec.stepMs >= 23 * 3_600_000 ? spec.stepMs / 2 : 0;
    const placed: { x0: number; x1: number }[] = [];
    const place = (strong: boolean): void => {
      ctx.font = text(strong ? 600 : 400);
      ctx.fillStyle = strong ? colours("--text") : colours("--c-axis");
      for (const tick of all) {
        if (tick.strong !== strong) continue;
        const wide = ctx.measureText(tick.text).width;
        const at = u.valToPos(tick.at + middleOf, "x", true);
        const x = Math.max(
          at,
          bbox.left + (middleOf ? wide / 2 : 0) + (at - bbox.left < wide / 2 ? wide / 2 - 6 * px : 0),
        );
        const x0 = x - wide / 2;
        const x1 = x + wide / 2;
        if (x1 > end || x1 > right + 8 * px) continue;
        if (placed.some((other) => x0 < other.x1 + 10 * px && x1 > other.x0 - 10 * px)) continue;
        placed.push({ x0, x1 });
        ctx.fillText(tick.text, x, y);
      }
    };
    // Days come first, so that a clock time never takes the place of a day.
    place(true);
    place(false);
    ctx.restore();
  };

  const drawOver = (u: uPlot): void => {
    const { ctx, bbox } = u;
    const px = unit();
    if (spec.threshold) {
      const y = u.valToPos(spec.threshold.value, "y", true);
      ctx.save();
      ctx.strokeStyle = colours("--warn");
      ctx.lineWidth = px;
      ctx.setLineDash([4 * px, 3 * px]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.restore();
    }
    if (spec.endDot) {
      const series = spec.series[0];
      const i = spec.times.length - 1;
      const value = series?.values[i] ?? null;
      const time = spec.times[i] ?? 0;
      if (series && value !== null && time >= (u.scales.x?.min ?? 0)) {
        ctx.save();
        ctx.beginPath();
        ctx.arc(u.valToPos(time, "x", true), u.valToPos(value, "y", true), 4.5 * px, 0, 2 * Math.PI);
        ctx.fillStyle = colours(series.colour);
        ctx.strokeStyle = colours("--surface");
        ctx.lineWidth = 2 * px;
        ctx.fill();
        ctx.stroke();
        ctx.restore();
      }
    }
  };

  const plot = new uPlot(
    {
      width: size.width * scale,
      height: size.height * scale,
      padding: [TOP_PX * scale, (spec.kind === "line" ? 8 : 2) * scale, 0, 0],
      legend: { show: false },
      cursor: {
        show: onCursor !== null,
        x: true,
        y: false,
        points: { show: false },
        drag: { x: false, y: false, setScale: false },
      },
      scales: {
        x: { time: false, range: () => [view.from, view.to] },
        y: { range: () => yRangeOf(spec, view.from, view.to) },
      },
      axes: [
        {
          size: AXIS_X_PX * scale,
          grid: { show: false },
          ticks: { show: false },
          splits: () => [],
          values: () => [],
        },
        {
          size: (u) => axisWidth(u) * scale,
          ticks: { show: false },
          grid: { stroke: () => colours("--c-grid"), width: scale },
          splits: (u) => yTicks(u),
          values: (_u, splits) => splits.map(() => ""),
        },
      ],
      series: [
        {},
        ...spec.series.map((series): uPlot.Series =>
          spec.kind === "bars"
            ? { paths: () => null, points: { show: false } }
            : {
                stroke: () => colours(series.colour),
                width: 1.75 * scale,
                spanGaps: false,
                points: { show: false },
                ...(series.area ? { fill: () => colours(series.area ?? "--c-area") } : {}),
                ...(series.dash ? { dash: series.dash.map((d) => d * scale) } : {}),
              },
        ),
      ],
      hooks: {
        drawAxes: [drawGaps, ...(spec.kind === "bars" ? [drawBars] : [])],
        draw: [drawOver, drawAxes, drawGapLabels],
        ...(onCursor
          ? {
              setCursor: [
                (u: uPlot) => {
                  const left = u.cursor.left ?? -1;
                  onCursor(left < 0 ? null : u.posToVal(left, "x"));
                },
              ],
            }
          : {}),
      },
    },
    dataOf(spec),
    host,
  );
  return {
    plot,
    set: (next) => {
      spec = next;
      // In a batch the scales are in force at once, so that a cursor set next stands right.
      plot.batch(() => {
        plot.setData(dataOf(next), false);
        plot.setScale("x", { min: view.from, max: view.to });
      });
    },
  };
}

/** Puts a plot into an element. `onCursor` is told the time under the pointer, or null. */
export function makePlot(
  host: HTMLElement,
  first: PlotSpec,
  height: number,
  onCursor: (at: number | null) => void,
): PlotHandle {
  let spec = first;
  const view = { from: first.from, to: first.to };
  // Another range moves the time under a cursor that nobody moved; only a pointer says where it is.
  let muted = false;
  const size = { width: Math.max(120, host.clientWidth), height };
  const { plot, set } = build(host, first, size, 1, view, (at) => {
    if (!muted) onCursor(at);
  });
  return {
    update(next) {
      spec = next;
      set(next);
    },
    range(from, to) {
      view.from = from;
      view.to = to;
      muted = true;
      plot.batch(() => plot.setScale("x", { min: from, max: to }));
      muted = false;
    },
    cursor(at) {
      if (at === null) plot.setCursor({ left: -10, top: -10 });
      else plot.setCursor({ left: plot.valToPos(at, "x"), top: 0 }, false);
    },
    resize(width) {
      const wide = Math.max(120, Math.floor(width));
      if (wide !== size.width) {
        size.width = wide;
        plot.setSize({ width: wide, height });
      }
    },
    async png(title, subtitle) {
      const scale = 2 / devicePixelRatio;
      const away = document.createElement("div");
      away.className = "plot-away";
      host.append(away);
      try {
        const drawn = build(away, spec, size, scale, view, null);
        // uPlot draws in a microtask.
        await new Promise((done) => setTimeout(done, 0));
        const source = drawn.plot.ctx.canvas;
        const colours = readColours(host);
        const font = family(host);
        const head = 56 * 2;
        const pad = 16 * 2;
        const out = document.createElement("canvas");
        out.width = source.width + 2 * pad;
        out.height = source.height + head + pad;
        const ctx = out.getContext("2d");
        if (!ctx) throw new Error("no canvas");
        ctx.fillStyle = colours("--surface");
        ctx.fillRect(0, 0, out.width, out.height);
        ctx.fillStyle = colours("--text");
        ctx.font = `600 28px ${font}`;
        ctx.fillText(title, pad, pad + 22);
        ctx.fillStyle = colours("--text-2");
        ctx.font = `400 22px ${font}`;
        ctx.fillText(subtitle, pad, pad + 58);
        ctx.drawImage(source, pad, head);
        drawn.plot.destroy();
        return await new Promise<Blob>((done, fail) => {
          out.toBlob((blob) => (blob ? done(blob) : fail(new Error("no picture"))), "image/png");
        });
      } finally {
        away.remove();
      }
    },
    destroy: () => plot.destroy(),
  };
}
