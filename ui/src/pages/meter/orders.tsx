import { useEffect } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Icon } from "../../components/icons.tsx";
import { Load, Refused } from "../../components/states.tsx";
import { toast } from "../../components/toasts.tsx";
import { useAct } from "../../lib/act.ts";
import { useLoad } from "../../lib/hooks.ts";
import { live } from "../../lib/live-client.ts";
import { orderApi } from "../../lib/order-api.ts";
import { useStore } from "../../lib/store.ts";
import type { Meter } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";
import { orders as T } from "../../texts/orders.en.ts";
import type { OnChange } from "../meter.tsx";
import { OrderLines } from "../orders/parts.tsx";

const FEW = 4;
const MANY = 100;

/** What the meter may be told, and what it was told. */
export function OrdersCard({
  id,
  meter,
  full = false,
  onChange,
}: {
  id: string;
  meter: Meter | null;
  full?: boolean;
  onChange: OnChange;
}) {
  const limit = full ? MANY : FEW;
  const loaded = useLoad(`meter-orders/${id}/${limit}`, (signal) => orderApi.ofMeter(id, limit, signal));
  useEffect(() => onChange(loaded.reload), [id]);
  // While an order is under way the journal is looked at each second.
  const open = loaded.data?.rows.some((row) => row.ended === null) === true;
  useEffect(() => {
    if (!open) return undefined;
    const timer = setInterval(loaded.reload, 1_000);
    return () => clearInterval(timer);
  }, [open]);
  const total = loaded.data?.total ?? 0;
  return (
    <Card
      id="orders"
      title={T.title}
      testid="meter-orders"
      flush
      end={!full && total > FEW ? <a href={`/meters/${id}/orders`}>{T.all(total)}</a> : null}
    >
      <Buttons id={id} meter={meter} onGiven={loaded.reload} />
      <Load of={loaded} what={T.what}>
        {(list) =>
          list.rows.length === 0 ? (
            <div class="calm">
              <span class="t2">{T.none}</span>
              <p class="t3">{T.noneText}</p>
            </div>
          ) : (
            <OrderLines rows={list.rows} />
          )
        }
      </Load>
    </Card>
  );
}

function Buttons({ id, meter, onGiven }: { id: string; meter: Meter | null; onGiven: () => void }) {
  const { busy, refused, run } = useAct();
  const offline = useStore(live.view).state === "offline";
  const read = (): Promise<void> =>
    run(async () => {
      await orderApi.give(id, "read", {});
      toast(T.asked);
      onGiven();
    });
  const to = (what: string): string => `/meters/${id}/order?what=${what}`;
  const isOpen = meter?.breaker.state === "open" || meter?.breaker.state === "ready";
  return (
    <div class="pad col">
      <div class="row wrap">
        <button
          type="button"
          class="btn"
          disabled={busy || offline}
          onClick={() => void read()}
          data-testid="order-read"
        >
          <Icon name="refresh-cw" />
          {busy ? T.reading : T.read}
        </button>
        {offline || meter === null ? null : (
          <>
            {/* Which way it goes is known only where the breaker was read. */}
            {isOpen ? null : (
              <a class="btn danger-quiet" href={to("disconnect")} data-testid="order-disconnect">
                {T.disconnect}
              </a>
            )}
            {meter.breaker.state === "closed" ? null : (
              <a class="btn" href={to("connect")} data-testid="order-connect">
                {T.connect}
              </a>
            )}
            <a class="btn" href={to("text")} data-testid="order-message">
              {T.message}
            </a>
          </>
        )}
      </div>
      {offline ? <p class="t3">{t.state.offlineTitle}</p> : null}
      <Refused text={refused} testid="order-read-failed" />
    </div>
  );
}
