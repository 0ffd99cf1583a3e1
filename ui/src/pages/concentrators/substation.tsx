import { useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Icon } from "../../components/icons.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Load, Notice, Skeleton } from "../../components/states.tsx";
import { Status, StatusShape, shapeOf } from "../../components/status.tsx";
import { Table } from "../../components/table.tsx";
import { Time, When } from "../../components/time.tsx";
import { lossBars, lossText } from "../../lib/balance.ts";
import { kwh } from "../../lib/format.ts";
import { useNow, type Loaded } from "../../lib/hooks.ts";
import { age, parse } from "../../lib/time.ts";
import type { Balance, Branch, Notices, Outage, Outages } from "../../lib/types.ts";
import { concentrators as T } from "../../texts/concentrators.en.ts";

const SITES = 3;
/** Meters of an outage that are named; which others it has, the tree below says. */
const NAMED = 10;

/** Says where in few words. */
function where(sites: string[]): string {
  const first = sites.slice(0, SITES).join(", ");
  return sites.length > SITES ? T.andMore(first, sites.length - SITES) : first;
}

function OutageLine({ outage, now }: { outage: Outage; now: number }) {
  const [open, setOpen] = useState(false);
  const began = parse(outage.began) ?? now;
  const ended = parse(outage.ended);
  const over = outage.ended !== null;
  const named = outage.first.slice(0, NAMED);
  return (
    <li data-testid="conc-outage" data-id={outage.number} data-state={over ? "over" : "open"}>
      <span class={over ? "st st-ok" : "st st-crit"}>
        <StatusShape shape={over ? "ok" : "off"} />
      </span>
      <div class="t">
        <button
          type="button"
          class="fold"
          aria-expanded={open}
          onClick={() => setOpen((old) => !old)}
          data-testid="conc-outage-open"
        >
          {over ? T.wasOut(outage.meters) : T.stillOut(outage.out, outage.meters)}
          <Icon name={open ? "chevron-down" : "chevron-right"} />
        </button>
        <span>
          {ended === null ? T.outFor(age(Math.max(0, now - began))) : T.lasted(age(ended - began))}
          {outage.sites.length > 0 ? <span class="t3"> · {where(outage.sites)}</span> : null}
        </span>
        {open ? (
          <ul class="out-meters" data-testid="conc-outage-meters">
            {named.map((meter) => (
              <li key={meter.name}>
                {meter.id === null ? meter.name : <a href={`/meters/${meter.id}`}>{meter.name}</a>}
                <span class="t3 cut-off">{meter.place}</span>
                {over ? null : <Status shape={meter.out ? "off" : "ok"}>{meter.out ? T.out : T.back}</Status>}
              </li>
            ))}
            {outage.meters > named.length ? (
              <li class="t3">{T.andMeters(outage.meters - named.length)}</li>
            ) : null}
          </ul>
        ) : null}
      </div>
      <span class="when">
        <Time at={began} now={now} />
      </span>
    </li>
  );
}

/** Meters that fell silent together, a line for all of them. */
export function OutagesCard({ loaded, onMore }: { loaded: Loaded<Outages>; onMore: () => void }) {
  const now = useNow(10_000);
  const list = loaded.data;
  return (
    <Card
      id="outages"
      title={T.outages}
      testid="conc-outages"
      flush
      end={
        list === null ? null : list.open > 0 ? (
          <Status shape="off">{T.outNow(list.meters_out)}</Status>
        ) : list.total > 0 ? (
          <Status shape="ok">{T.noneOut}</Status>
        ) : null
      }
      footer={
        list !== null && list.total > list.rows.length ? (
          <button type="button" class="btn sm" onClick={onMore} data-testid="conc-outages-more">
            {T.olderOutages(list.total - list.rows.length)}
          </button>
        ) : undefined
      }
    >
      <Load of={loaded} what={T.whatOutages} shape={<Skeleton lines={3} />}>
        {(data) =>
          data.rows.length === 0 ? (
            <Notice kind="empty" icon="inbox" title={T.noOutages} text={T.noOutagesText} />
          ) : (
            <ul class="list ruled">
              {data.rows.map((outage) => (
                <OutageLine key={`${outage.number}/${outage.began}`} outage={outage} now={now} />
              ))}
            </ul>
          )
        }
      </Load>
    </Card>
  );
}

/** The loss of each interval as a bar, with the line up to which lines lose. */
function LossBars({ branch, of }: { branch: Branch; of: Balance }) {
  const bars = lossBars(branch.points, parse(of.from) ?? 0, parse(of.to) ?? 0, of.loss_percent);
  return (
    <svg class="loss" viewBox={`0 0 ${bars.width} ${bars.height}`} aria-hidden="true" focusable="false">
      <path class="zero" d={`M0 ${bars.zero}H${bars.width}`} />
      {bars.even ? <path class="even" d={bars.even} /> : null}
      {bars.over ? <path class="over" d={bars.over} /> : null}
      {bars.open ? <path class="open" d={bars.open} /> : null}
      <path class="limit" d={`M0 ${bars.limit}H${bars.width}`} />
    </svg>
  );
}

