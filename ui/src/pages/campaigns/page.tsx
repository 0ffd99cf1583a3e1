import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../../components/icons.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Shell } from "../../components/shell.tsx";
import { Failed, Load, Skeleton } from "../../components/states.tsx";
import { Pill, Status, shapeOf } from "../../components/status.tsx";
import { Time } from "../../components/time.tsx";
import { toast } from "../../components/toasts.tsx";
import { ApiError } from "../../lib/api.ts";
import { campaignApi } from "../../lib/campaign-api.ts";
import { span } from "../../lib/campaign.ts";
import { grouped } from "../../lib/format.ts";
import { useLiveEvent, useLoad, useNow, useTopic } from "../../lib/hooks.ts";
import { live } from "../../lib/live-client.ts";
import { useQuery } from "../../lib/router.ts";
import { siteZone } from "../../lib/session.ts";
import { useStore } from "../../lib/store.ts";
import { parse, when } from "../../lib/time.ts";
import type { Campaign, CampaignRow } from "../../lib/types.ts";
import { campaigns as T } from "../../texts/campaigns.en.ts";
import { NotFound } from "../not-found.tsx";
import { MetersCard, PAGE } from "./meters.tsx";
import { GroupsCard, ImageCard, PaceCard, RingsCard, WhyCard } from "./parts.tsx";

/** What changes is read again at most so often. */
const AGAIN_MS = 1_000;

/** Whether it rests and could go on: stopped, or done with meters that were not reached. */
export function canGoOn(one: Campaign): boolean {
  if (one.state === "pend" || one.state === "crit") return true;
  return one.phase === "done" && one.reasons.some((it) => it.reason === "unreachable");
}

/** One campaign: the image, its rings, each meter, what failed and why, and the time it may take. */
export function CampaignPage({ id }: { id: number }) {
  const [query, change] = useQuery();
  const offset = Number.parseInt(query.get("offset") ?? "", 10);
  const filter = {
    q: query.get("q") ?? "",
    step: query.get("step") ?? "",
    ring: query.get("ring") ?? "",
    offset: Number.isNaN(offset) || offset < 0 ? 0 : offset,
  };
  const loaded = useLoad(`campaign/${id}`, (signal) => campaignApi.one(id, signal));
  const meters = useLoad(`campaign-meters/${id}/${JSON.stringify(filter)}`, (signal) =>
    campaignApi.meters(id, { ...filter, limit: PAGE }, signal),
  );
  useTopic("campaigns");
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  const again = useRef<() => void>(() => undefined);
  again.current = () => {
    loaded.reload();
    meters.reload();
  };
  useLiveEvent<CampaignRow>("campaign", (row) => {
    if (row.id !== id || timer.current !== null) return;
    timer.current = setTimeout(() => {
      timer.current = null;
      again.current();
    }, AGAIN_MS);
  });
  useEffect(
    () => () => {
      if (timer.current !== null) clearTimeout(timer.current);
    },
    [],
  );
  const connection = useStore(live.view).state;
  const [asked, setAsked] = useState(false);
  const stop = (): void => {
    setAsked(true);
    campaignApi.stop(id).then(
      (one) => {
        setAsked(false);
        loaded.patch(() => one);
        meters.reload();
        toast(T.stopped);
      },
      (cause: unknown) => {
        setAsked(false);
        toast(cause instanceof ApiError && cause.message ? cause.message : T.stopFailed);
      },
    );
  };
  const list = useRef<HTMLDivElement>(null);
  const showFailed = (): void => {
    change({ step: "failed", ring: "", q: "", offset: "" });
    list.current?.scrollIntoView({ block: "start" });
  };

  const one = loaded.data;
  const name = one?.name ?? T.one;
  const crumbs = [{ text: T.title, href: "/campaigns" }, { text: name }];
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
  return (
    <Shell title={name} crumbs={crumbs}>
      <div class="head">
        <div>
          <h1 tabIndex={-1}>{name}</h1>
          <div class="lead">{one ? <Lead one={one} /> : <span class="skel w4" />}</div>
        </div>
        {one === null ? null : (
          <div class="actions">
            {one.state === "run" ? (
              <button
                type="button"
                class="btn danger-quiet"
                onClick={stop}
                disabled={asked || connection === "offline"}
                data-testid="campaign-stop"
              >
                <Icon name="pause" />
                {asked ? T.stopping : T.stop}
              </button>
            ) : null}
            {canGoOn(one) ? (
              <a class="btn danger-quiet" href={`/campaigns/${id}/resume`} data-testid="campaign-resume">
                <Icon name="play" />
                {T.resume}
              </a>
            ) : null}
          </div>
        )}
      </div>
      <Strip one={one} dim={connection === "stale" || connection === "offline"} />
      <div class="grid">
        <Load
          of={loaded}
          what={T.whatOne}
          shape={
            <div class="card pad">
              <Skeleton lines={5} />
            </div>
          }
        >
          {(data) => (
            <>
              <div class="stack c8">
                <RingsCard one={data} />
                <GroupsCard one={data} />
              </div>
              <div class="stack c4">
                <WhyCard one={data} onShow={showFailed} />
                <ImageCard one={data} />
                <PaceCard one={data} />
              </div>
            </>
          )}
        </Load>
        <div ref={list}>
          <MetersCard
            loaded={meters}
            filter={filter}
            rings={one?.progress.rings.length ?? 0}
            onChange={change}
          />
        </div>
      </div>
    </Shell>
  );
}

