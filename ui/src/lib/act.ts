import { useState } from "preact/hooks";
import { t } from "../texts/en.ts";
import { ApiError } from "./api.ts";

export interface Act {
  /** Whether something is under way. */
  busy: boolean;
  /** Why the last one was not done, in words. */
  refused: string | null;
  refuse: (text: string | null) => void;
  /** Asks the head end for something; what it throws is told in `refused`. */
  run: (call: () => Promise<void>) => Promise<void>;
}

/** Something that a person asks for, and what became of it. */
export function useAct(): Act {
  const [busy, setBusy] = useState(false);
  const [refused, refuse] = useState<string | null>(null);
  const run = async (call: () => Promise<void>): Promise<void> => {
    setBusy(true);
    refuse(null);
    try {
      await call();
    } catch (cause) {
      refuse(reasonOf(cause));
    }
    setBusy(false);
  };
  return { busy, refused, refuse, run };
}

/** What the head end said against it; else what became of the call, for which `silent` has other words. */
export function reasonOf(cause: unknown, silent?: string): string {
  if (!(cause instanceof ApiError)) return silent ?? t.state.unexpected;
  if (cause.message) return cause.message;
  return silent ?? (cause.failure === "offline" ? t.state.offlineTitle : t.state.refused(cause.code));
}
