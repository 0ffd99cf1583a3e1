import { Card } from "../../components/card.tsx";
import { Icon } from "../../components/icons.tsx";
import { Row } from "../../components/kv.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Status } from "../../components/status.tsx";
import { Stamp, Time } from "../../components/time.tsx";
import { fenceApi } from "../../lib/fence-api.ts";
import { duration, glance } from "../../lib/format.ts";
import { useLoad, useNow } from "../../lib/hooks.ts";
import { siteZone } from "../../lib/session.ts";
import { clockSeconds, DAY, longDate, parse, when } from "../../lib/time.ts";
import type { Meter, PathRun, PathTaken } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";
import { network } from "../../texts/network.en.ts";

/** A time beside a value: the clock today, the date before. */
function Read({ at, now }: { at: string | null; now: number }) {
  const ms = parse(at);
  if (ms === null) return null;
  const zone = siteZone();
  const text = now - ms < DAY && ms >= zone.startOfDay(now) ? clockSeconds(ms, zone) : when(ms, now, zone);
  return (
    <span class="t3">
      <Time at={ms} now={now} text={text} />
    </span>
  );
}

function clockText(offset: number | null, zone: string): string | null {
  if (offset === null) return null;
  const size = Math.abs(offset);
  const digits = size < 10 ? size.toFixed(1) : size.toFixed(0);
  // The meter's clock minus the head end's: a negative difference is a slow clock.
  const off = size < 0.05 ? t.meter.clockExact : offset < 0 ? t.meter.slow(digits) : t.meter.fast(digits);
  return zone === "" ? off : `${zone}, ${off}`;
}

export function Identity({ meter }: { meter: Meter }) {
  const now = useNow(10_000);
  const breaker = meter.breaker.state;
  const of = glance(meter.counter.of, "");
  const clock = clockText(meter.clock.offset_s, meter.clock.zone);
  const enrolled = parse(meter.enrolled);
  return (
    <Card id="id" title={t.meter.identity} testid="meter-identity">
      <dl class="kv">
        <Row name={t.meter.breakerRow}>
          <Status
            shape={
              breaker === "closed" ? "ok" : breaker === "open" ? "off" : breaker === "ready" ? "pend" : "todo"
            }
          >
            {t.meter.breakerShort[breaker ?? "null"]}
          </Status>{" "}
          <Read at={meter.breaker.at} now={now} />
        </Row>
        <Row name={t.meter.clock}>{clock ?? <span class="t3">{t.meter.notRead}</span>}</Row>
        <Row name={t.meter.firmware}>{meter.firmware ?? <span class="t3">{t.meter.notRead}</span>}</Row>
        <Row name={t.meter.protection}>{t.meter.suite(meter.protection.suite, meter.protection.mode)}</Row>
        <Row name={t.meter.keyAge}>
          {meter.key_age_days === null ? <NoValue /> : t.meter.days(meter.key_age_days)}
        </Row>
        <Row name={t.meter.counter}>
          <Num text={String(meter.counter.used)} />{" "}
          <span class="t3">{t.meter.ofG(`${of.text} ${of.unit}`.trim())}</span>
        </Row>
        <Row name={t.meter.systemTitle}>
          {meter.system_title === "" ? (
            <span class="t3">{t.meter.notRead}</span>
          ) : (
            <span class="mono">{meter.system_title}</span>
          )}
        </Row>
        <Row name={t.meter.via}>
          {meter.concentrator === null ? (
            meter.via
          ) : (
            <a href={`/concentrators/${meter.concentrator.id}`}>{meter.concentrator.name}</a>
          )}
        </Row>
        <Row name={t.meter.endpoint}>
          <span class="mono">{meter.endpoint}</span>
        </Row>
        <Row name={t.meter.enrolled}>{enrolled === null ? <NoValue /> : longDate(enrolled, siteZone())}</Row>
      </dl>
    </Card>
  );
}

export function PathCard({ meter }: { meter: Meter }) {
  return (
    <Card
      id="path"
      title={t.meter.path}
      testid="meter-path"
      footer={
        overScion(meter) ? (
          <a href={`/meters/${meter.id}/paths`} data-testid="meter-paths">
            {network.path.all}
          </a>
        ) : null
      }
    >
      <div class="col">
        <ol class="receipt" aria-label={t.meter.pathThere}>
          {meter.path.hops.map((hop, i) => (
            <li key={`${i}-${hop}`}>
              {i > 0 ? <Icon name="chevron-right" /> : null}
              <span class="as">
                {hop === meter.concentrator?.name ? (
                  <a href={`/concentrators/${meter.concentrator.id}`}>{hop}</a>
                ) : (
                  hop
                )}
              </span>
            </li>
          ))}
        </ol>
        <dl class="kv">
          {meter.path.scion === null ? null : <Taken run={meter.path.scion} />}
          {overScion(meter) ? <FenceRows id={meter.id} /> : null}
          <Row name={t.meter.rtt}>
            {meter.path.rtt_ms === null ? <NoValue /> : <Num {...duration(meter.path.rtt_ms)} />}
          </Row>
        </dl>
      </div>
    </Card>
  );
}

/** Whether one of its ways leads over SCION. */
function overScion(meter: Meter): boolean {
  return meter.path.scion !== null || meter.endpoint.includes("scion://");
}

/** What the last readings came by, both ways, and since when. */
function Taken({ run }: { run: PathRun }) {
  const now = useNow(10_000);
  return (
    <>
      <Row name={t.meter.pathThere}>
        <OneWay path={run.sent} />
      </Row>
      <Row name={network.path.back}>
        <OneWay path={run.received} />
      </Row>
      <Row name={network.path.since}>
        <Read at={run.first} now={now} />
        <span class="t3"> – </span>
        <Read at={run.last} now={now} />
      </Row>
    </>
  );
}

/** What its fence leaves, and when the path changed last. */
function FenceRows({ id }: { id: string }) {
  const now = useNow(10_000);
  const { data, error } = useLoad(`fence/${id}`, (signal) => fenceApi.view(id, signal));
  const n = network.path;
  if (data === null)
    return (
      <Row name={n.fence} testid="meter-fence">
        {error === null ? <NoValue /> : <span class="t3">{n.unknown}</span>}
      </Row>
    );
  const outside = data.allowed > 0 && data.active_stays === false;
  return (
    <>
      <Row name={n.fence} testid="meter-fence">
        <Status shape={data.allowed === 0 ? "crit" : outside || data.remaining !== "several" ? "warn" : "ok"}>
          {outside ? n.outside : n.inside(data.allowed, data.known)}
        </Status>
      </Row>
      <Row name={n.moved} testid="meter-moved">
        <Stamp at={data.moved} now={now} none={<span class="t3">{n.notMoved}</span>} />
      </Row>
    </>
  );
}

function OneWay({ path }: { path: PathTaken | null }) {
  if (path === null) return <span class="t3">{network.path.unknown}</span>;
  return (
    <>
      <span class="mono">{path.hops}</span>{" "}
      <Status shape={path.verified ? "ok" : "warn"}>
        {path.verified ? network.path.verified : network.path.notVerified}
      </Status>
    </>
  );
}