function Lead({ one }: { one: Campaign }) {
  const now = useNow(10_000);
  const zone = siteZone();
  const begun = parse(one.created);
  const ended = parse(one.ended);
  return (
    <>
      <Pill shape={shapeOf(one.state)}>{one.state_text}</Pill>
      <span>
        {one.image.identifier}, {T.version(one.image.version)}
      </span>
      {begun === null ? null : (
        <span class="t3">
          <Time at={begun} now={now} text={T.begun(when(begun, now, zone))} />
        </span>
      )}
      {ended === null ? null : (
        <span class="t3">
          <Time at={ended} now={now} text={T.ended(when(ended, now, zone))} />
        </span>
      )}
    </>
  );
}

/** The segment that is nearest to its bound, or beyond. */
function tightest(one: Campaign, now: number): { taken: number; limit: number | null } | null {
  const ended = parse(one.ended);
  let found: { taken: number; limit: number | null } | null = null;
  const part = (it: { taken: number; limit: number | null }): number =>
    it.limit === null ? 0 : it.taken / it.limit;
  for (const group of one.progress.groups) {
    const began = parse(group.began);
    if (began === null) continue;
    const taken = group.taken_s ?? Math.max(0, ((ended ?? now) - began) / 1000);
    const limit = group.bound === null ? null : group.bound.bound_s * group.bound.factor;
    const next = { taken, limit };
    if (found === null || part(next) > part(found)) found = next;
  }
  return found;
}

function Strip({ one, dim }: { one: Campaign | null; dim: boolean }) {
  const now = useNow(1_000);
  const s = T.stats;
  if (one === null) {
    return (
      <dl class="strip" data-testid="campaign-stats" aria-busy="true">
        {Object.values(s).map((name) => (
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
  const { progress } = one;
  const all = T.of(grouped(String(progress.meters)));
  const speaks = one.reasons.filter((it) => it.counts).reduce((sum, it) => sum + it.meters, 0);
  const time = tightest(one, now);
  const over = time !== null && time.limit !== null && time.taken > time.limit;
  return (
    <dl class={dim ? "strip stale" : "strip"} data-testid="campaign-stats">
      <div class="stat">
        <dt>{s.meters}</dt>
        <dd>
          <Num text={String(progress.meters)} />
          <span class="sub">{T.groupsSub(progress.groups.length)}</span>
        </dd>
      </div>
      <div class="stat">
        <dt>{s.hold}</dt>
        <dd>
          <Num text={String(progress.verified + progress.active)} unit={all} />
          <span class="sub">{T.holdSub}</span>
        </dd>
      </div>
      <div class="stat">
        <dt>{s.run}</dt>
        <dd>
          <Num text={String(progress.active)} unit={all} />
          <span class="sub">{T.runSub}</span>
        </dd>
      </div>
      <div class="stat">
        <dt>{s.failed}</dt>
        <dd>
          <Num text={String(progress.failed)} />
          <span class="sub">
            {progress.failed === 0 ? (
              T.failedNone
            ) : speaks > 0 ? (
              <Status shape="crit">{T.failedSub(grouped(String(speaks)))}</Status>
            ) : (
              T.failedNoneCounts
            )}
          </span>
        </dd>
      </div>
      <div class="stat">
        <dt>{s.broadcast}</dt>
        <dd>
          {progress.blocks_blind === 0 ? (
            <NoValue />
          ) : (
            <Num text={String(progress.blocks_sent)} unit={T.blocks} />
          )}
          <span class="sub">
            {progress.blocks_blind === 0
              ? T.nothingBroadcast
              : T.blindSub(grouped(String(progress.blocks_blind)), one.settings.passes)}
          </span>
        </dd>
      </div>
      <div class="stat">
        <dt>{s.time}</dt>
        <dd>
          {time === null ? <NoValue /> : <span class="n">{span(time.taken)}</span>}
          <span class="sub">
            {time === null ? (
              T.notBegun
            ) : time.limit === null ? (
              T.noBound
            ) : over ? (
              <Status shape="warn">{T.overLimit(span(time.limit))}</Status>
            ) : (
              T.takenOf(span(time.limit))
            )}
          </span>
        </dd>
      </div>
    </dl>
  );
}
