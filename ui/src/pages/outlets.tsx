import { FirstSteps } from "../components/first-steps.tsx";
import { Neighbours, useNeighbours } from "../components/neighbours.tsx";
import { ObjectPage, Page } from "../components/page.tsx";
import { Load, Skeleton } from "../components/states.tsx";
import { Pill, shapeOf } from "../components/status.tsx";
import { Time } from "../components/time.tsx";
import { api } from "../lib/api.ts";
import { useLoad, useNow } from "../lib/hooks.ts";
import { siteZone } from "../lib/session.ts";
import { age, HOUR, parse, when } from "../lib/time.ts";
import type { OutletMeter } from "../lib/types.ts";
import { t } from "../texts/en.ts";
import { OutletMetersTable, three, useOutletEvents, useOutletMeters } from "./fleet/outlets.tsx";
import { CostCard } from "./outlets/cost.tsx";
import { OrderPage } from "./outlets/order.tsx";
import { BreakerCard, Identity, JournalCard, OutletsCard, WarningsCard } from "./outlets/parts.tsx";
import { UsageCard } from "./outlets/usage.tsx";

const FLEET = { text: t.nav.fleet, href: "/fleet" };
const LIST = { text: t.outlets.title, href: "/outlet-meters" };

/** All outlet meters, what is wrong first. */
export function OutletMetersPage() {
  const loaded = useOutletMeters();
  return (
    <Page
      title={t.outlets.title}
      crumbs={[FLEET, { text: t.outlets.title }]}
      lead={<span>{t.outlets.lead}</span>}
    >
      <section class="card" aria-label={t.outlets.title}>
        <Load of={loaded} what={t.outlets.what}>
          {(list) =>
            list.rows.length === 0 ? (
              <FirstSteps texts={t.outlets} icon="inbox" within />
            ) : (
              <OutletMetersTable rows={list.rows} />
            )
          }
        </Load>
      </section>
    </Page>
  );
}

/** One outlet meter: its outlets, a day of one of them, warnings, costs and orders. */
export function OutletMeterPage({ id }: { id: number }) {
  const loaded = useLoad(`outlet-meter/${id}`, (signal) => api.outletMeter(id, signal));
  const warnings = useLoad(`outlet-warnings/${id}`, (signal) => api.outletWarnings(id, 5, signal));
  const orders = useLoad(`outlet-orders/${id}`, (signal) => api.outletOrders(id, 8, signal));
  useOutletEvents(id, () => {
    loaded.reload();
    warnings.reload();
    orders.reload();
  });
  const meter = loaded.data;
  const way = (other: number | null | undefined): string | null =>
    other == null ? null : `/outlet-meters/${other}`;
  const ways = { previous: way(meter?.previous), next: way(meter?.next) };
  useNeighbours(ways);
  const name = t.outlets.one(three(id));
  const crumbs = [FLEET, LIST, { text: name }];
  return (
    <ObjectPage
      of={loaded}
      title={name}
      what={t.outlets.whatOne}
      texts={t.outlets}
      crumbs={crumbs}
      lead={meter ? <Lead meter={meter} /> : <span class="skel w4" />}
      neighbours={meter ? <Neighbours {...ways} texts={t.outlets} testid="outlet" /> : null}
    >
      <div class="grid">
        <div class="stack c8">
          <Load of={loaded} what={t.outlets.whatOne} shape={<Skeleton lines={6} />} card>
            {(one) => (
              <>
                <OutletsCard meter={one} />
                <UsageCard meter={one} />
                <JournalCard loaded={orders} />
              </>
            )}
          </Load>
        </div>
        <div class="stack c4">
          {meter ? (
            <>
              <Identity meter={meter} />
              <WarningsCard loaded={warnings} />
              <CostCard meter={meter} onDone={loaded.reload} />
              <BreakerCard meter={meter} />
            </>
          ) : null}
        </div>
      </div>
    </ObjectPage>
  );
}

/** A page of its own for one order. */
export function OutletOrderPage({ id }: { id: number }) {
  return <OrderPage id={id} crumbs={[FLEET, LIST]} />;
}

function Lead({ meter }: { meter: OutletMeter }) {
  const now = useNow(5_000);
  const heard = parse(meter.last_heard);
  return (
    <>
      <Pill shape={shapeOf(meter.state)}>{meter.state_text}</Pill>
      {meter.missing > 0 && meter.state !== "miss" ? (
        <Pill shape="miss">{t.outlets.missing(meter.missing)}</Pill>
      ) : null}
      <span>{meter.place}</span>
      {heard === null ? null : (
        <span class="t3">
          <Time
            at={heard}
            now={now}
            text={
              now - heard < HOUR
                ? t.outlets.heardAgo(age(now - heard))
                : t.outlets.heardAt(when(heard, now, siteZone()))
            }
          />
        </span>
      )}
    </>
  );
}
