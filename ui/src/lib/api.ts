import type {
  BreakerPreview,
  Balance,
  BehindMeters,
  Concentrator,
  ConcentratorList,
  Events,
  FindGroup,
  Fleet,
  Meter,
  MeterList,
  Notices,
  OrderAnswer,
  Outages,
  OutletMeter,
  OutletMeterList,
  OutletOrders,
  OutletUsage,
  OutletWarnings,
  Profile,
  Registers,
  Session,
} from "./types.ts";
import { session } from "./session.ts";
import { Store } from "./store.ts";

export type Failure = "offline" | "signed_out" | "forbidden" | "not_found" | "busy" | "refused" | "broken";

/** Why a call did not give what was asked. `message` is a sentence of the head end, fit to be shown. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    readonly failure: Failure,
    message: string,
    readonly code: string,
    readonly status: number,
    readonly retryAfterS: number | null,
  ) {
    super(message);
  }
}

/** Called when any call finds that the session has ended. */
export const signedOut = new Store(0);

const FAILURES: Record<number, Failure> = {
  400: "refused",
  401: "signed_out",
  403: "forbidden",
  404: "not_found",
  409: "refused",
  429: "busy",
  503: "busy",
};

const base = "/api/v1";

/** Reads the error object of an answer; an answer without one is named by its status. */
export async function failureOf(response: Response): Promise<ApiError> {
  let code = "http_" + String(response.status);
  let message = "";
  try {
    const body = (await response.json()) as { error?: { code?: unknown; message?: unknown } };
    if (typeof body.error?.code === "string") code = body.error.code;
    if (typeof body.error?.message === "string") message = body.error.message;
  } catch {
    // Not JSON: the status says enough.
  }
  const after = Number(response.headers.get("retry-after"));
  return new ApiError(
    FAILURES[response.status] ?? "broken",
    message,
    code,
    response.status,
    Number.isFinite(after) && after > 0 ? after : null,
  );
}

/** The same, and tells that the session ended where that is why. */
async function refusalOf(response: Response, who: Session | null | undefined): Promise<ApiError> {
  const failure = await failureOf(response);
  // An answer to a session that has ended says nothing about the one begun since.
  if (failure.failure === "signed_out" && session.value === who) signedOut.set(signedOut.value + 1);
  return failure;
}

/** Sends a request; a network failure becomes `offline`. */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(base + path, { credentials: "same-origin", cache: "no-store", ...init });
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new ApiError("offline", "", "offline", 0, null);
  }
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const who = session.value;
  const response = await send(path, {
    headers: { accept: "application/json" },
    ...(signal ? { signal } : {}),
  });
  if (!response.ok) throw await refusalOf(response, who);
  return bodyOf<T>(response, signal);
}

async function bodyOf<T>(response: Response, signal?: AbortSignal): Promise<T> {
  try {
    return (await response.json()) as T;
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError("broken", "", "bad_json", response.status, null);
  }
}

