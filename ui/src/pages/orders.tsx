import { useEffect } from "preact/hooks";
import { Card } from "../components/card.tsx";
import { NoValue } from "../components/number.tsx";
import { ObjectPage, Page } from "../components/page.tsx";
import { Load, Notice, Refused } from "../components/states.tsx";
import { Status, type Shape } from "../components/status.tsx";
import { Table } from "../components/table.tsx";
import { Stamp } from "../components/time.tsx";
import { useAct } from "../lib/act.ts";
import { useLoad, useMedia, useNow } from "../lib/hooks.ts";
import { orderApi } from "../lib/order-api.ts";
import { placeOf } from "../lib/place.ts";
import { place } from "../lib/router.ts";
import { siteZone } from "../lib/session.ts";
import { useStore } from "../lib/store.ts";
import { clockSeconds, exact, parse } from "../lib/time.ts";
import type { MeterOrder } from "../lib/types.ts";
import { orders as T } from "../texts/orders.en.ts";
import { OrderLines, pageOf, readBackOf, shapeOfOrder, whatOf } from "./orders/parts.tsx";

export { GiveOrderPage } from "./orders/give.tsx";

const PAGE = 50;
const LIST = { text: T.title, href: "/orders" };

/** All orders to meters, the newest first. */
export function OrdersPage() {
  const { query } = useStore(place);
  const before = Number(query.get("before")) || null;
  const loaded = useLoad(`orders/${before ?? ""}`, (signal) => orderApi.ofAll(PAGE, before, signal));
  // A message is long: beside the rail of icons there is no room for all columns.
  const narrow = useMedia("(max-width: 1279px)");
  const last = loaded.data?.rows.at(-1)?.number ?? 0;
  return (
    <Page title={T.title} crumbs={[{ text: T.title }]} lead={<span>{T.lead}</span>}>
      <section class="card" aria-label={T.title} data-testid="orders-list">
        <Load of={loaded} what={T.what}>
          {(list) =>
            list.rows.length === 0 ? (
              <Notice kind="empty" icon="inbox" title={T.none} text={T.noneText} />
            ) : narrow ? (
              <OrderLines rows={list.rows} named />
            ) : (
              <OrderTable rows={list.rows} />
            )
          }
        </Load>
        {before !== null || last > 1 ? (
          <footer class="row">
            {before === null ? null : (
              <a class="btn sm" href="/orders">
                {T.newest}
              </a>
            )}
            {last > 1 && loaded.data?.rows.length === PAGE ? (
              <a class="btn sm" href={`/orders?before=${last}`} data-testid="orders-older">
                {T.older}
              </a>
            ) : null}
          </footer>
        ) : null}
      </section>
    </Page>
  );
}

function OrderTable({ rows }: { rows: MeterOrder[] }) {
  const now = useNow(10_000);
  return (
    <Table
      caption={T.caption}
      columns={[
        T.columns.state,
        T.columns.order,
        T.columns.meter,
        T.columns.reason,
        { text: T.columns.given, class: "r" },
      ]}
    >
      {rows.map((row) => (
        <tr key={row.number} data-testid="order-row" data-id={row.number} data-state={row.state}>
          <td>
            <Status shape={shapeOfOrder(row.state)}>{T.state[row.state]}</Status>
          </td>
          <th scope="row">
            <a href={`/orders/${row.number}`}>{whatOf(row)}</a>
          </th>
          <td>
            <a href={pageOf(row)}>{placeOf(row)}</a>
          </td>
          <td class="t2 wr">{row.reason === "" ? <NoValue /> : row.reason}</td>
          <td class="r">
            <Stamp at={row.t} now={now} />
          </td>
        </tr>
      ))}
    </Table>
  );
}

/** One order: what was asked, how far it is, what the meter answered, and what was read back. */
export function OrderPage({ number }: { number: number }) {
  const loaded = useLoad(`order/${number}`, (signal) => orderApi.one(number, signal));
  const order = loaded.data;
  const open = order !== null && order.ended === null;
  useEffect(() => {
    if (!open) return undefined;
    const timer = setInterval(loaded.reload, 1_000);
    return () => clearInterval(timer);
  }, [open]);
  const now = useNow(500);
  const title = order === null ? T.one(number) : T.orderTitle[order.kind](placeOf(order));
  const due = parse(order?.due ?? null);
  const left = order?.state === "armed" && due !== null ? Math.max(0, Math.ceil((due - now) / 1_000)) : null;
  return (
    <ObjectPage
      of={loaded}
      title={left === null ? title : `${T.seconds(left)} · ${title}`}
      heading={title}
      what={T.whatOne}
      texts={T}
      crumbs={[LIST, { text: T.one(number) }]}
      lead={
        <>
          <span>{T.one(number)}</span>
          {order === null ? null : <a href={pageOf(order)}>{order.name}</a>}
        </>
      }
    >
      <Load of={loaded} what={T.whatOne} card>
        {(one) => (
          <div class="grid">
            <div class="stack c8">
              <Stages order={one} left={left} />
            </div>
            <div class="stack c4">
              <Outcome order={one} left={left} reload={loaded.reload} />
            </div>
          </div>
        )}
      </Load>
    </ObjectPage>
  );
}

