import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "./api.ts";
import { bind } from "./keys.ts";
import { live } from "./live-client.ts";
import { now } from "./session.ts";
import { useStore } from "./store.ts";

/** The present, drawn again every `everyMs`. */
export function useNow(everyMs: number): number {
  const [time, setTime] = useState(now);
  useEffect(() => {
    const timer = setInterval(() => setTime(now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return time;
}

/** Whether a media query holds. */
export function useMedia(text: string): boolean {
  const [holds, setHolds] = useState(() => matchMedia(text).matches);
  useEffect(() => {
    const media = matchMedia(text);
    const change = (): void => setHolds(media.matches);
    change();
    media.addEventListener("change", change);
    return () => media.removeEventListener("change", change);
  }, [text]);
  return holds;
}

/** Binds a key while the component is there. */
export function useKey(keys: string, action: (event: KeyboardEvent) => void): void {
  const latest = useRef(action);
  latest.current = action;
  // Bound as soon as the page is there, so that a key pressed right after a change of page is not lost.
  useLayoutEffect(() => bind(keys, (event) => latest.current(event)), [keys]);
}

/** Follows an event of the stream while the component is there. */
export function useLiveEvent<T>(type: string, handler: (data: T) => void): void {
  const latest = useRef(handler);
  latest.current = handler;
  useEffect(() => live.on(type, (data) => latest.current(data as T)), [type]);
}

/** Adds a topic to the stream while the component is there; null adds none. */
export function useTopic(topic: string | null): void {
  useEffect(() => (topic === null ? undefined : live.follow([topic])), [topic]);
}

/** Answers a burst of calls once, `afterMs` after the first of them, while the component is there. */
export function useBurst(afterMs: number, action: () => void): () => void {
  const latest = useRef(action);
  latest.current = action;
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(
    () => () => {
      if (timer.current !== null) clearTimeout(timer.current);
    },
    [],
  );
  return useCallback(() => {
    timer.current ??= setTimeout(() => {
      timer.current = null;
      latest.current();
    }, afterMs);
  }, [afterMs]);
}

/** Something that is read from the head end, as far as it is shown. */
export interface Reading<T> {
  /** What is known, also while it is being read again. */
  data: T | null;
  error: ApiError | null;
  /** Since when the first reading is under way, or null. */
  waitingSince: number | null;
  /** When `data` was read. */
  at: number | null;
  reload: () => void;
  cancel: () => void;
}

export interface Loaded<T> extends Reading<T> {
  /** Changes what is known, for an event of the stream. */
  patch: (change: (data: T) => T) => void;
}

/**
 * Reads from the head end; reads again when `key` changes and after the stream was interrupted. Data of
 * another key is never shown.
 */
export function useLoad<T>(key: string, read: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const refills = useStore(live.refills);
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<{
    key: string;
    data: T | null;
    error: ApiError | null;
    at: number | null;
    waitingSince: number | null;
  }>({ key, data: null, error: null, at: null, waitingSince: now() });
  const latest = useRef(read);
  latest.current = read;
  const abort = useRef<AbortController | null>(null);

  useEffect(() => {
    const control = new AbortController();
    abort.current = control;
    setState((old) =>
      old.key === key
        ? { ...old, error: null, waitingSince: old.data === null ? now() : null }
        : { key, data: null, error: null, at: null, waitingSince: now() },
    );
    latest.current(control.signal).then(
      (data) => {
        if (!control.signal.aborted) setState({ key, data, error: null, at: now(), waitingSince: null });
      },
      (cause: unknown) => {
        if (control.signal.aborted) return;
        const error = cause instanceof ApiError ? cause : new ApiError("broken", "", "broken", 0, null);
        setState((old) => ({ ...old, key, error, waitingSince: null }));
      },
    );
    return () => control.abort();
  }, [key, turn, refills]);

  const reload = useCallback(() => setTurn((n) => n + 1), []);
  const cancel = useCallback(() => {
    abort.current?.abort();
    setState((old) => ({
      ...old,
      waitingSince: null,
      error: new ApiError("broken", "", "cancelled", 0, null),
    }));
  }, []);
  const patch = useCallback((change: (data: T) => T) => {
    setState((old) => (old.data === null ? old : { ...old, data: change(old.data) }));
  }, []);

  const fresh = state.key === key;
  return {
    data: fresh ? state.data : null,
    error: fresh ? state.error : null,
    waitingSince: fresh ? state.waitingSince : now(),
    at: fresh ? state.at : null,
    reload,
    cancel,
    patch,
  };
}
