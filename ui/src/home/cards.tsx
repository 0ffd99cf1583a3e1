import { Card } from "../components/card.tsx";
import { Icon } from "../components/icons.tsx";
import { Num } from "../components/number.tsx";
import { Status } from "../components/status.tsx";
import { grouped, minus } from "../lib/format.ts";
import { age, clock, parse, shortDate, type Zone } from "../lib/time.ts";
import { t } from "../texts/home.en.ts";
import { home } from "./api.ts";
import { compared, downloadRange, energy, sinceWords, total } from "./model.ts";
import type { HomeState, Register } from "./types.ts";

interface Props {
  state: HomeState;
  now: number;
  zone: Zone;
}

/** What is known of a month is about the one in which it was told. */
const toldAt = (state: HomeState, now: number): number => Math.min(now, parse(state.now) ?? now);

export function MonthCard({ state, now: present, zone }: Props) {
  const now = toldAt(state, present);
  const { month, day, year } = zone.local(now);
  const used = state.month?.delivered_wh ?? null;
  const by = state.last_month?.delivered_by_now_wh ?? null;
  const since = parse(state.month?.from);
  const partial =
    state.month !== null &&
    !state.month.complete &&
    since !== null &&
    since > zone.startOfDate(year, month, 1);
  const difference = used !== null && by !== null && !partial ? compared(used, by) : null;
  return (
    <Card id="mo" title={t.month.name(month)} testid="home-month">
      <p class="bigger">
        {used === null ? (
          <span class="none">{t.month.none}</span>
        ) : (
          <Num text={minus(energy(used))} unit="kWh" />
        )}
      </p>
      <p class="say2">
        {difference
          ? t.month.compared[difference.than](difference.text, day)
          : partial && since !== null
            ? t.month.since(
                zone.startOfDay(since) === zone.startOfDay(now)
                  ? `today ${clock(since, zone)}`
                  : shortDate(since, zone, now),
              )
            : null}
      </p>
    </Card>
  );
}

export function CostCard({ state, now, zone, currency }: Props & { currency: string | null }) {
  const month = t.month.name(zone.local(toldAt(state, now)).month);
  const cost = state.month?.cost ?? null;
  return (
    <Card id="co" title={t.cost.title(month)} testid="home-cost">
      <p class="bigger">
        {cost === null ? (
          <span class="none">{t.cost.unknown}</span>
        ) : (
          <span class="n">
            {minus(grouped(cost.total.toFixed(2)))}
            <span class="u">{cost.currency}</span>
          </span>
        )}
      </p>
      <p class="say2">
        {cost === null
          ? currency === null
            ? t.cost.noTariff
            : t.cost.notYet
          : t.cost.parts(
              cost.parts.map((part) => [part.name, minus(part.cost.toFixed(2))]),
              cost.fixed === 0 ? null : cost.fixed.toFixed(2),
            )}
        {cost !== null && cost.unpriced_wh >= 50 ? (
          <span class="block">{t.cost.unpriced(energy(cost.unpriced_wh))}</span>
        ) : null}
      </p>
    </Card>
  );
}

function Total({ name, register, now }: { name: string; register: Register | null; now: number }) {
  const at = parse(register?.at);
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {register === null ? (
          <Status shape="todo">{t.meter.notRead}</Status>
        ) : (
          <>
            <Num text={total(register.wh)} unit="kWh" />
            {register.stale && at !== null ? (
              <span class="t3 nowrap">{t.meter.old(age(now - at))}</span>
            ) : null}
          </>
        )}
      </dd>
    </div>
  );
}

