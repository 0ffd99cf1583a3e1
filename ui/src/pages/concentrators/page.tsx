import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../../components/icons.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Shell } from "../../components/shell.tsx";
import { Failed, Load, Skeleton } from "../../components/states.tsx";
import { Pill, Status, shapeOf } from "../../components/status.tsx";
import { toast } from "../../components/toasts.tsx";
import { api } from "../../lib/api.ts";
import { lossText } from "../../lib/balance.ts";
import { grouped, percent } from "../../lib/format.ts";
import { useKey, useLiveEvent, useLoad, useNow, useTopic } from "../../lib/hooks.ts";
import { live } from "../../lib/live-client.ts";
import { navigate, useQuery } from "../../lib/router.ts";
import { siteZone } from "../../lib/session.ts";
import { useStore } from "../../lib/store.ts";
import { age, exact, HOUR, parse, when } from "../../lib/time.ts";
import type { Concentrator, ConcentratorRow } from "../../lib/types.ts";
import { concentrators as T } from "../../texts/concentrators.en.ts";
import { NotFound } from "../not-found.tsx";
import { IdentityCard, MeteringCard, WanCard } from "./cards.tsx";
import { ChosenCard, SegmentCard, TreeCard } from "./meters.tsx";
import { BalanceCard, NoticesCard, OutagesCard } from "./substation.tsx";

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
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  useLiveEvent<ConcentratorRow>("concentrator", (row) => {
    if (row.id !== id) return;
    loaded.patch((old) => ({ ...old, row }));
    if (timer.current !== null) return;
    timer.current = setTimeout(() => {
      timer.current = null;
      loaded.reload();
      behind.reload();
      outages.reload();
      notices.reload();
      balance.reload();
    }, 400);
  });
  useEffect(
    () => () => {
      if (timer.current !== null) clearTimeout(timer.current);
    },
    [],
  );
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
  useKey("[", () => (one?.previous ? navigate(`/concentrators/${one.previous}`) : undefined));
  useKey("]", () => (one?.next ? navigate(`/concentrators/${one.next}`) : undefined));
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
  if (loaded.error?.failure === "not_found") {
    return (
      <Shell ownFind title={T.unknownTitle} crumbs={crumbs}>
        <NotFound title={T.unknownTitle} text={T.unknownText} />
      </Shell>
    );
  }
  if (one === null && loaded.error) {
    return (
      <Shell title={name} crumbs={crumbs}>
        <div class="head">
          <h1 tabIndex={-1}>{name}</h1>
        </div>
        <section class="card">
          <Failed error={loaded.error} what={T.whatOne} onRetry={loaded.reload} />
        </section>
      </Shell>
    );
  }
  const meter = behind.data?.rows.find((row) => row.sap === chosen) ?? null;
  const old = stale === "stale" || stale === "offline" || one?.row.state === "off";
  return (
    <Shell title={name} crumbs={crumbs}>
      <div class="head">
        <div>
          <h1 tabIndex={-1}>{name}</h1>
          <div class="lead">{one ? <Lead one={one} /> : <span class="skel w4" />}</div>
        </div>
        <div class="actions">
          <button type="button" class="btn" onClick={look} disabled={asked} data-testid="conc-look">
            <Icon name="refresh-cw" />
            {asked ? T.looking : T.look}
          </button>
        </div>
      </div>
      <Strip one={one} dim={old} />
      <div class="grid">
        <div class="stack c8">
          <SegmentCard name={name} loaded={behind} chosen={chosen} onChoose={choose} />
        </div>
        <div class="stack c4">
          <Load of={loaded} what={T.whatOne} shape={<Skeleton lines={4} />}>
            {(data) => <WanCard one={data} />}
          </Load>
          <ChosenCard meter={meter} />
          <OutagesCard loaded={outages} onMore={() => setOutagesMax(MOST)} />
        </div>
        <BalanceCard loaded={balance} metered={(one?.metering.length ?? 0) > 0} />
        <TreeCard loaded={behind} chosen={chosen} onChoose={choose} />
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
    </Shell>
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
      {row.state === "ok" ? null : answered}
      <span>{row.media.map((medium) => T.medium[medium] ?? medium).join(", ")}</span>
      <span class="t3 cut-off">{row.endpoint}</span>
      {one.failing === null ? null : <span class="t2">{one.failing}</span>}
    </>
  );
}

