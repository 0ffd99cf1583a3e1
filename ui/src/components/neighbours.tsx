import { useKey } from "../lib/hooks.ts";
import { navigate } from "../lib/router.ts";
import { Icon, type IconName } from "./icons.tsx";

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
      <Way href={previous} text={texts.previous} icon="chevron-left" testid={`${testid}-previous`} />
      <Way href={next} text={texts.next} icon="chevron-right" testid={`${testid}-next`} />
    </div>
  );
}

function Way({
  href,
  text,
  icon,
  testid,
}: {
  href: string | null | undefined;
  text: string;
  icon: IconName;
  testid: string;
}) {
  if (!href) return null;
  return (
    <a class="btn icon" href={href} aria-label={text} title={text} data-testid={testid}>
      <Icon name={icon} />
    </a>
  );
}
