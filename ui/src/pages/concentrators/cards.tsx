import { Card } from "../../components/card.tsx";
import { Row } from "../../components/kv.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Status } from "../../components/status.tsx";
import { Table } from "../../components/table.tsx";
import { Stamp } from "../../components/time.tsx";
import { kwh, shiftPoint } from "../../lib/format.ts";
import { useNow } from "../../lib/hooks.ts";
import { age } from "../../lib/time.ts";
import type { Concentrator } from "../../lib/types.ts";
import { concentrators as T } from "../../texts/concentrators.en.ts";

/** Its connections to head ends, as it tells them. */
export function WanCard({ one }: { one: Concentrator }) {
  const now = useNow(10_000);
  const { row } = one;
  return (
    <Card
      id="wan"
      title={T.wan}
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
        row.rtt_ms === null
          ? undefined
          : T.wanFoot(row.via, T.ms(row.rtt_ms.toFixed(row.rtt_ms < 10 ? 1 : 0)))
      }
    >
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

const DROPPED = ["unknown", "full", "expired", "unasked", "nobody", "unfit"] as const;

export function IdentityCard({ one }: { one: Concentrator }) {
  const { row, forwarded, collection } = one;
  const dropped = forwarded === null ? [] : DROPPED.filter((kind) => forwarded[kind] > 0);
  return (
    <Card id="ident" title={T.identity} testid="conc-identity" footer={<span>{T.every(one.every_s)}</span>}>
      <dl class="kv">
        <Row name={T.name}>{row.name}</Row>
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
