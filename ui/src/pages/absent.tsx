import { ObjectPage } from "../components/page.tsx";
import type { Crumb } from "../components/shell.tsx";
import type { Reading } from "../lib/hooks.ts";

/** The page of one thing that there is not, or that could not be asked for. */
export function Absent<T>({
  of,
  name,
  what,
  crumbs,
  ...texts
}: {
  of: Reading<T>;
  name: string;
  what: string;
  crumbs: Crumb[];
  unknownTitle: string;
  unknownText: string;
}) {
  return (
    <ObjectPage of={of} title={name} what={what} crumbs={crumbs} texts={texts}>
      {null}
    </ObjectPage>
  );
}
