import { useRef, useState } from "preact/hooks";
import { Icon } from "../../components/icons.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { ObjectPage } from "../../components/page.tsx";
import { Load, Skeleton } from "../../components/states.tsx";
import { Pill, Status, shapeOf } from "../../components/status.tsx";
import { Stat, Strip } from "../../components/strip.tsx";
import { Time } from "../../components/time.tsx";
import { toast } from "../../components/toasts.tsx";
import { campaignApi } from "../../lib/campaign-api.ts";
import { span } from "../../lib/campaign.ts";
import { grouped } from "../../lib/format.ts";
import { reasonOf } from "../../lib/act.ts";
import { useBurst, useLiveEvent, useLoad, useNow, useTopic } from "../../lib/hooks.ts";
import { live } from "../../lib/live-client.ts";
import { useQuery } from "../../lib/router.ts";
import { siteZone } from "../../lib/session.ts";
import { useStore } from "../../lib/store.ts";
import { parse, when } from "../../lib/time.ts";
import type { Campaign, CampaignRow } from "../../lib/types.ts";
import { campaigns as T } from "../../texts/campaigns.en.ts";
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
  const again = useBurst(AGAIN_MS, () => {
    loaded.reload();
    meters.reload();
  });
  useLiveEvent<CampaignRow>("campaign", (row) => {
    if (row.id === id) again();
  });
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
        toast(reasonOf(cause, T.stopFailed));
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
  return (
    <ObjectPage
      of={loaded}
      title={name}
      what={T.whatOne}
      texts={T}
      crumbs={crumbs}
      lead={one ? <Lead one={one} /> : <span class="skel w4" />}
      actions={
        one === null ? null : (
          <>
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
          </>
        )
      }
    >
      <Figures one={one} dim={connection === "stale" || connection === "offline"} />
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
    </ObjectPage>
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

function Figures({ one, dim }: { one: Campaign | null; dim: boolean }) {
  const now = useNow(1_000);
  const s = T.stats;
  if (one === null) return <Strip testid="campaign-stats" names={Object.values(s)} />;
  const { progress } = one;
  const all = T.of(grouped(String(progress.meters)));
  const speaks = one.reasons.filter((it) => it.counts).reduce((sum, it) => sum + it.meters, 0);
  const time = tightest(one, now);
  const over = time !== null && time.limit !== null && time.taken > time.limit;
  return (
    <Strip testid="campaign-stats" dim={dim}>
      <Stat name={s.meters} sub={T.groupsSub(progress.groups.length)}>
        <Num text={String(progress.meters)} />
      </Stat>
      <Stat name={s.hold} sub={T.holdSub}>
        <Num text={String(progress.verified + progress.active)} unit={all} />
      </Stat>
      <Stat name={s.run} sub={T.runSub}>
        <Num text={String(progress.active)} unit={all} />
      </Stat>
      <Stat
        name={s.failed}
        sub={
          progress.failed === 0 ? (
            T.failedNone
          ) : speaks > 0 ? (
            <Status shape="crit">{T.failedSub(grouped(String(speaks)))}</Status>
          ) : (
            T.failedNoneCounts
          )
        }
      >
        <Num text={String(progress.failed)} />
      </Stat>
      <Stat
        name={s.broadcast}
        sub={
          progress.blocks_blind === 0
            ? T.nothingBroadcast
            : T.blindSub(grouped(String(progress.blocks_blind)), one.settings.passes)
        }
      >
        {progress.blocks_blind === 0 ? (
          <NoValue />
        ) : (
          <Num text={String(progress.blocks_sent)} unit={T.blocks} />
        )}
      </Stat>
      <Stat
        name={s.time}
        sub={
          time === null ? (
            T.notBegun
          ) : time.limit === null ? (
            T.noBound
          ) : over ? (
            <Status shape="warn">{T.overLimit(span(time.limit))}</Status>
          ) : (
            T.takenOf(span(time.limit))
          )
        }
      >
        {time === null ? <NoValue /> : <span class="n">{span(time.taken)}</span>}
      </Stat>
    </Strip>
  );
}
