import { Shell } from "../components/shell.tsx";
import { Failed } from "../components/states.tsx";
import type { Loaded } from "../lib/hooks.ts";
import { NotFound } from "./not-found.tsx";

/** The page of one thing that there is not, or that could not be asked for. */
export function Absent<T>({
  of,
  name,
  what,
  crumbs,
  unknownTitle,
  unknownText,
}: {
  of: Loaded<T> & { error: NonNullable<Loaded<T>["error"]> };
  name: string;
  what: string;
  crumbs: Parameters<typeof Shell>[0]["crumbs"];
  unknownTitle: string;
  unknownText: string;
}) {
  if (of.error.failure === "not_found") {
    return (
      <Shell ownFind title={unknownTitle} crumbs={crumbs}>
        <NotFound title={unknownTitle} text={unknownText} />
      </Shell>
    );
  }
  return (
    <Shell title={name} crumbs={crumbs}>
      <div class="head">
        <h1 tabIndex={-1}>{name}</h1>
      </div>
      <section class="card">
        <Failed error={of.error} what={what} onRetry={of.reload} />
      </section>
    </Shell>
  );
}
