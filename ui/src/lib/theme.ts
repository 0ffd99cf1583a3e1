import { Store } from "./store.ts";

export type Theme = "light" | "dark";

const KEY = "gridward.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function current(): Theme {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === "light" || chosen === "dark") return chosen;
  return system.matches ? "dark" : "light";
}

/** The theme in use; charts read their colours again when it changes. */
export const theme = new Store<Theme>(current());

system.addEventListener("change", () => theme.set(current()));

/** Changes to the other theme and keeps the choice in this browser. */
export function toggleTheme(): void {
  const next: Theme = current() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
  theme.set(next);
}
