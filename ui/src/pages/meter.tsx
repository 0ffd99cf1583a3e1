import { useRef } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { Neighbours, useNeighbours } from "../components/neighbours.tsx";
import { ObjectPage } from "../components/page.tsx";
import { Load, Skeleton } from "../components/states.tsx";
import { Pill, shapeOf } from "../components/status.tsx";
import { api } from "../lib/api.ts";
import { useBurst, useLiveEvent, useLoad, useNow, useTopic, type Loaded } from "../lib/hooks.ts";
import { siteZone } from "../lib/session.ts";
import { age, exact, HOUR, parse, when } from "../lib/time.ts";
import type { Meter } from "../lib/types.ts";
import { t } from "../texts/en.ts";
import { EventsCard, EventsPage } from "./meter/events.tsx";
import { Identity, PathCard } from "./meter/identity.tsx";
import { OrdersCard } from "./meter/orders.tsx";
import { LivePower } from "./meter/power.tsx";
import { ProfileCard } from "./meter/profile.tsx";
import { RegistersCard } from "./meter/registers.tsx";

/** Changes come in bursts while the collector reads; so long after one of them all is read again. */
const AGAIN_MS = 400;
const TABS = ["overview", "profile", "registers", "events", "orders"] as const;

/** One meter: what it says, how old that is, and whether it may be trusted. */
export function MeterPage({ id, tab }: { id: string; tab: string }) {
  const loaded = useLoad(`meter/${id}`, (signal) => api.meter(id, signal));
  const registers = useLoad(`registers/${id}`, (signal) => api.registers(id, signal));
  // The stream refuses a meter that there is not, so that it is asked for only when it is known.
  useTopic(loaded.data === null ? null : `meter:${id}`);

  const changed = useRef(new Set<() => void>());
  const again = useBurst(AGAIN_MS, () => {
    loaded.reload();
    registers.reload();
    for (const reload of changed.current) reload();
  });
  useLiveEvent<{ id: string }>("meter", (event) => {
    if (event.id === id) again();
  });
  const onChange = (reload: () => void): (() => void) => {
    changed.current.add(reload);
    return () => changed.current.delete(reload);
  };

  const meter = loaded.data;
  const ways = {
    previous: meter?.previous ? addressOf(meter.previous, tab) : null,
    next: meter?.next ? addressOf(meter.next, tab) : null,
  };
  useNeighbours(ways);

  const name = meter?.name ?? t.meter.one;
  const crumbs = [{ text: t.nav.fleet, href: "/fleet" }, { text: name }];

  return (
    <ObjectPage
      of={loaded}
      title={name}
      what={t.meter.what}
      texts={t.meter}
      crumbs={crumbs}
      lead={meter ? <Lead meter={meter} /> : <span class="skel w4" />}
      neighbours={meter ? <Neighbours {...ways} texts={t.meter} testid="meter" /> : null}
    >
      <nav class="tabs" aria-label={t.meter.tabs}>
        {TABS.map((one) => (
          <a
            key={one}
            href={addressOf(id, one)}
            aria-current={one === tab ? "page" : undefined}
            data-testid={`meter-tab-${one}`}
          >
            {t.meter[one]}
          </a>
        ))}
      </nav>
      {tab === "overview" ? (
        <Overview id={id} loaded={loaded} registers={registers} onChange={onChange} />
      ) : tab === "profile" ? (
        <ProfileCard id={id} name={meter?.name ?? id} full onChange={onChange} />
      ) : tab === "registers" ? (
        <RegistersCard id={id} loaded={registers} full />
      ) : tab === "orders" ? (
        <OrdersCard id={id} meter={meter} full onChange={onChange} />
      ) : (
        <EventsPage id={id} onChange={onChange} />
      )}
    </ObjectPage>
  );
}

function addressOf(id: string, tab: string): string {
  return `/meters/${id}${tab === "overview" ? "" : `/${tab}`}`;
}

function Lead({ meter }: { meter: Meter }) {
  const now = useNow(1000);
  const zone = siteZone();
  const read = parse(meter.last_read);
  const readText =
    read === null
      ? t.meter.neverRead
      : now - read < HOUR
        ? t.meter.readAgo(age(now - read))
        : t.meter.readAt(when(read, now, zone));
  const readTime = <span title={read === null ? undefined : exact(read, zone)}>{readText}</span>;
  const breaker = meter.breaker.state;
  const shape =
    breaker === "closed" ? "ok" : breaker === "open" ? "off" : breaker === "ready" ? "pend" : "todo";
  return (
    <>
      {meter.state === "ok" ? (
        <Pill shape="ok">{readTime}</Pill>
      ) : (
        <Pill shape={shapeOf(meter.state)}>{meter.state_text}</Pill>
      )}
      <Pill shape={shape}>{t.meter.breaker[breaker ?? "null"]}</Pill>
      {meter.gaps.intervals > 0 ? <Pill shape="miss">{t.meter.gaps(meter.gaps.intervals)}</Pill> : null}
      {meter.state === "ok" ? null : <span>{readTime}</span>}
      <span>{meter.place}</span>
      <span class="t3">{t.meter.feeder(meter.feeder, meter.phase)}</span>
    </>
  );
}

export type OnChange = (reload: () => void) => () => void;

function Overview({
  id,
  loaded,
  registers,
  onChange,
}: {
  id: string;
  loaded: Loaded<Meter>;
  registers: Parameters<typeof RegistersCard>[0]["loaded"];
  onChange: OnChange;
}) {
  const side = (content: (meter: Meter) => ComponentChildren): ComponentChildren => (
    <Load
      of={loaded}
      what={t.meter.what}
      shape={
        <>
          <Skeleton lines={4} />
        </>
      }
    >
      {content}
    </Load>
  );
  return (
    <div class="grid">
      <div class="stack c8">
        <LivePower id={id} meter={loaded.data} />
        <ProfileCard id={id} name={loaded.data?.name ?? id} onChange={onChange} />
        <RegistersCard id={id} loaded={registers} />
      </div>
      <div class="stack c4">
        {side((meter) => (
          <>
            <Identity meter={meter} />
            <PathCard meter={meter} />
          </>
        ))}
        <OrdersCard id={id} meter={loaded.data} onChange={onChange} />
        <EventsCard id={id} onChange={onChange} />
      </div>
    </div>
  );
}
