import { useEffect, useState } from "preact/hooks";

/** One value that components follow. */
export class Store<T> {
  private readonly listeners = new Set<() => void>();

  constructor(private current: T) {}

  get value(): T {
    return this.current;
  }

  set(next: T): void {
    if (Object.is(next, this.current)) return;
    this.current = next;
    for (const listener of [...this.listeners]) listener();
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

/** The value of a store; the component draws again when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, redraw] = useState(0);
  useEffect(() => {
    const seen = store.value;
    const stop = store.subscribe(() => redraw((n) => n + 1));
    // A change between drawing and following is not lost.
    if (!Object.is(seen, store.value)) redraw((n) => n + 1);
    return stop;
  }, [store]);
  return store.value;
}
