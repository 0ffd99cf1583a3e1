import { Store } from "./store.ts";

const KEY = "gridward.single-keys";

function stored(): boolean {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true;
  }
}

/** Whether single keys act; some input methods and readers need them off (WCAG 2.1.4). */
export const singleKeys = new Store(stored());

export function setSingleKeys(on: boolean): void {
  try {
    localStorage.setItem(KEY, on ? "on" : "off");
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  singleKeys.set(on);
}

type Action = (event: KeyboardEvent) => void;

const actions = new Map<string, Action[]>();

/** Binds a key ("/"), or a sequence ("g f"), until the function returned is called. The latest binding wins. */
export function bind(keys: string, action: Action): () => void {
  const list = actions.get(keys) ?? [];
  list.push(action);
  actions.set(keys, list);
  return () => {
    const at = list.indexOf(action);
    if (at >= 0) list.splice(at, 1);
  };
}

/** Whether typing goes into a field now. */
export function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

let prefix: string | null = null;
let prefixAt = 0;

/** Starts to listen; called once. */
export function listen(): void {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (typing(event.target) || !singleKeys.value) return;
    if (document.querySelector("dialog[open]")) return;
    const pressed = event.key;
    const sequence = prefix !== null && event.timeStamp - prefixAt < 1500 ? `${prefix} ${pressed}` : null;
    prefix = null;
    const found = (sequence ? actions.get(sequence)?.at(-1) : undefined) ?? actions.get(pressed)?.at(-1);
    if (found) {
      event.preventDefault();
      found(event);
    } else if (pressed === "g") {
      prefix = "g";
      prefixAt = event.timeStamp;
    }
  });
}
