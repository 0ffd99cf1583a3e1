import { useEffect, useMemo, useState } from "preact/hooks";
import { Icon } from "../../components/icons.tsx";
import { useNeighbours } from "../../components/neighbours.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { ObjectPage } from "../../components/page.tsx";
import { Load, Skeleton } from "../../components/states.tsx";
import { Pill, Status, shapeOf } from "../../components/status.tsx";
import { Stat, Strip } from "../../components/strip.tsx";
import { toast } from "../../components/toasts.tsx";
import { api } from "../../lib/api.ts";
import { lossText } from "../../lib/balance.ts";
import { grouped, percent, percentOfPermille } from "../../lib/format.ts";
import { useBurst, useKey, useLiveEvent, useLoad, useNow, useTopic } from "../../lib/hooks.ts";
import { live } from "../../lib/live-client.ts";
import { useQuery } from "../../lib/router.ts";
import { siteZone } from "../../lib/session.ts";
import { useStore } from "../../lib/store.ts";
import { age, exact, HOUR, parse, when } from "../../lib/time.ts";
import type { Concentrator, ConcentratorRow, Pair, Wan } from "../../lib/types.ts";
import { isMissed, runsOver, wayName } from "../../lib/wan.ts";
import { concentrators as T } from "../../texts/concentrators.en.ts";
import { IdentityCard, MeteringCard, WanCard } from "./cards.tsx";
import { treeOf } from "../../lib/branches.ts";
import { BranchCard } from "./branches.tsx";
import { ChosenCard, SegmentCard, TreeCard } from "./meters.tsx";
import { BalanceCard, NoticesCard, OutagesCard } from "./substation.tsx";

/** What changes is read again at most so often. */
const AGAIN_MS = 400;
const FEW = 5;
const MOST = 200;

/** One concentrator: what it says of itself, of its segments and of the meters behind it. */
export function ConcentratorPage({ id }: { id: string }) {
  const loaded = useLoad(`concentrator/${id}`, (signal) => api.concentrator(id, signal));
  const behind = useLoad(`behind/${id}`, (signal) => api.behind(id, signal));
  const [outagesMax, setOutagesMax] = useState(FEW);
  const [noticesMax, setNoticesMax] = useState(FEW);
  const outages = useLoad(`outages/${id}/${outagesMax}`, (signal) => api.outages(id, outagesMax, signal));
  const notices = useLoad(`notices/${id}/${noticesMax}`, (signal) => api.notices(id, noticesMax, signal));
  const balance = useLoad(`balance/${id}`, (signal) => api.balance(id, signal));
  useTopic("concentrators");
  const again = useBurst(AGAIN_MS, () => {
    loaded.reload();
    behind.reload();
    outages.reload();
    notices.reload();
    balance.reload();
  });
  useLiveEvent<ConcentratorRow>("concentrator", (row) => {
    if (row.id !== id) return;
    loaded.patch((old) => ({ ...old, row }));
    again();
  });
  const [query, change] = useQuery();
  const node = Number.parseInt(query.get("node") ?? "", 10);
  const chosen = Number.isNaN(node) ? null : node;
  const [turn, setTurn] = useState(0);
  const choose = (sap: number, scroll = false): void => {
    change({ node: String(sap) });
    if (scroll) setTurn((old) => old + 1);
  };
  // A choice by key is brought into view.
  useEffect(() => {
    if (turn === 0) return;
    const row = document.querySelector('[data-testid="conc-tree-table"] [data-chosen="true"]');
    row?.scrollIntoView({ block: "nearest" });
  }, [turn]);

  const one = loaded.data;
  const way = (other: string | null | undefined): string | null => (other ? `/concentrators/${other}` : null);
  useNeighbours({ previous: way(one?.previous), next: way(one?.next) });
  const [asked, setAsked] = useState(false);
  const look = (): void => {
    if (asked) return;
    setAsked(true);
    api.look(id).then(
      () => {
        setAsked(false);
        toast(T.looked);
      },
      () => {
        setAsked(false);
        toast(T.lookFailed);
      },
    );
  };
  useKey("r", look);
  const stale = useStore(live.view).state;

  const name = one?.row.name ?? T.one;
  const crumbs = [{ text: T.title, href: "/concentrators" }, { text: name }];
  const members = behind.data?.rows ?? [];
  const tree = useMemo(() => treeOf(behind.data?.rows ?? []), [behind.data]);
  const meter = members.find((row) => row.sap === chosen) ?? null;
  const old = stale === "stale" || stale === "offline" || one?.row.state === "off";
  return (
    <ObjectPage
      of={loaded}
      title={name}
      what={T.whatOne}
      texts={T}
      crumbs={crumbs}
      lead={one ? <Lead one={one} /> : <span class="skel w4" />}
      actions={
        <>
          <button type="button" class="btn" onClick={look} disabled={asked} data-testid="conc-look">
            <Icon name="refresh-cw" />
            {asked ? T.looking : T.look}
          </button>
          {isActive(one?.row.pair ?? null) ? (
            <a
              class="btn danger-quiet"
              href={`/concentrators/${id}/switchover`}
              data-testid="conc-switchover"
            >
              {T.switchover}
            </a>
          ) : null}
        </>
      }
    >
      <Figures one={one} dim={old} />
      <div class="grid">
        <div class="stack c8">
          <SegmentCard name={name} loaded={behind} tree={tree} chosen={chosen} onChoose={choose} />
        </div>
        <div class="stack c4">
          <Load of={loaded} what={T.whatOne} shape={<Skeleton lines={4} />}>
            {(data) => <WanCard one={data} />}
          </Load>
          <ChosenCard meter={meter} meters={members} tree={tree} />
          <OutagesCard loaded={outages} onMore={() => setOutagesMax(MOST)} />
        </div>
        <BalanceCard loaded={balance} metered={(one?.metering.length ?? 0) > 0} />
        {tree ? (
          <BranchCard key={id} tree={tree} count={members.length} chosen={chosen} onChoose={choose} />
        ) : (
          <TreeCard loaded={behind} chosen={chosen} onChoose={choose} />
        )}
        <Load of={loaded} what={T.whatOne} shape={<Skeleton lines={4} />}>
          {(data) => (
            <>
              <div class="c6 stack">
                <IdentityCard one={data} />
              </div>
              <div class="c6 stack">
                <MeteringCard one={data} />
                <NoticesCard loaded={notices} waiting={data.notices} onMore={() => setNoticesMax(MOST)} />
              </div>
            </>
          )}
        </Load>
      </div>
    </ObjectPage>
  );
}

