import type { ComponentChildren } from "preact";

/** The nine states of the design language; each is a shape, a word, and only then a colour. */
export type Shape = "ok" | "warn" | "crit" | "off" | "miss" | "pend" | "run" | "info" | "todo";

const COLOURS: Record<Shape, string> = {
  ok: "ok",
  warn: "warn",
  crit: "crit",
  off: "crit",
  miss: "miss",
  pend: "pend",
  run: "info",
  info: "info",
  todo: "miss",
};

/** The shape of a state as the head end names it; a new meter has nothing read yet. */
export function shapeOf(state: string): Shape {
  if (state === "new") return "todo";
  return state in COLOURS ? (state as Shape) : "info";
}

export function StatusShape({ shape }: { shape: Shape }) {
  return (
    <svg class="s" viewBox="0 0 12 12" aria-hidden="true" focusable="false">
      <use href={`#s-${shape}`} />
    </svg>
  );
}

/** Shape and word without ground, for tables and lines. */
export function Status({ shape, children }: { shape: Shape; children?: ComponentChildren }) {
  return (
    <span class={`st st-${COLOURS[shape]}`}>
      <StatusShape shape={shape} />
      {children}
    </span>
  );
}

/** Shape and word on a soft ground, for the head of a page only. */
export function Pill({ shape, children }: { shape: Shape; children: ComponentChildren }) {
  return (
    <span class={`st st-${COLOURS[shape]} pill`}>
      <StatusShape shape={shape} />
      {children}
    </span>
  );
}
