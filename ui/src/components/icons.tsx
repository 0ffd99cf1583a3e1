import sprite from "virtual:icons";
import type { ICONS } from "../../build/plugins.ts";

export type IconName = (typeof ICONS)[number];

/** A lucide icon from the sprite; it says nothing to a reader. */
export function Icon({ name, class: extra }: { name: IconName; class?: string }) {
  return (
    <svg class={extra ? `i ${extra}` : "i"} aria-hidden="true" focusable="false">
      <use href={`${sprite}#${name}`} />
    </svg>
  );
}

/** The shield with a load curve. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 24 24" fill="none" aria-hidden="true" focusable="false">
      <path d="M12 2.2 20.4 5v6.6c0 5-3.5 8.6-8.4 10.2-4.9-1.6-8.4-5.2-8.4-10.2V5Z" fill="currentColor" />
      <path class="cut" d="M7 13.4h2.4l1.7-5 2.2 7.4 1.6-4.2H17" />
    </svg>
  );
}

/** The nine status shapes, drawn once in the page and used by name. */
export function StatusShapes() {
  return (
    <svg class="sprite" aria-hidden="true" focusable="false">
      <symbol id="s-ok" viewBox="0 0 12 12">
        <circle cx="6" cy="6" r="6" fill="currentColor" />
        <path class="cut" d="M3.4 6.2 5.3 8 8.7 4.3" />
      </symbol>
      <symbol id="s-warn" viewBox="0 0 12 12">
        <path
          d="M5.05 1.2a1.1 1.1 0 0 1 1.9 0l4.7 8.4a1.1 1.1 0 0 1-.95 1.65H1.3A1.1 1.1 0 0 1 .35 9.6Z"
          fill="currentColor"
        />
        <path class="cut" d="M6 4.3v2.6" />
        <circle class="dotc" cx="6" cy="9" r=".85" />
      </symbol>
      <symbol id="s-crit" viewBox="0 0 12 12">
        <path d="M3.5 0h5L12 3.5v5L8.5 12h-5L0 8.5v-5Z" fill="currentColor" />
        <path class="cut" d="M4.2 4.2l3.6 3.6M7.8 4.2 4.2 7.8" />
      </symbol>
      <symbol id="s-off" viewBox="0 0 12 12">
        <circle cx="6" cy="6" r="5" fill="none" stroke="currentColor" stroke-width="1.6" />
        <path d="M2.6 9.4 9.4 2.6" stroke="currentColor" stroke-width="1.6" />
      </symbol>
      <symbol id="s-miss" viewBox="0 0 12 12">
        <circle
          cx="6"
          cy="6"
          r="5"
          fill="none"
          stroke="currentColor"
          stroke-width="1.6"
          stroke-dasharray="2.6 2.6"
        />
      </symbol>
      <symbol id="s-pend" viewBox="0 0 12 12">
        <path d="M6 0 12 6 6 12 0 6Z" fill="currentColor" />
        <circle class="dotc" cx="6" cy="6" r="1.7" />
      </symbol>
      <symbol id="s-run" viewBox="0 0 12 12">
        <circle
          cx="6"
          cy="6"
          r="5"
          fill="none"
          stroke="currentColor"
          stroke-width="2"
          stroke-dasharray="22 10"
          stroke-linecap="round"
        />
      </symbol>
      <symbol id="s-info" viewBox="0 0 12 12">
        <rect width="12" height="12" rx="3" fill="currentColor" />
        <path class="cut" d="M6 5.4v3.4" />
        <circle class="dotc" cx="6" cy="3.2" r=".85" />
      </symbol>
      <symbol id="s-todo" viewBox="0 0 12 12">
        <circle cx="6" cy="6" r="5" fill="none" stroke="currentColor" stroke-width="1.6" />
      </symbol>
    </svg>
  );
}