function Energy({ wh }: { wh: number | null }) {
  return wh === null ? <NoValue /> : <Num text={kwh(wh)} />;
}

function BranchRow({ branch, of }: { branch: Branch; of: Balance }) {
  const { supplied_wh: supplied, metered_wh: metered } = branch;
  const lost = branch.weighed === 0 || supplied === null || metered === null ? null : supplied - metered;
  const site = `${branch.feeder} ${branch.phase}`;
  return (
    <tr data-testid="conc-branch" data-id={site} data-state={branch.state}>
      <th scope="row">{site}</th>
      <td class="wr">
        <Status shape={shapeOf(branch.state)}>{branch.state_text}</Status>
      </td>
      <td class="r hide-n">
        <Energy wh={supplied} />
      </td>
      <td class="r hide-n">
        <Energy wh={metered} />
      </td>
      <td class="r hide-n">
        <Energy wh={lost} />
      </td>
      <td class="r">
        {branch.loss_permille === null ? <NoValue /> : <Num text={lossText(branch.loss_permille)} unit="%" />}
      </td>
      <td class="r hide-m hide-n">
        <Num text={String(branch.told)} />
        <span class="u">{T.of(String(branch.meters))}</span>
      </td>
      <td class="hide-n">
        <LossBars branch={branch} of={of} />
      </td>
    </tr>
  );
}

/** What feeders were supplied with against what their meters counted. */
export function BalanceCard({ loaded, metered }: { loaded: Loaded<Balance>; metered: boolean }) {
  const list = loaded.data;
  return (
    <Card
      id="balance"
      title={T.balance}
      testid="conc-balance"
      flush
      aside={<span class="t3 hide-n">{T.balanceAside}</span>}
      footer={
        list === null || list.rows.length === 0 ? undefined : (
          <span>{T.balanceFoot(list.loss_percent, list.excess_percent, list.run)}</span>
        )
      }
    >
      <Load of={loaded} what={T.whatBalance} shape={<Skeleton lines={4} />}>
        {(data) =>
          data.rows.length === 0 ? (
            <Notice
              kind="empty"
              icon="inbox"
              title={metered ? T.noBalanceYet : T.noBalance}
              text={metered ? T.noBalanceYetText : T.noBalanceText}
            />
          ) : (
            <Table
              class="balance"
              caption={T.balanceCaption}
              columns={[
                T.branch,
                T.stateHead,
                {
                  text: (
                    <>
                      {T.supplied} <span class="u">kWh</span>
                    </>
                  ),
                  class: "r hide-n",
                },
                {
                  text: (
                    <>
                      {T.metered} <span class="u">kWh</span>
                    </>
                  ),
                  class: "r hide-n",
                },
                {
                  text: (
                    <>
                      {T.lost} <span class="u">kWh</span>
                    </>
                  ),
                  class: "r hide-n",
                },
                { text: T.loss, class: "r" },
                { text: T.told, class: "r hide-m hide-n" },
                { text: T.lossByInterval, class: "hide-n" },
              ]}
            >
              {data.rows.map((branch) => (
                <BranchRow key={branch.feeder + branch.phase} branch={branch} of={data} />
              ))}
            </Table>
          )
        }
      </Load>
    </Card>
  );
}

/** What it noticed, newest first, and the kinds of it that no head end took yet. */
export function NoticesCard({
  loaded,
  waiting,
  onMore,
}: {
  loaded: Loaded<Notices>;
  waiting: string[];
  onMore: () => void;
}) {
  const now = useNow(10_000);
  const list = loaded.data;
  const rest = list === null ? 0 : list.total - list.rows.length;
  return (
    <Card
      id="notices"
      title={T.notices}
      testid="conc-notices"
      flush
      end={list !== null && list.total > 0 ? <span class="t3">{list.total}</span> : null}
      footer={
        waiting.length > 0 || rest > 0 ? (
          <>
            {rest > 0 ? (
              <button type="button" class="btn sm" onClick={onMore} data-testid="conc-notices-more">
                {T.olderNotices}
              </button>
            ) : null}
            {waiting.length > 0 ? <Status shape="run">{T.notTaken(waiting.join(", "))}</Status> : null}
          </>
        ) : undefined
      }
    >
      <Load of={loaded} what={T.whatNotices} shape={<Skeleton lines={3} />}>
        {(data) =>
          data.rows.length === 0 ? (
            <Notice kind="empty" icon="inbox" title={T.noNotices} text={T.noNoticesText} />
          ) : (
            <ul class="list ruled">
              {data.rows.map((notice) => (
                <li key={`${notice.number}/${notice.at}`} data-testid="conc-notice" data-state={notice.state}>
                  <span class={`st st-${notice.state}`}>
                    <StatusShape shape={shapeOf(notice.state)} />
                  </span>
                  <div class="t">
                    {notice.title}
                    <span>{notice.meters === null ? notice.detail : T.meters(notice.meters)}</span>
                  </div>
                  <When at={notice.at} now={now} />
                </li>
              ))}
            </ul>
          )
        }
      </Load>
    </Card>
  );
}
