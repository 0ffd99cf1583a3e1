import type { Link } from "../lib/segment.ts";
import { concentrators as T } from "../texts/concentrators.en.ts";
import type { Shape } from "./status.tsx";

const LIT: Record<Link, number> = { good: 4, up: 4, fair: 2, poor: 1, silent: 0 };
const COLOUR: Record<Link, string> = { good: "ok", up: "ok", fair: "warn", poor: "crit", silent: "miss" };

export const LINK_SHAPE: Record<Link, Shape> = {
  good: "ok",
  up: "ok",
  fair: "warn",
  poor: "crit",
  silent: "miss",
};

/** Four bars, as many lit as the link is good. */
export function Bars({ link }: { link: Link }) {
  return (
    <svg class={`bars st-${COLOUR[link]}`} viewBox="0 0 18 12" aria-hidden="true" focusable="false">
      {[3, 6, 9, 12].map((height, i) => (
        <rect
          key={height}
          x={i * 4.6}
          y={12 - height}
          width="3.4"
          height={height}
          rx="1"
          class={i < LIT[link] ? "on" : ""}
        />
      ))}
    </svg>
  );
}

/** Bars and the word for them. */
export function LinkWord({ link }: { link: Link }) {
  return (
    <span class="nowrap">
      <Bars link={link} />
      <span class={`st st-${COLOUR[link]}`}>{T.linkLong[link]}</span>
    </span>
  );
}
