import { Card } from "../../components/card.tsx";
import { Row } from "../../components/kv.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Load } from "../../components/states.tsx";
import { Status, StatusShape, type Shape } from "../../components/status.tsx";
import { Table } from "../../components/table.tsx";
import { Stamp, Time, When } from "../../components/time.tsx";
import { glance } from "../../lib/format.ts";
import { useMedia, useNow, type Loaded } from "../../lib/hooks.ts";
import { live } from "../../lib/live-client.ts";
import { siteZone } from "../../lib/session.ts";
import { useStore } from "../../lib/store.ts";
import { clock, DAY, exact, iso, MINUTE, parse, shortDate } from "../../lib/time.ts";
import type { Outlet, OutletMeter, OutletOrders, OutletWarnings } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";
import { three } from "../fleet/outlets.tsx";

export const SECTION_MS = 10 * MINUTE;

export function nameOf(outlet: { number: number; name: string }): string {
  return t.outlets.numbered(three(outlet.number), outlet.name);
}

function Ordered({ outlet, now }: { outlet: Outlet; now: number }) {
  const at = parse(outlet.ordered_at);
  if (outlet.ordered === null || at === null) return <span class="t3">{t.outlets.neverOrdered}</span>;
  const disagrees = outlet.agrees === false;
  const shape: Shape = disagrees ? "warn" : outlet.agrees === null ? "run" : "ok";
  const note = disagrees ? t.outlets.disagrees : outlet.agrees ? t.outlets.agrees : t.outlets.noAnswer;
  return (
    <span class="ordered">
      <Status shape={shape}>{outlet.ordered === "on" ? t.outlets.on : t.outlets.off}</Status>{" "}
      <span class="t3">
        <Time at={at} now={now} />
      </span>
      <span class="under">{note}</span>
    </span>
  );
}

/** "14:20–14:30" of the last day, with the date before that. */
function SectionOf({ outlet, now }: { outlet: Outlet; now: number }) {
  const at = parse(outlet.section);
  if (at === null) return <span class="t3">{t.outlets.noSection}</span>;
  const zone = siteZone();
  const text = `${clock(at, zone)}–${clock(at + SECTION_MS, zone)}`;
  return (
    <time class="t2" dateTime={iso(at)} title={exact(at, zone)}>
      {now - at < DAY ? text : `${shortDate(at, zone, now)} ${text}`}
    </time>
  );
}

function Watts({ outlet }: { outlet: Outlet }) {
  if (outlet.watts === null) return <NoValue />;
  const { text, unit } = glance(outlet.watts, "W");
  return <Num text={text} unit={unit} />;
}

/** A way to the page of the order: always off for what was ordered on, and both ways before the first order. */
function Switching({ meter, outlet }: { meter: OutletMeter; outlet: Outlet }) {
  const offline = useStore(live.view).state === "offline";
  const on = outlet.ordered === "off";
  const href = `/outlet-meters/${meter.id}/order?what=${on ? "on" : "off"}&outlet=${outlet.number}`;
  const name = nameOf(outlet);
  if (offline) return <span class="t3">{t.live.short.offline}</span>;
  return (
    <a
      class={on ? "btn sm" : "btn sm danger-quiet"}
      href={href}
      aria-label={on ? t.outlets.turnOnOf(name) : t.outlets.turnOffOf(name)}
      data-testid="outlet-switch"
    >
      {on ? t.outlets.turnOn : t.outlets.turnOff}
    </a>
  );
}

function Warned({ outlet, now, named }: { outlet: Outlet; now: number; named?: boolean }) {
  const at = parse(outlet.warned_at);
  if (at === null) return null;
  return (
    <Status shape="warn">
      <span>
        {named ? t.outlets.warned : null} <Time at={at} now={now} />
      </span>
    </Status>
  );
}

export function OutletsCard({ meter }: { meter: OutletMeter }) {
  const now = useNow(10_000);
  const narrow = useMedia("(max-width: 899px)");
  if (narrow) {
    return (
      <Card id="outlets" title={t.outlets.outlets} testid="outlets" flush>
        <ul class="list ruled">
          {meter.outlets.map((outlet) => (
            <li key={outlet.number} class="outlet-line" data-testid="outlet-row" data-id={outlet.number}>
              <div class="t">
                <b class="strong">{nameOf(outlet)}</b>
                <span>
                  <Watts outlet={outlet} /> <SectionOf outlet={outlet} now={now} />
                </span>
                <span>
                  <Ordered outlet={outlet} now={now} />
                </span>
                <Warned outlet={outlet} now={now} named />
              </div>
              <Switching meter={meter} outlet={outlet} />
            </li>
          ))}
        </ul>
      </Card>
    );
  }
  return (
    <Card id="outlets" title={t.outlets.outlets} testid="outlets" flush>
      <Table
        class="outlet-tbl"
        caption={t.outlets.outletsCaption}
        columns={[
          t.outlets.outlet,
          t.outlets.ordered,
          { text: t.outlets.power, class: "r" },
          { text: t.outlets.current, class: "r hide-m" },
          { text: t.outlets.section, class: "hide-m" },
          t.outlets.warnings,
          { text: <span class="vh">{t.outlets.order}</span>, class: "r" },
        ]}
      >
        {meter.outlets.map((outlet) => (
          <tr key={outlet.number} data-testid="outlet-row" data-id={outlet.number}>
            <th scope="row">{nameOf(outlet)}</th>
            <td>
              <Ordered outlet={outlet} now={now} />
            </td>
            <td class="r">
              <Watts outlet={outlet} />
            </td>
            <td class="r hide-m">
              {outlet.milliamperes === null ? (
                <NoValue />
              ) : (
                <Num text={(outlet.milliamperes / 1000).toFixed(2)} unit="A" />
              )}
            </td>
            <td class="hide-m">
              <SectionOf outlet={outlet} now={now} />
            </td>
            <td>{outlet.warned_at === null ? <NoValue /> : <Warned outlet={outlet} now={now} />}</td>
            <td class="r">
              <Switching meter={meter} outlet={outlet} />
            </td>
          </tr>
        ))}
      </Table>
    </Card>
  );
}

