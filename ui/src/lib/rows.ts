import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { api, ApiError, type MeterQuery } from "./api.ts";
import { live } from "./live-client.ts";
import { now } from "./session.ts";
import { useStore } from "./store.ts";
import type { MeterRow } from "./types.ts";
import { windowsOf } from "./virtual.ts";

/** Rows come in windows of so many. */
export const WINDOW = 200;
const MOST_WINDOWS = 40;

/** The rows with one of them in the place of the one that it was. */
export const replaced = <R extends { id: string | number }>(rows: R[], row: R): R[] =>
  rows.map((one) => (one.id === row.id ? row : one));

interface Dataset {
  key: string;
  total: number;
  windows: Map<number, MeterRow[]>;
}

/** The list last seen, so that going back shows it at once. */
let memory: Dataset | null = null;

export interface Rows {
  total: number | null;
  row: (index: number) => MeterRow | undefined;
  /** Asks for the rows that are about to be drawn. */
  ensure: (start: number, end: number) => void;
  error: ApiError | null;
  waitingSince: number | null;
  /** Whether what is shown belongs to an earlier question. */
  old: boolean;
  reload: () => void;
  cancel: () => void;
  patch: (row: MeterRow) => void;
}

/** The meters that match a question, in windows read when they are needed. */
export function useRows(query: MeterQuery): Rows {
  const key = JSON.stringify(query);
  const asked = useRef(query);
  asked.current = query;
  const refills = useStore(live.refills);
  const [turn, setTurn] = useState(0);
  const [, redraw] = useState(0);
  const shown = useRef<Dataset | null>(memory?.key === key ? memory : null);
  const pending = useRef(new Map<number, AbortController>());
  const [error, setError] = useState<ApiError | null>(null);
  const [waitingSince, setWaiting] = useState<number | null>(null);

  const readWindow = useCallback((forKey: string, index: number) => {
    if (pending.current.has(index)) return;
    const control = new AbortController();
    pending.current.set(index, control);
    api.meters({ ...asked.current, offset: index * WINDOW, limit: WINDOW }, control.signal).then(
      (list) => {
        if (control.signal.aborted) return;
        pending.current.delete(index);
        if (shown.current?.key !== forKey)
          shown.current = { key: forKey, total: list.total, windows: new Map() };
        const set = shown.current;
        set.total = list.total;
        set.windows.delete(index);
        set.windows.set(index, list.rows);
        if (set.windows.size > MOST_WINDOWS) {
          const oldest = set.windows.keys().next().value;
          if (oldest !== undefined && oldest !== 0) set.windows.delete(oldest);
        }
        memory = set;
        setError(null);
        setWaiting(null);
        redraw((n) => n + 1);
      },
      (cause: unknown) => {
        if (control.signal.aborted) return;
        pending.current.delete(index);
        setWaiting(null);
        setError(cause instanceof ApiError ? cause : new ApiError("broken", "", "broken", 0, null));
      },
    );
  }, []);

  const range = useRef({ start: 0, end: WINDOW });
  useEffect(() => {
    setError(null);
    setWaiting(now());
    const same = shown.current?.key === key;
    const wanted = same ? windowsOf(range.current.start, range.current.end, WINDOW) : [0];
    for (const index of wanted.length > 0 ? wanted : [0]) readWindow(key, index);
    return () => {
      for (const control of pending.current.values()) control.abort();
      pending.current.clear();
    };
  }, [key, turn, refills]);

  const ensure = useCallback(
    (start: number, end: number) => {
      range.current = { start, end };
      const set = shown.current;
      if (set === null || set.key !== key) return;
      for (const index of windowsOf(start, Math.min(end, set.total), WINDOW)) {
        if (!set.windows.has(index)) readWindow(key, index);
      }
    },
    [key],
  );

  return {
    total: shown.current?.total ?? null,
    row: (index) => shown.current?.windows.get(Math.floor(index / WINDOW))?.[index % WINDOW],
    ensure,
    error,
    waitingSince,
    old: shown.current !== null && shown.current.key !== key,
    reload: useCallback(() => setTurn((n) => n + 1), []),
    cancel: useCallback(() => {
      for (const control of pending.current.values()) control.abort();
      pending.current.clear();
      setWaiting(null);
      setError(new ApiError("broken", "", "cancelled", 0, null));
    }, []),
    patch: useCallback((row) => {
      for (const rows of shown.current?.windows.values() ?? []) {
        const at = rows.findIndex((one) => one.id === row.id);
        if (at >= 0) {
          rows[at] = row;
          redraw((n) => n + 1);
          return;
        }
      }
    }, []),
  };
}
