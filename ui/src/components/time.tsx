import { exact, iso, when } from "../lib/time.ts";
import { siteZone } from "../lib/session.ts";

/** A time in few words; the exact one is in its title and machine-readable. */
export function Time({ at, now, text }: { at: number; now: number; text?: string }) {
  const zone = siteZone();
  return (
    <time dateTime={iso(at)} title={exact(at, zone)}>
      {text ?? when(at, now, zone)}
    </time>
  );
}