export function Identity({ meter }: { meter: OutletMeter }) {
  const now = useNow(10_000);
  const since = parse(meter.connected_since);
  return (
    <Card id="id" title={t.outlets.identity} testid="outlet-identity">
      <dl class="kv">
        <Row name={t.outlets.number}>
          <span class="mono">{three(meter.id)}</span>
        </Row>
        <Row name={t.outlets.connection}>
          <Status shape={meter.connected ? "ok" : "off"}>
            {meter.connected ? t.outlets.connected : t.outlets.notConnected}
          </Status>{" "}
          {since === null ? null : (
            <span class="t3">
              <Time at={since} now={now} />
            </span>
          )}
        </Row>
        <Row name={t.outlets.heard}>
          <Stamp at={meter.last_heard} now={now} none={<span class="t3">{t.outlets.never}</span>} />
        </Row>
        <Row name={t.outlets.expectedFrom}>
          <Stamp at={meter.expected_from} now={now} />
        </Row>
        <Row name={t.outlets.civil}>{t.outlets.utc(meter.utc_offset_min)}</Row>
        <Row name={t.outlets.keeps}>{t.outlets.keepsDays(meter.keeps_days)}</Row>
        <Row name={t.outlets.refused}>
          {meter.refused === 0 ? (
            <span class="t3">{t.outlets.refusedNone}</span>
          ) : (
            <Status shape="warn">{t.outlets.refusedText(meter.refused, meter.refused_text ?? "")}</Status>
          )}
        </Row>
      </dl>
    </Card>
  );
}

export function WarningsCard({ loaded }: { loaded: Loaded<OutletWarnings> }) {
  const now = useNow(10_000);
  const total = loaded.data?.total ?? 0;
  return (
    <Card
      id="warn"
      title={t.outlets.warnings}
      testid="outlet-warnings"
      flush
      end={total > 0 ? <span class="t3">{total}</span> : null}
    >
      <Load of={loaded} what={t.outlets.whatWarnings}>
        {(warnings) =>
          warnings.rows.length === 0 ? (
            <div class="calm">
              <Status shape="ok">{t.outlets.noWarnings}</Status>
              <p class="t3">{t.outlets.noWarningsText}</p>
            </div>
          ) : (
            <ul class="list ruled">
              {warnings.rows.map((row) => (
                <li key={`${row.t}-${row.outlet}`} data-testid="outlet-warning">
                  <span class="st st-warn">
                    <StatusShape shape="warn" />
                  </span>
                  <div class="t">
                    {nameOf({ number: row.outlet, name: row.name })}
                    <span>{t.outlets.above}</span>
                  </div>
                  <When at={row.t} now={now} />
                </li>
              ))}
              {total > warnings.rows.length ? (
                <li class="t3">{t.outlets.moreWarnings(total - warnings.rows.length)}</li>
              ) : null}
            </ul>
          )
        }
      </Load>
    </Card>
  );
}

const SHAPES: Record<string, Shape> = { sent: "ok", waits: "run", refused: "crit" };

export function JournalCard({ loaded }: { loaded: Loaded<OutletOrders> }) {
  const now = useNow(10_000);
  return (
    <Card id="orders" title={t.outlets.journal} testid="outlet-orders" flush>
      <Load of={loaded} what={t.outlets.whatJournal}>
        {(orders) =>
          orders.rows.length === 0 ? (
            <div class="calm">
              <span class="t2">{t.outlets.noOrders}</span>
              <p class="t3">{t.outlets.noOrdersText}</p>
            </div>
          ) : (
            <ul class="list ruled">
              {orders.rows.map((row) => {
                const shape = SHAPES[row.outcome ?? ""] ?? "miss";
                return (
                  <li key={row.number} data-testid="outlet-order" data-state={row.outcome ?? "unknown"}>
                    <Status shape={shape} />
                    <div class="t">
                      {t.outlets.kind[row.kind]}: {row.what}
                      <span>
                        {t.outlets.outcome[row.outcome ?? "null"]}
                        {row.reason === "" ? null : <span class="t3"> · {row.reason}</span>}
                      </span>
                    </div>
                    <When at={row.t} now={now} />
                  </li>
                );
              })}
            </ul>
          )
        }
      </Load>
    </Card>
  );
}

export function BreakerCard({ meter }: { meter: OutletMeter }) {
  const to = (what: string): string => `/outlet-meters/${meter.id}/order?what=${what}`;
  return (
    <Card id="breaker" title={t.outlets.breaker} testid="outlet-breaker">
      <div class="col">
        <p class="t2">{t.outlets.breakerText}</p>
        <div class="row wrap">
          <a class="btn danger-quiet" href={to("open")} data-testid="breaker-open">
            {t.outlets.openBreaker}
          </a>
          <a class="btn" href={to("close")} data-testid="breaker-close">
            {t.outlets.closeBreaker}
          </a>
        </div>
      </div>
    </Card>
  );
}