function Lead({ one }: { one: Concentrator }) {
  const now = useNow(1000);
  const zone = siteZone();
  const { row } = one;
  const at = parse(row.as_of);
  const answered =
    at === null ? null : (
      <span title={exact(at, zone)}>
        {now - at < HOUR ? T.answered(age(now - at)) : T.answeredAt(when(at, now, zone))}
      </span>
    );
  const lost = one.segments.filter((segment) => !segment.open);
  return (
    <>
      {row.state === "ok" && answered ? (
        <Pill shape="ok">{answered}</Pill>
      ) : (
        <Pill shape={shapeOf(row.state)}>{row.state_text}</Pill>
      )}
      {row.state === "crit"
        ? null
        : lost.map((segment) => (
            <Pill key={segment.number} shape="crit">
              {T.lineLost(segment.number)}
            </Pill>
          ))}
      {row.state === "off" || one.wan === null ? null : <WanPills wan={one.wan} now={now} />}
      {row.state === "ok" ? null : answered}
      {one.place === "" ? null : <span data-testid="conc-place">{one.place}</span>}
      <span data-testid="conc-lines">{linesText(one)}</span>
      <span class="t3 cut-off">{row.endpoint}</span>
      {one.failing === null ? null : <span class="t2">{one.failing}</span>}
    </>
  );
}

/** What its segments are and how fast, and on which feeders. */
function linesText(one: Concentrator): string {
  const rate = (bits: number): string =>
    bits < 10_000 ? T.bits(grouped(String(bits))) : T.kilobits((bits / 1000).toFixed(1));
  const name = (medium: string): string => T.medium[medium] ?? medium;
  const lines =
    one.segments.length === 0
      ? one.row.media.map(name)
      : one.segments.map(
          ({ medium, bit_rate }) => name(medium) + (bit_rate === null ? "" : `, ${rate(bit_rate)}`),
        );
  return [...new Set(lines), ...(one.feeders.length === 0 ? [] : [T.feeders(one.feeders)])].join(", ");
}

/** Over which of its ways head ends come, and which of those before that one they do not use. */
function WanPills({ wan, now }: { wan: Wan; now: number }) {
  const over = runsOver(wan);
  return (
    <>
      {wan.ways.map((way, at) => {
        const lost = parse(way.lost);
        if (!isMissed(wan, at) || (lost === null && way.state !== "new")) return null;
        const text = way.state === "down" ? T.namedDown : T.namedQuiet;
        return (
          <Pill key={at} shape="warn">
            {lost === null || way.state === "new"
              ? T.namedNew(wayName(way))
              : text(wayName(way), age(now - lost))}
          </Pill>
        );
      })}
      {over === null ? null : <Pill shape="ok">{T.runsOver(wayName(over))}</Pill>}
    </>
  );
}