/** How the meter and the way to it are, and what can be taken along. */
export function MeterCard({
  state,
  now,
  zone,
  offline,
  history,
  whole,
}: Props & { offline: boolean; history: boolean; whole: boolean }) {
  const { meter, link, registers, readings_today: readings, missing_today: missing } = state;
  const last = parse(meter.last);
  const since = parse(link.since);
  const gap = missing[0];
  const from = parse(gap?.from);
  const to = parse(gap?.to);
  const told = toldAt(state, now);
  const isToday = zone.startOfDay(told) === zone.startOfDay(now);
  const range = downloadRange(now, zone);
  return (
    <Card id="li" title={t.meter.title} class="linkcard" testid="home-link">
      <dl class={offline ? "kv stale" : "kv"}>
        <div>
          <dt>{t.meter.meter}</dt>
          <dd data-testid="home-meter-state" data-state={meter.state}>
            {meter.state === "answers" ? (
              <Status shape={offline ? "miss" : "ok"}>{offline ? t.meter.answered : t.meter.answers}</Status>
            ) : meter.state === "silent" ? (
              <Status shape="off">{t.meter.silent}</Status>
            ) : (
              <Status shape="todo">{t.meter.unknown}</Status>
            )}{" "}
            {last !== null ? (
              <span class="t3 nowrap">
                {meter.state === "silent"
                  ? t.meter.since(sinceWords(last, now, zone))
                  : t.meter.ago(age(now - last))}
              </span>
            ) : null}
          </dd>
        </div>
        <div>
          <dt>{t.meter.link}</dt>
          <dd data-testid="home-link-state" data-state={link.open ? "open" : "closed"}>
            {link.open ? (
              <Status shape={offline ? "miss" : "ok"}>{offline ? t.meter.wasUp : t.meter.up}</Status>
            ) : last === null ? (
              <Status shape="run">{t.meter.notYet}</Status>
            ) : (
              <Status shape="off">{t.meter.down}</Status>
            )}{" "}
            <span class="t3">
              {link.open || since === null || last === null
                ? t.meter.source(link.source)
                : t.meter.since(sinceWords(since, now, zone))}
            </span>
          </dd>
        </div>
        {readings !== null ? (
          <div>
            <dt>{t.meter.readings(isToday ? null : shortDate(told, zone, now))}</dt>
            <dd>
              <Num text={String(readings.received)} />
              {readings.expected === null ? null : (
                <>
                  {" "}
                  {t.meter.of} <Num text={String(readings.expected)} />
                </>
              )}
            </dd>
          </div>
        ) : null}
        {readings !== null ? (
          <div>
            <dt>{t.meter.missing}</dt>
            <dd>
              {from === null ? (
                t.meter.nothing
              ) : (
                <>
                  <Status shape="miss">
                    {to === null
                      ? t.meter.since(clock(from, zone))
                      : t.meter.from(clock(from, zone), clock(to, zone))}
                  </Status>
                  {missing.length > 1 ? (
                    <span class="t3 nowrap"> {t.meter.more(missing.length - 1)}</span>
                  ) : null}
                </>
              )}
            </dd>
          </div>
        ) : null}
        <Total
          name={registers.received ? t.meter.fromGrid : t.meter.total}
          register={registers.delivered}
          now={now}
        />
        {registers.received ? <Total name={t.meter.toGrid} register={registers.received} now={now} /> : null}
      </dl>
      <p class="small row lock">
        <Icon name="lock" />
        {t.meter.readOnly}
      </p>
      <div class="foot" role="group" aria-label={t.meter.download} aria-describedby="dl-range">
        <a
          class="btn grow"
          href={home.greenButton(history && whole ? range : null)}
          download="green-button.xml"
          data-testid="home-greenbutton"
        >
          <Icon name="download" />
          {t.meter.greenButton}
        </a>
        {history ? (
          <a
            class="btn grow"
            href={home.csv(range.from, range.to)}
            download="energy.csv"
            data-testid="home-csv"
          >
            <Icon name="download" />
            {t.meter.csv}
          </a>
        ) : null}
      </div>
      <p class="small foot-note" id="dl-range">
        {!history ? t.meter.current : whole ? t.meter.range : t.meter.young}
      </p>
    </Card>
  );
}
