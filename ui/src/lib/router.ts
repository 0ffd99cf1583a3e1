import { useCallback } from "preact/hooks";
import { Store, useStore } from "./store.ts";

export interface Place {
  path: string;
  query: URLSearchParams;
}

const here = (): Place => ({ path: location.pathname, query: new URLSearchParams(location.search) });

/** Where the page is. */
export const place = new Store<Place>(here());

/** Becomes greater with each change of page, not of filters; the page then focuses its heading. */
export const visits = new Store(0);

addEventListener("popstate", () => {
  const before = place.value.path;
  place.set(here());
  if (place.value.path !== before) visits.set(visits.value + 1);
});

/** Goes to an address of this interface. `replace` leaves no entry in the history. */
export function navigate(href: string, replace = false): void {
  const url = new URL(href, location.origin);
  if (url.origin !== location.origin) return;
  const before = place.value.path;
  const same = url.pathname + url.search === location.pathname + location.search;
  if (replace || same) history.replaceState(null, "", url.pathname + url.search);
  else history.pushState(null, "", url.pathname + url.search);
  place.set(here());
  if (url.pathname !== before) {
    scrollTo(0, 0);
    visits.set(visits.value + 1);
  }
}

/** Follows plain clicks on links of this interface; everything else is left to the browser. */
export function followLinks(): void {
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.("a");
    if (!link || !link.href || link.target || link.hasAttribute("download")) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || url.pathname.startsWith("/api/")) return;
    if (url.pathname === "/licences.txt") return;
    if (url.hash !== "" && url.pathname === location.pathname) return;
    event.preventDefault();
    navigate(url.pathname + url.search);
  });
}

/** The query of the page and a way to change some of it. An empty value takes a key away. */
export function useQuery(): [URLSearchParams, (changes: Record<string, string>, replace?: boolean) => void] {
  const { query } = useStore(place);
  const change = useCallback((changes: Record<string, string>, replace = true) => {
    const next = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(changes)) {
      if (value === "") next.delete(key);
      else next.set(key, value);
    }
    const text = next.toString();
    navigate(location.pathname + (text === "" ? "" : `?${text}`), replace);
  }, []);
  return [query, change];
}
