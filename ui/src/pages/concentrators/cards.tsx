import { Card } from "../../components/card.tsx";
import { Row } from "../../components/kv.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Status } from "../../components/status.tsx";
import { Table } from "../../components/table.tsx";
import { Stamp } from "../../components/time.tsx";
import { durationText, kwh, shiftPoint } from "../../lib/format.ts";
import { useNow } from "../../lib/hooks.ts";
import { siteZone } from "../../lib/session.ts";
import { age, HOUR, MINUTE, parse, when } from "../../lib/time.ts";
import type { Concentrator, Pair, Wan, Way } from "../../lib/types.ts";
import { isMissed, wayName } from "../../lib/wan.ts";
import { concentrators as T } from "../../texts/concentrators.en.ts";

/** How fast a way is, in text. */
const delayText = (ms: number): string => ms.toFixed(ms < 10 ? 1 : 0);

/** The ways to it as the head end finds them, and its connections to head ends as it tells them. */
export function WanCard({ one }: { one: Concentrator }) {
  const now = useNow(10_000);
  const { row, wan } = one;
  const taken = parse(row.pair?.taken ?? null);
  const pair =
    row.pair === null || row.pair.state === "none"
      ? null
      : row.pair.state === "standby"
        ? T.switchedTo(row.pair.peer)
        : taken === null
          ? null
          : now - taken < HOUR
            ? T.switchedHere(age(now - taken))
            : T.switchedHereAt(when(taken, now, siteZone()));
  const change = wan === null ? null : changeText(wan, now);
  return (
    <Card
      id="wan"
      title={`${T.wan}, ${row.via}`}
      testid="conc-wan"
      flush
      end={
        row.state === "off" || row.state === "new" ? (
          <Status shape={row.state === "off" ? "off" : "todo"}>{row.state_text}</Status>
        ) : (
          <Status shape="ok">{T.wanUp}</Status>
        )
      }
      footer={
        pair === null && change === null ? undefined : (
          <>
            {change === null ? null : (
              <span class="t3" data-testid="conc-went-over">
                {change}
              </span>
            )}
            {pair === null ? null : <span class="t3">{pair}</span>}
          </>
        )
      }
    >
      {wan === null || wan.ways.length === 0 ? null : (
        <Table
          caption={T.ownWaysCaption}
          columns={[T.ownWay, T.pathState, { text: T.heardOver, class: "r" }]}
        >
          {wan.ways.map((way, at) => (
            <tr key={at} data-testid="conc-own-way" data-id={at} data-state={way.state}>
              <th scope="row" class="wan-peer">
                {wayName(way)}{" "}
                <span class="t3">
                  {way.class === "" ? (way.name === "" ? "" : way.place) : T.wayFor(way.class)}
                </span>
              </th>
              <td>
                <OwnWayState
                  wan={wan}
                  at={at}
                  now={now}
                  then={row.state === "off" ? parse(row.as_of) : null}
                />
              </td>
              <td class="r t2">
                <Stamp at={way.heard} now={now} />
              </td>
            </tr>
          ))}
        </Table>
      )}
      <Table caption={T.waysCaption} columns={[T.path, T.pathState, { text: T.delay, class: "r" }]}>
        {one.ways.map((way) => (
          <tr key={way.endpoint} data-testid="conc-way" data-id={way.carries} data-state={way.state}>
            <th scope="row" class="wan-peer">
              {way.endpoint} <span class="t3">{T.carries[way.carries]}</span>
            </th>
            <td>
              <WayState way={way} now={now} />
            </td>
            <td class="r">
              {way.rtt_ms === null || way.state !== "up" ? (
                <span class="t3">{T.wayNone}</span>
              ) : (
                <Num text={delayText(way.rtt_ms)} unit="ms" />
              )}
            </td>
          </tr>
        ))}
      </Table>
      {one.connections.length === 0 ? (
        <p class="pad t2">{T.noConnection}</p>
      ) : (
        <Table caption={T.wanCaption} columns={[T.peer, T.opened, { text: T.since, class: "r" }]}>
          {one.connections.map((connection) => (
            <tr key={connection.peer + connection.since}>
              <th scope="row" class="wan-peer">
                {connection.peer}
              </th>
              <td class="t2">{connection.dialled ? T.byIt : T.byHeadEnd}</td>
              <td class="r t2">
                <Stamp at={connection.since} now={now} />
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Card>
  );
}

/** From which of its ways to which head ends went over last. */
function changeText(wan: Wan, now: number): string | null {
  const { change, ways } = wan;
  const [from, to] = [change && ways[change.from], change && ways[change.to]];
  const at = parse(change?.at ?? null);
  if (!change || !from || !to || at === null) return null;
  const went =
    now - at < HOUR
      ? T.wentOver(wayName(from), wayName(to), age(now - at))
      : T.wentOverAt(wayName(from), wayName(to), when(at, now, siteZone()));
  const took = change.took_ms;
  return `${went}, ${took === null ? T.firstUnknown : T.firstAfter(took < MINUTE ? durationText(took) : age(took))}`;
}

/** How one of its ways is; or was, where it last answered at `then` and is silent since. */
function OwnWayState({ wan, at, now, then }: { wan: Wan; at: number; now: number; then: number | null }) {
  const way = wan.ways[at];
  const idle = isMissed(wan, at) ? "warn" : "todo";
  if (way === undefined || way.state === "new") return <Status shape={idle}>{T.wayNobody}</Status>;
  if (way.state === "up") {
    const word = wan.current === at ? T.inUse : T.wayHeard;
    if (then !== null) {
      const text =
        now - then < HOUR ? T.wayWas(word, age(now - then)) : `${word} ${when(then, now, siteZone())}`;
      return <Status shape="miss">{text}</Status>;
    }
    const gained = wan.current === at ? parse(way.gained) : null;
    return <Status shape="ok">{gained === null ? word : T.wayFrom(word, age(now - gained))}</Status>;
  }
  const lost = parse(way.lost);
  const ago = lost === null ? "" : age(now - lost);
  if (way.state === "down") return <Status shape="off">{T.wayDown(ago)}</Status>;
  return <Status shape={idle}>{T.wayQuiet(ago)}</Status>;
}

function WayState({ way, now }: { way: Way; now: number }) {
  const since = parse(way.since);
  if (way.state === "new" || since === null) return <Status shape="todo">{T.wayNew}</Status>;
  if (way.state === "up") return <Status shape="ok">{T.wayUp}</Status>;
  return <Status shape="off">{T.wayDown(age(now - since))}</Status>;
}

/** What it measures itself on each phase of its feeders. */
export function MeteringCard({ one }: { one: Concentrator }) {
  if (one.metering.length === 0) return null;
  return (
    <Card id="metering" title={T.metering} testid="conc-metering" flush>
      <Table
        caption={T.metering}
        columns={[
          T.feeder,
          T.phase,
          { text: T.voltage, class: "r hide-xs" },
          { text: T.current, class: "r" },
          { text: T.energy, class: "r" },
        ]}
      >
        {one.metering.flatMap((feeder) =>
          [0, 1, 2].map((phase) => (
            <tr key={`${feeder.feeder}${phase}`}>
              <th scope="row">{feeder.feeder}</th>
              <td class="t2">L{phase + 1}</td>
              <td class="r hide-xs">
                <Num text={((feeder.voltage_mv[phase] ?? 0) / 1000).toFixed(1)} unit="V" />
              </td>
              <td class="r">
                <Num text={((feeder.current_ma[phase] ?? 0) / 1000).toFixed(1)} unit="A" />
              </td>
              <td class="r">
                <Num text={kwh(feeder.energy_wh[phase] ?? 0)} unit="kWh" />
              </td>
            </tr>
          )),
        )}
      </Table>
    </Card>
  );
}

function Clock({ offset }: { offset: number | null }) {
  if (offset === null) return <NoValue />;
  if (Math.abs(offset) < 2) return <>{T.clockExact}</>;
  const size = age(Math.abs(offset) * 1000);
  return <>{offset > 0 ? T.clockFast(size) : T.clockSlow(size)}</>;
}

/** With whom it is a pair, and since when it has segments. */
function PairRows({ pair }: { pair: Pair }) {
  const now = useNow(10_000);
  if (pair.state === "none") return <Row name={T.pairRow}>{T.pairAlone}</Row>;
  return (
    <>
      <Row name={T.pairRow}>{T.pairWith(pair.peer, pair.epoch)}</Row>
      {pair.held === 0 ? null : (
        <Row name={T.taken}>
          {pair.taken === null ? <NoValue /> : <Stamp at={pair.taken} now={now} />}
          {pair.takeovers === 0 ? null : <span class="block t3">{T.takenBy(pair.takeovers)}</span>}
        </Row>
      )}
    </>
  );
}

const DROPPED = ["unknown", "full", "expired", "unasked", "nobody", "unfit"] as const;

export function IdentityCard({ one }: { one: Concentrator }) {
  const { row, forwarded, collection } = one;
  const dropped = forwarded === null ? [] : DROPPED.filter((kind) => forwarded[kind] > 0);
  return (
    <Card id="ident" title={T.identity} testid="conc-identity" footer={<span>{T.every(one.every_s)}</span>}>
      <dl class="kv">
        <Row name={T.name}>{row.name}</Row>
        {one.place === "" ? null : <Row name={T.placeRow}>{one.place}</Row>}
        {one.feeders.length === 0 ? null : <Row name={T.feedersRow}>{one.feeders.join(", ")}</Row>}
        <Row name={T.systemTitle}>
          {one.system_title === "" ? <NoValue /> : <span class="mono">{one.system_title}</span>}
        </Row>
        <Row name={T.firmware}>{row.firmware ?? <NoValue />}</Row>
        <Row name={T.endpoint}>
          <span class="mono">{row.endpoint}</span>
        </Row>
        <Row name={T.clock}>
          <Clock offset={one.clock_offset_s} />
        </Row>
        {row.pair === null ? null : <PairRows pair={row.pair} />}
        <Row name={T.changes}>
          {one.sap_changes === null ? <NoValue /> : T.changesText(shiftPoint(String(one.sap_changes), 0))}
        </Row>
        <Row name={T.down}>
          {forwarded === null ? <NoValue /> : <Num text={String(forwarded.down)} unit={T.messages} />}
        </Row>
        <Row name={T.up}>
          {forwarded === null ? <NoValue /> : <Num text={String(forwarded.up)} unit={T.messages} />}
        </Row>
        <Row name={T.dropped}>
          {forwarded === null ? (
            <NoValue />
          ) : dropped.length === 0 ? (
            T.droppedNone
          ) : (
            dropped.map((kind) => (
              <span key={kind} class="block">
                <Num text={String(forwarded[kind])} /> <span class="t3">{T.droppedWhy[kind]}</span>
              </span>
            ))
          )}
        </Row>
        <Row name={T.conflicts}>
          {forwarded === null ? (
            <NoValue />
          ) : forwarded.conflicts === 0 ? (
            T.droppedNone
          ) : (
            <Status shape="warn">{String(forwarded.conflicts)}</Status>
          )}
        </Row>
        <Row name={T.rounds}>
          {collection === null ? (
            <NoValue />
          ) : (
            T.roundsText(String(collection.rounds), String(collection.failed))
          )}
        </Row>
      </dl>
    </Card>
  );
}