/** Gives an order. It is never sent again by itself. */
export async function post<T>(path: string, body: unknown, method: "POST" | "PUT" = "POST"): Promise<T> {
  const who = session.value;
  const response = await send(path, {
    method,
    headers: { accept: "application/json", "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw await refusalOf(response, who);
  return bodyOf<T>(response);
}

/** Asks for something that needs no words and has no answer of its own. It is never sent again by itself. */
export async function ask(path: string): Promise<void> {
  const who = session.value;
  const response = await send(path, { method: "POST", headers: { accept: "application/json" } });
  if (!response.ok) throw await refusalOf(response, who);
}

/** Puts something in the place of what was. It is never sent again by itself. */
export const put = <T>(path: string, body: unknown): Promise<T> => post<T>(path, body, "PUT");

/** The query string of these values, without those that are empty. */
export function query(values: Record<string, string | number | null | undefined>): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") search.set(key, String(value));
  }
  const text = search.toString();
  return text === "" ? "" : `?${text}`;
}

/** Ends the session. By itself, since the home gateway's page needs nothing else of what follows. */
export async function endSession(): Promise<void> {
  const response = await send("/session", { method: "DELETE" });
  if (!response.ok && response.status !== 401) throw await failureOf(response);
}

export interface MeterQuery {
  q?: string;
  state?: string;
  feeder?: string;
  sort?: string;
  dir?: string;
  offset?: number;
  limit?: number;
}

const outletPath = (id: number): string => `/outlet-meters/${id}`;
const concentratorPath = (id: string): string => `/concentrators/${encodeURIComponent(id)}`;
const meterPath = (id: string): string => `/meters/${encodeURIComponent(id)}`;

export const api = {
  session: (signal?: AbortSignal) => get<Session>("/session", signal),

  async signIn(token: string): Promise<Session> {
    const response = await send("/session", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify({ token }),
    });
    if (!response.ok) throw await failureOf(response);
    return (await response.json()) as Session;
  },

  fleet: (signal?: AbortSignal) => get<Fleet>("/fleet", signal),
  meters: (q: MeterQuery, signal?: AbortSignal) => get<MeterList>(`/meters${query({ ...q })}`, signal),
  meter: (id: string, signal?: AbortSignal) => get<Meter>(meterPath(id), signal),
  profile: (id: string, from: string, to: string, step: string, signal?: AbortSignal) =>
    get<Profile>(`${meterPath(id)}/profile${query({ from, to, step })}`, signal),
  profileCsv: (id: string, from: string, to: string, step: string) =>
    `${base}${meterPath(id)}/profile.csv${query({ from, to, step })}`,
  registers: (id: string, signal?: AbortSignal) => get<Registers>(`${meterPath(id)}/registers`, signal),
  events: (id: string, limit: number, before: string | null, signal?: AbortSignal) =>
    get<Events>(`${meterPath(id)}/events${query({ limit, before })}`, signal),
  concentrators: (q: string, limit: number, signal?: AbortSignal) =>
    get<ConcentratorList>(`/concentrators${query({ q, limit })}`, signal),
  concentrator: (id: string, signal?: AbortSignal) => get<Concentrator>(concentratorPath(id), signal),
  behind: (id: string, signal?: AbortSignal) => get<BehindMeters>(`${concentratorPath(id)}/meters`, signal),
  outages: (id: string, limit: number, signal?: AbortSignal) =>
    get<Outages>(`${concentratorPath(id)}/outages${query({ limit })}`, signal),
  notices: (id: string, limit: number, signal?: AbortSignal) =>
    get<Notices>(`${concentratorPath(id)}/notices${query({ limit })}`, signal),
  balance: (id: string, signal?: AbortSignal) => get<Balance>(`${concentratorPath(id)}/balance`, signal),

  /** Asks the head end to look at a concentrator now. */
  look: (id: string) => ask(`${concentratorPath(id)}/look`),

  find: (q: string, signal?: AbortSignal) => get<{ groups: FindGroup[] }>(`/find${query({ q })}`, signal),

  outletMeters: (signal?: AbortSignal) => get<OutletMeterList>("/outlet-meters", signal),
  outletMeter: (id: number, signal?: AbortSignal) => get<OutletMeter>(outletPath(id), signal),
  outletUsage: (id: number, outlet: number, date: string, signal?: AbortSignal) =>
    get<OutletUsage>(`${outletPath(id)}/usage${query({ outlet, date })}`, signal),
  outletWarnings: (id: number, limit: number, signal?: AbortSignal) =>
    get<OutletWarnings>(`${outletPath(id)}/warnings${query({ limit })}`, signal),
  outletOrders: (id: number, limit: number, signal?: AbortSignal) =>
    get<OutletOrders>(`${outletPath(id)}/orders${query({ limit })}`, signal),
  breakerPreview: (id: number, signal?: AbortSignal) =>
    get<BreakerPreview>(`${outletPath(id)}/breaker`, signal),
  switchOutlet: (id: number, number: number, on: boolean, reason: string) =>
    post<OrderAnswer>(`${outletPath(id)}/switch`, { reason, outlets: [{ number, on }] }),
  orderBreaker: (id: number, action: "open" | "close", reason: string, place: string, as_of: string) =>
    post<OrderAnswer>(`${outletPath(id)}/breaker`, { action, reason, place, as_of }),
  tellCost: (id: number, month: number, day_start: number, day_end: number, total_cost: number) =>
    post<OrderAnswer>(`${outletPath(id)}/costs`, { month, day_start, day_end, total_cost }),
  askSections: (id: number, outlet: number, date: string, first: number, last: number) =>
    post<OrderAnswer>(`${outletPath(id)}/requests`, { outlet, date, first, last }),
};