/** Whether it has the meters, and another may stand by for it. */
const isActive = (pair: Pair | null): boolean =>
  pair !== null && pair.mode === "standby" && pair.state !== "none" && pair.held > 0;

/** How it stands with the other of its pair. */
function PairStat({ pair }: { pair: Pair }) {
  const now = useNow(10_000);
  const { state, peer, behind_ms: behind } = pair;
  const table = behind === null ? T.tableNever : behind < 1_000 ? T.tableFresh : T.tableOld(age(behind));
  const taken = parse(pair.taken);
  const word = state === "standby" && pair.held_there < pair.segments ? T.standbyBehind : T.pairState[state];
  const sub =
    state === "none" ? (
      T.pairNone
    ) : state === "standby" ? (
      T.pairActive
    ) : state === "away" && pair.takeovers > 0 && taken !== null ? (
      <Status shape="warn">
        {now - taken < HOUR ? T.tookOver(age(now - taken)) : T.tookOverAt(when(taken, now, siteZone()))}
      </Status>
    ) : state === "ready" ? (
      table
    ) : (
      <Status shape="warn">{table}</Status>
    );
  return (
    <Stat name={state === "standby" ? T.activeOne(T.short(peer)) : T.standby(T.short(peer))} sub={sub}>
      <span data-testid="conc-pair" data-state={state}>
        {pair.peer_id === null ? word : <a href={`/concentrators/${pair.peer_id}`}>{word}</a>}
      </span>
    </Stat>
  );
}

function Figures({ one, dim }: { one: Concentrator | null; dim: boolean }) {
  const names = [T.reachable, T.readToday, T.conventional, T.waiting, T.held, T.balance];
  if (one === null) return <Strip testid="conc-stats" names={names} />;
  const { row } = one;
  const { there, meters, collected, held_rows: held, balance } = row;
  const answers = there !== null && meters !== null;
  const silent = answers ? meters - there : 0;
  const share = percent(row.read_today.received, row.read_today.expected);
  const waiting = one.segments.reduce((sum, segment) => sum + segment.waiting, 0);
  const known = one.segments.length > 0;
  const loss = balance?.loss_permille ?? null;
  const standsBy = row.pair?.state === "standby";
  return (
    <Strip testid="conc-stats" dim={dim}>
      <Stat
        name={T.reachable}
        sub={
          !answers ? null : standsBy ? (
            T.standsBy
          ) : silent > 0 ? (
            <Status shape="warn">{T.silent(silent)}</Status>
          ) : (
            T.allThere
          )
        }
      >
        {answers ? <Num text={String(there)} unit={T.of(grouped(String(meters)))} /> : <NoValue />}
      </Stat>
      <Stat
        name={T.readToday}
        sub={share === null ? T.nothingDue : T.readSub(percentOfPermille(one.target_permille))}
      >
        {share === null ? <NoValue /> : <Num text={share} unit="%" />}
      </Stat>
      <Stat
        name={T.conventional}
        sub={collected === null ? null : collected > 0 ? T.conventionalSub : T.conventionalNone}
      >
        {collected === null ? <NoValue /> : <Num text={String(collected)} unit={T.meterUnit(collected)} />}
      </Stat>
      <Stat name={T.waiting} sub={known ? T.waitingSub : null}>
        {known ? <Num text={String(waiting)} unit={T.waitingUnit(waiting)} /> : <NoValue />}
      </Stat>
      <Stat
        name={T.held}
        sub={
          one.collection === null ? null : one.collection.dropped > 0 ? (
            <Status shape="warn">{T.heldDropped(grouped(String(one.collection.dropped)))}</Status>
          ) : one.collection.keep_days === null ? (
            T.heldNone
          ) : (
            T.heldDays(one.collection.keep_days)
          )
        }
      >
        {held === null ? <NoValue /> : <Num text={String(held)} unit={T.heldRows(held)} />}
      </Stat>
      <Stat
        name={T.balance}
        sub={
          balance === null ? (
            T.notWeighed
          ) : (
            <Status shape={shapeOf(balance.state)}>
              {balance.state === "ok"
                ? T.inRange
                : balance.state === "miss"
                  ? T.notWeighed
                  : `${balance.feeder} ${balance.phase}`}
            </Status>
          )
        }
      >
        {loss === null ? <NoValue /> : <Num text={lossText(loss)} unit={T.lossUnit} />}
      </Stat>
      {row.pair === null ? null : <PairStat pair={row.pair} />}
    </Strip>
  );
}
