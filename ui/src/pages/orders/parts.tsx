import { Status, type Shape } from "../../components/status.tsx";
import { When } from "../../components/time.tsx";
import { useNow } from "../../lib/hooks.ts";
import { placeOf } from "../../lib/place.ts";
import type { MeterOrder, MeterOrderState } from "../../lib/types.ts";
import { orders as T } from "../../texts/orders.en.ts";

const SHAPES: Record<MeterOrderState, Shape> = {
  armed: "pend",
  waiting: "run",
  sent: "run",
  done: "ok",
  unconfirmed: "warn",
  refused: "crit",
  not_sent: "off",
  unknown: "miss",
  stopped: "todo",
};

export const shapeOfOrder = (state: MeterOrderState): Shape => SHAPES[state];

/** What was asked for, in a few words. */
export const whatOf = (order: MeterOrder): string =>
  order.kind === "text" ? `${T.kind.text}: ${order.text}` : T.kind[order.kind];

/** Whom an order is to: a meter, or a concentrator. */
export const pageOf = (order: MeterOrder): string =>
  order.kind === "switchover" ? `/concentrators/${order.meter}` : `/meters/${order.meter}`;

/** What the meter said of itself afterwards, in a few words; null where it said nothing. */
export function readBackOf(order: MeterOrder): string | null {
  const read = order.read_back;
  if (read === null) return null;
  if (order.kind === "switchover") return read.text === null ? null : T.has(read.text);
  if (read.text !== null) return T.shown(read.text);
  const parts = [
    ...(read.control === null ? [] : [T.control[read.control]]),
    ...(read.output === null ? [] : [T.output(read.output)]),
  ];
  return parts.length === 0 ? null : parts.join(", ");
}

/** Orders as lines, for cards and narrow screens. */
export function OrderLines({ rows, named = false }: { rows: MeterOrder[]; named?: boolean }) {
  const now = useNow(10_000);
  return (
    <ul class="list ruled">
      {rows.map((row) => (
        <li key={row.number} data-testid="order-row" data-id={row.number} data-state={row.state}>
          <Status shape={SHAPES[row.state]} />
          <div class="t">
            <a href={`/orders/${row.number}`}>{whatOf(row)}</a>
            <span>
              {T.state[row.state]}
              {named ? ` · ${placeOf(row)}` : null}
              {row.reason === "" ? null : <span class="t3"> · {row.reason}</span>}
            </span>
          </div>
          <When at={row.t} now={now} />
        </li>
      ))}
    </ul>
  );
}
