import { heartbeat } from "../lib/heartbeat.ts";
import { t } from "../texts/en.ts";

/** Thirty days in a strip: grey is complete, half and amber is partly read, hollow is nothing read. */
export function Heartbeat({ days }: { days: (number | null)[] }) {
  const paths = heartbeat(days);
  return (
    <>
      <svg class="hb" viewBox="0 0 122 16" aria-hidden="true" focusable="false">
        {paths.full ? <path class="w" d={paths.full} /> : null}
        {paths.partial ? <path class="p" d={paths.partial} /> : null}
        {paths.none ? <path class="x" d={paths.none} /> : null}
      </svg>
      <span class="vh">{t.fleet.notComplete(paths.bad, paths.days)}</span>
    </>
  );
}
