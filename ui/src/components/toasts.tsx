import { Store, useStore } from "../lib/store.ts";
import { StatusShape } from "./status.tsx";

interface Toast {
  id: number;
  text: string;
}

const SHOWN_MS = 6_000;
const MOST = 3;
const toasts = new Store<Toast[]>([]);
let count = 0;

/** Says for six seconds what the user just did. Never used for errors. */
export function toast(text: string): void {
  count += 1;
  const id = count;
  toasts.set([...toasts.value, { id, text }].slice(-MOST));
  setTimeout(() => toasts.set(toasts.value.filter((one) => one.id !== id)), SHOWN_MS);
}

export function Toasts() {
  const list = useStore(toasts);
  return (
    <div class="toasts" role="status" data-testid="toasts">
      {list.map(({ id, text }) => (
        <p class="toast" key={id}>
          <span class="st st-ok">
            <StatusShape shape="ok" />
          </span>
          {text}
        </p>
      ))}
    </div>
  );
}
