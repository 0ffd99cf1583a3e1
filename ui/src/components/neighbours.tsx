import { useKey } from "../lib/hooks.ts";
import { navigate } from "../lib/router.ts";
import { Icon } from "./icons.tsx";

interface Ways {
  /** Addresses of what stands before and after it in the list; null or undefined where there is none. */
  previous: string | null | undefined;
  next: string | null | undefined;
}

/** The keys [ and ] lead to what stands before and after it. */
export function useNeighbours({ previous, next }: Ways): void {
  useKey("[", () => (previous ? navigate(previous) : undefined));
  useKey("]", () => (next ? navigate(next) : undefined));
}

/** Two buttons to what stands before and after it, for the head of a page. */
export function Neighbours({
  previous,
  next,
  texts,
  testid,
}: Ways & { texts: { previous: string; next: string }; testid: string }) {
  return (
    <div class="actions steps-actions">
      {(
        [
          ["previous", previous, "chevron-left"],
          ["next", next, "chevron-right"],
        ] as const
      ).map(([way, href, icon]) =>
        href ? (
          <a
            key={way}
            class="btn icon"
            href={href}
            aria-label={texts[way]}
            title={texts[way]}
            data-testid={`${testid}-${way}`}
          >
            <Icon name={icon} />
          </a>
        ) : null,
      )}
    </div>
  );
}
