import { get, post, query } from "./api.ts";
import type { DryRun, MeterOrder, MeterOrderKind, MeterOrders, SwitchoverDryRun } from "./types.ts";

/** What an order takes beside its kind. */
export interface NewOrder {
  reason?: string;
  text?: string;
  confirm?: string;
  as_of?: string;
}

const handOver = (concentrator: string): string =>
  `/concentrators/${encodeURIComponent(concentrator)}/switchover`;

const of = (meter: string): string => `/meters/${encodeURIComponent(meter)}/orders`;

/** The head end's API of orders to meters and concentrators. */
export const orderApi = {
  ofMeter: (meter: string, limit: number, signal?: AbortSignal) =>
    get<MeterOrders>(`${of(meter)}${query({ limit })}`, signal),
  ofAll: (limit: number, before: number | null, signal?: AbortSignal) =>
    get<MeterOrders>(`/orders${query({ limit, before })}`, signal),
  one: (number: number, signal?: AbortSignal) => get<MeterOrder>(`/orders/${number}`, signal),
  dryRun: (meter: string, kind: MeterOrderKind, signal?: AbortSignal) =>
    get<DryRun>(`${of(meter)}/dry-run${query({ kind })}`, signal),
  give: (meter: string, kind: MeterOrderKind, order: NewOrder) =>
    post<MeterOrder>(of(meter), { kind, ...order }),
  switchoverDryRun: (concentrator: string, signal?: AbortSignal) =>
    get<SwitchoverDryRun>(handOver(concentrator), signal),
  switchOver: (concentrator: string, order: { reason: string; confirm: string; as_of: string }) =>
    post<MeterOrder>(handOver(concentrator), order),
  stop: (number: number) => post<MeterOrder>(`/orders/${number}/stop`, {}),
};
