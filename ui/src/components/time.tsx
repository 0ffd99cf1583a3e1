import type { ComponentChildren } from "preact";
import { exact, iso, parse, when } from "../lib/time.ts";
import { siteZone } from "../lib/session.ts";
import { NoValue } from "./number.tsx";

/** A time in few words; the exact one is in its title and machine-readable. */
export function Time({ at, now, text }: { at: number; now: number; text?: string | undefined }) {
  const zone = siteZone();
  return (
    <time dateTime={iso(at)} title={exact(at, zone)}>
      {text ?? when(at, now, zone)}
    </time>
  );
}

/** A time as the head end writes it, or what stands there where there is none. */
export function Stamp({
  at,
  now,
  none = <NoValue />,
}: {
  at: string | null | undefined;
  now: number;
  none?: ComponentChildren;
}) {
  const ms = parse(at);
  return ms === null ? <>{none}</> : <Time at={ms} now={now} />;
}

/** When it was, at the end of a line of a list; nothing where that is not known. */
export function When({
  at,
  now,
  text,
}: {
  at: string | null | undefined;
  now: number;
  text?: string | undefined;
}) {
  const ms = parse(at);
  return ms === null ? null : (
    <span class="when">
      <Time at={ms} now={now} text={text} />
    </span>
  );
}