function Strip({ one, dim }: { one: Concentrator | null; dim: boolean }) {
  const names = [T.reachable, T.readToday, T.conventional, T.waiting, T.held, T.balance];
  if (one === null) {
    return (
      <dl class="strip" data-testid="conc-stats" aria-busy="true">
        {names.map((name) => (
          <div class="stat" key={name}>
            <dt>{name}</dt>
            <dd>
              <span class="skel w2 tall" />
            </dd>
          </div>
        ))}
      </dl>
    );
  }
  const { row } = one;
  const silent = row.meters === null || row.there === null ? 0 : row.meters - row.there;
  const share = percent(row.read_today.received, row.read_today.expected);
  const waiting = one.segments.reduce((sum, segment) => sum + segment.waiting, 0);
  const known = one.segments.length > 0;
  return (
    <dl class={dim ? "strip stale" : "strip"} data-testid="conc-stats">
      <div class="stat">
        <dt>{T.reachable}</dt>
        <dd>
          {row.there === null || row.meters === null ? (
            <NoValue />
          ) : (
            <>
              <Num text={String(row.there)} unit={T.of(grouped(String(row.meters)))} />
              <span class="sub">
                {silent > 0 ? <Status shape="warn">{T.silent(silent)}</Status> : T.allThere}
              </span>
            </>
          )}
        </dd>
      </div>
      <div class="stat">
        <dt>{T.readToday}</dt>
        <dd>
          {share === null ? <NoValue /> : <Num text={share} unit="%" />}
          <span class="sub">
            {share === null
              ? T.nothingDue
              : T.readSub(grouped(String(row.read_today.received)), grouped(String(row.read_today.expected)))}
          </span>
        </dd>
      </div>
      <div class="stat">
        <dt>{T.conventional}</dt>
        <dd>
          {row.collected === null ? (
            <NoValue />
          ) : (
            <Num text={String(row.collected)} unit={T.meterUnit(row.collected)} />
          )}
          <span class="sub">
            {row.collected === null ? "" : row.collected > 0 ? T.conventionalSub : T.conventionalNone}
          </span>
        </dd>
      </div>
      <div class="stat">
        <dt>{T.waiting}</dt>
        <dd>
          {known ? <Num text={String(waiting)} unit={T.waitingUnit(waiting)} /> : <NoValue />}
          <span class="sub">{known ? T.waitingSub : ""}</span>
        </dd>
      </div>
      <div class="stat">
        <dt>{T.held}</dt>
        <dd>
          {row.held_rows === null ? (
            <NoValue />
          ) : (
            <Num text={String(row.held_rows)} unit={T.heldRows(row.held_rows)} />
          )}
          <span class="sub">
            {one.collection === null ? (
              ""
            ) : one.collection.dropped > 0 ? (
              <Status shape="warn">{T.heldDropped(grouped(String(one.collection.dropped)))}</Status>
            ) : (
              T.heldNone
            )}
          </span>
        </dd>
      </div>
      <div class="stat">
        <dt>{T.balance}</dt>
        <dd>
          {row.balance === null || row.balance.loss_permille === null ? (
            <NoValue />
          ) : (
            <Num text={lossText(row.balance.loss_permille)} unit={T.lossUnit} />
          )}
          <span class="sub">
            {row.balance === null ? (
              T.notWeighed
            ) : (
              <Status shape={shapeOf(row.balance.state)}>
                {row.balance.state === "ok"
                  ? T.inRange
                  : row.balance.state === "miss"
                    ? T.notWeighed
                    : `${row.balance.feeder} ${row.balance.phase}`}
              </Status>
            )}
          </span>
        </dd>
      </div>
    </dl>
  );
}
