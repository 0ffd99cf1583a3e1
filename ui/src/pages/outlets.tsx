import { Icon } from "../components/icons.tsx";
import { Shell } from "../components/shell.tsx";
import { Load, Skeleton } from "../components/states.tsx";
import { Pill, shapeOf } from "../components/status.tsx";
import { Time } from "../components/time.tsx";
import { api } from "../lib/api.ts";
import { useKey, useLoad, useNow } from "../lib/hooks.ts";
import { navigate } from "../lib/router.ts";
import { siteZone } from "../lib/session.ts";
import { age, HOUR, parse, when } from "../lib/time.ts";
import type { OutletMeter } from "../lib/types.ts";
import { t } from "../texts/en.ts";
import { Absent } from "./absent.tsx";
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
    <Shell title={t.outlets.title} crumbs={[FLEET, { text: t.outlets.title }]}>
      <div class="head">
        <div>
          <h1 tabIndex={-1}>{t.outlets.title}</h1>
          <p class="lead">
            <span>{t.outlets.lead}</span>
          </p>
        </div>
      </div>
      <section class="card" aria-label={t.outlets.title}>
        <Load of={loaded} what={t.outlets.what}>
          {(list) =>
            list.rows.length === 0 ? (
              <div class="enrol" data-testid="state-empty">
                <div class="state">
                  <span class="ic">
                    <Icon name="inbox" />
                  </span>
                  <h2>{t.outlets.empty}</h2>
                  <p>{t.outlets.emptyText}</p>
                </div>
                <ol class="enrol-steps">
                  {t.outlets.emptySteps.map(([what, how]) => (
                    <li key={what}>
                      <span>{what}</span>
                      <pre>{how}</pre>
                    </li>
                  ))}
                </ol>
              </div>
            ) : (
              <OutletMetersTable rows={list.rows} />
            )
          }
        </Load>
      </section>
    </Shell>
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
  const go = (other: number | null | undefined): void => {
    if (other != null) navigate(`/outlet-meters/${other}`);
  };
  useKey("[", () => go(meter?.previous));
  useKey("]", () => go(meter?.next));
  const name = t.outlets.one(three(id));
  const crumbs = [FLEET, LIST, { text: name }];
  const { error } = loaded;
  if (error && (meter === null || error.failure === "not_found")) {
    return (
      <Absent
        of={{ ...loaded, error }}
        name={name}
        what={t.outlets.whatOne}
        crumbs={crumbs}
        unknownTitle={t.outlets.unknownTitle}
        unknownText={t.outlets.unknownText}
      />
    );
  }
  return (
    <Shell title={name} crumbs={crumbs}>
      <div class="head">
        <div>
          <h1 tabIndex={-1}>{name}</h1>
          <div class="lead">{meter ? <Lead meter={meter} /> : <span class="skel w4" />}</div>
        </div>
        {meter ? (
          <div class="actions steps-actions">
            <Neighbour to={meter.previous} label={t.outlets.previous} icon="chevron-left" />
            <Neighbour to={meter.next} label={t.outlets.next} icon="chevron-right" />
          </div>
        ) : null}
      </div>
      <div class="grid">
        <div class="stack c8">
          {meter ? (
            <>
              <OutletsCard meter={meter} />
              <UsageCard meter={meter} />
              <JournalCard loaded={orders} />
            </>
          ) : (
            <section class="card">
              <Load of={loaded} what={t.outlets.whatOne} shape={<Skeleton lines={6} />}>
                {() => null}
              </Load>
            </section>
          )}
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
    </Shell>
  );
}

/** A page of its own for one order. */
export function OutletOrderPage({ id }: { id: number }) {
  return <OrderPage id={id} crumbs={[FLEET, LIST]} />;
}

function Neighbour({
  to,
  label,
  icon,
}: {
  to: number | null;
  label: string;
  icon: "chevron-left" | "chevron-right";
}) {
  if (to === null) return null;
  return (
    <a class="btn icon" href={`/outlet-meters/${to}`} aria-label={label} title={label}>
      <Icon name={icon} />
    </a>
  );
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
