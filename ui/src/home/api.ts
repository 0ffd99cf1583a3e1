import { failureOf, get, send } from "../lib/api.ts";
import { iso } from "../lib/time.ts";
import type { History, HomeSession, HomeState } from "./types.ts";

const span = (from: number, to: number): string =>
  `${encodeURIComponent(iso(from))}&to=${encodeURIComponent(iso(to))}`;

/** The calls of the home gateway. */
export const home = {
  session: (signal?: AbortSignal) => get<HomeSession>("/session", signal),

  async signIn(user: string, password: string): Promise<HomeSession> {
    const response = await send("/session", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify({ user, password }),
    });
    if (!response.ok) throw await failureOf(response);
    return (await response.json()) as HomeSession;
  },

  state: (signal?: AbortSignal) => get<HomeState>("/state", signal),
  history: (from: number, to: number, step: "raw" | "1h", signal?: AbortSignal) =>
    get<History>(`/history?from=${span(from, to)}&step=${step}`, signal),
  csv: (from: number, to: number) => `/api/v1/download.csv?from=${span(from, to)}&step=1h`,
  /** Green Button; without a range it holds the current values. */
  greenButton: (range: { from: number; to: number } | null) =>
    "/espi/1_1/resource/Batch/RetailCustomer/1/UsagePoint" +
    (range === null
      ? ""
      : `?published-min=${encodeURIComponent(iso(range.from))}&published-max=${encodeURIComponent(iso(range.to))}`),
};
