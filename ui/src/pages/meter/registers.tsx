import { Card } from "../../components/card.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Load, Notice } from "../../components/states.tsx";
import { Table } from "../../components/table.tsx";
import { Time } from "../../components/time.tsx";
import { register } from "../../lib/format.ts";
import { useNow, type Loaded } from "../../lib/hooks.ts";
import { siteZone } from "../../lib/session.ts";
import { clockSeconds, parse, when } from "../../lib/time.ts";
import type { Register, Registers } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";

const FEW = 6;

/** Registers at the meter's full resolution: nothing is rounded, nothing is added up. */
export function RegistersCard({
  id,
  loaded,
  full = false,
}: {
  id: string;
  loaded: Loaded<Registers>;
  full?: boolean;
}) {
  const now = useNow(10_000);
  const readAt = parse(loaded.data?.read_at);
  const rows = counted(loaded.data?.rows ?? []);
  return (
    <Card
      id="reg"
      title={t.meter.registers}
      testid="meter-registers"
      flush
      busy={loaded.data === null && loaded.error === null}
      end={
        readAt === null ? null : (
          <span class="t3">
            {t.meter.readTime("")}
            <Time
              at={readAt}
              now={now}
              text={
                readAt >= siteZone().startOfDay(now)
                  ? clockSeconds(readAt, siteZone())
                  : when(readAt, now, siteZone())
              }
            />
          </span>
        )
      }
      footer={
        !full && rows.length > FEW ? (
          <a href={`/meters/${id}/registers`}>{t.meter.allRegisters}</a>
        ) : undefined
      }
    >
      <Load of={loaded} what={t.meter.whatRegisters}>
        {(data) =>
          data.rows.length === 0 ? (
            <Notice
              kind="empty"
              icon="scroll-text"
              title={t.meter.emptyRegisters}
              text={t.meter.emptyRegistersText}
            />
          ) : (
            <Table
              caption={t.meter.registers}
              columns={[
                t.meter.register,
                { text: t.meter.obis, class: "hide-n" },
                { text: t.meter.value, class: "r" },
                { text: t.meter.sinceYesterday, class: "r hide-n" },
                ...(full ? [{ text: t.meter.taken, class: "r hide-n" }] : []),
              ]}
            >
              {(full ? rows : rows.slice(0, FEW)).map((row) => (
                <RegisterRow key={row.obis} row={row} now={now} full={full} />
              ))}
            </Table>
          )
        }
      </Load>
    </Card>
  );
}

/** Running totals first, since they are what is billed; the meter's order otherwise. */
function counted(rows: Register[]): Register[] {
  return [...rows.filter((row) => row.counter), ...rows.filter((row) => !row.counter)];
}

function RegisterRow({ row, now, full }: { row: Register; now: number; full: boolean }) {
  const shown = row.value === null && row.text === "" ? null : register(row.text, row.unit);
  const since =
    row.since_yesterday === null ? null : register(plain(row.since_yesterday, row.scaler), row.unit);
  const at = parse(row.at);
  return (
    <tr data-testid="register-row" data-id={row.obis}>
      <th scope="row" class="wr">
        {row.name}
      </th>
      <td class="t3 hide-n">
        <span class="obis">{row.obis}</span>
      </td>
      <td class="r">{shown === null ? <NoValue /> : <Num text={shown.text} unit={shown.unit} />}</td>
      <td class="r t2 hide-n">
        {since === null ? (
          <span class="t3">{row.counter ? t.meter.noEarlier : t.meter.notCounter}</span>
        ) : (
          <Num text={since.text} unit={since.unit} />
        )}
      </td>
      {full ? <td class="r t2 hide-n">{at === null ? <NoValue /> : <Time at={at} now={now} />}</td> : null}
    </tr>
  );
}

/** A difference as a plain decimal with the digits that the scaler gives. */
function plain(value: number, scaler: number): string {
  return scaler < 0 ? value.toFixed(Math.min(9, -scaler)) : String(value);
}