/** How far it is: each stage with its own state. */
function Stages({ order, left }: { order: MeterOrder; left: number | null }) {
  const zone = siteZone();
  const switches = order.kind !== "read" && order.kind !== "text";
  const waited = order.due !== order.t;
  const over = order.ended !== null;
  const answered = over && order.sent !== null && order.state !== "unknown";
  const time = (text: string | null): string => {
    const ms = parse(text);
    return ms === null ? "" : clockSeconds(ms, zone);
  };
  const armed: Shape = order.state === "stopped" ? "todo" : left !== null ? "pend" : "ok";
  const sent: Shape = order.sent !== null ? "ok" : over ? "off" : left === null ? "run" : "todo";
  const answer: Shape = answered
    ? order.state === "refused"
      ? "crit"
      : "ok"
    : order.state === "unknown"
      ? "miss"
      : order.sent !== null && !over
        ? "run"
        : "todo";
  const read: Shape =
    order.read_back === null
      ? "todo"
      : order.state === "done"
        ? "ok"
        : order.state === "refused"
          ? "info"
          : "warn";
  const stages: [string, Shape, string][] = [
    ["written", "ok", time(order.t)],
    ...(switches && waited ? ([["armed", armed, time(order.due)]] as [string, Shape, string][]) : []),
    ["sent", sent, time(order.sent)],
    ["answered", answer, answered ? time(order.ended) : ""],
    ...(order.kind === "read"
      ? []
      : ([["read", read, time(order.read_back?.at ?? null)]] as [string, Shape, string][])),
  ];
  return (
    <Card id="run" title={T.run} testid="order-steps" flush>
      <ol class="list ruled">
        {stages.map(([name, shape, at]) => {
          const [title, text] = T.stage[name] ?? ["", ""];
          return (
            <li key={name} data-testid={`order-stage-${name}`} data-state={shape}>
              <Status shape={shape} />
              <div class="t">
                {title}
                <span>{text}</span>
              </div>
              <span class="when">{at}</span>
            </li>
          );
        })}
      </ol>
    </Card>
  );
}

function Outcome({ order, left, reload }: { order: MeterOrder; left: number | null; reload: () => void }) {
  const { busy, refused, run } = useAct();
  const at = parse(order.t);
  const read = readBackOf(order);
  const stop = async (): Promise<void> => {
    await run(async () => {
      await orderApi.stop(order.number);
    });
    reload();
  };
  return (
    <Card id="order" title={T.journal} testid={`order-${order.state.replace("_", "-")}`}>
      <div class="col form">
        <p role="status">
          <Status shape={shapeOfOrder(order.state)}>{T.state[order.state]}</Status>
        </p>
        {left === null ? null : (
          <>
            <p class="cost-total">{T.countdown(left)}</p>
            <button
              type="button"
              class="btn full"
              disabled={busy}
              onClick={() => void stop()}
              data-testid="order-stop"
            >
              {busy ? T.stopping : T.stop}
            </button>
          </>
        )}
        {order.answer === null ? null : <p data-testid="order-answer">{order.answer}</p>}
        {order.kind === "read" || order.ended === null || order.sent === null ? null : (
          <p class="t2" data-testid="order-readback">
            {T.readBack}: {read ?? T.nothingRead}
          </p>
        )}
        {order.text === "" ? null : (
          <p>{order.kind === "switchover" ? T.handTo(order.text) : `${T.text}: ${order.text}`}</p>
        )}
        {order.reason === "" ? null : <p class="t2">{order.reason}</p>}
        {at === null ? null : <p class="t3">{T.given(order.who, exact(at, siteZone()))}</p>}
        <Refused text={refused} testid="order-failed" />
        <a class="btn full" href={pageOf(order)} data-testid="order-to-meter">
          {order.kind === "switchover" ? T.toConcentrator : T.toMeter}
        </a>
      </div>
    </Card>
  );
}
