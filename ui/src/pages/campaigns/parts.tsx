import { Card } from "../../components/card.tsx";
import { Row } from "../../components/kv.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Notice } from "../../components/states.tsx";
import { Status, StatusShape, type Shape } from "../../components/status.tsx";
import { Table } from "../../components/table.tsx";
import { Time } from "../../components/time.tsx";
import { perCent, share, span } from "../../lib/campaign.ts";
import { grouped } from "../../lib/format.ts";
import { useNow } from "../../lib/hooks.ts";
import { siteZone } from "../../lib/session.ts";
import { parse, when } from "../../lib/time.ts";
import type {
  Campaign,
  CampaignCounts,
  CampaignGroup,
  CampaignReason,
  CampaignRing,
} from "../../lib/types.ts";
import { campaigns as T } from "../../texts/campaigns.en.ts";

/** Who runs the image, who holds it, who failed; the words stand beside it. */
export function Bar({ counts }: { counts: CampaignCounts }) {
  const all = Math.max(1, counts.meters);
  const runs = (counts.active / all) * 100;
  const has = (counts.verified / all) * 100;
  const out = (counts.failed / all) * 100;
  return (
    <svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <rect class="bg" width="100" height="6" />
      <rect class="runs" width={runs} height="6" />
      <rect class="has" x={runs} width={has} height="6" />
      <rect class="out" x={100 - out} width={out} height="6" />
    </svg>
  );
}

const RING_SHAPES: Record<CampaignRing["state"], Shape> = {
  todo: "todo",
  soaking: "pend",
  run: "run",
  done: "ok",
  stopped: "off",
};

/** Who activates when, and how far that is. */
export function RingsCard({ one }: { one: Campaign }) {
  const now = useNow(1_000);
  const { settings, progress } = one;
  const limit = perCent(settings.failures_permille);
  return (
    <Card
      id="rings"
      title={T.rings}
      testid="campaign-rings"
      flush
      aside={<span class="t3 hide-n">{T.ringsAside}</span>}
      footer={
        <span>{settings.soak_s > 0 ? T.ringsFoot(span(settings.soak_s), limit) : T.ringsFootNow(limit)}</span>
      }
    >
      <ol class="list ruled rings">
        {progress.rings.map((ring, i) => {
          const begins = parse(ring.begins);
          return (
            <li key={ring.permille} data-testid="campaign-ring" data-id={i} data-state={ring.state}>
              <Status shape={RING_SHAPES[ring.state]} />
              <div class="t">
                {T.ringName(i + 1)}
                <span>
                  {T.ringShare(perCent(ring.permille), grouped(String(ring.counts.meters)))}
                  {" · "}
                  {T.ringBar({
                    active: grouped(String(ring.counts.active)),
                    verified: grouped(String(ring.counts.verified)),
                    failed: grouped(String(ring.counts.failed)),
                  })}
                </span>
                <Bar counts={ring.counts} />
              </div>
              <span class="when">
                {begins === null ? (
                  T.ringState[ring.state]
                ) : (
                  <Time at={begins} now={now} text={T.ringBegins(when(begins, now, siteZone()))} />
                )}
              </span>
            </li>
          );
        })}
      </ol>
    </Card>
  );
}

/** What the image is, and for whom. */
export function ImageCard({ one }: { one: Campaign }) {
  return (
    <Card id="image" title={T.image} testid="campaign-image">
      <dl class="kv">
        <Row name={T.identifier}>{one.image.identifier}</Row>
        <Row name={T.versionRow}>
          <Num text={String(one.image.version)} />
        </Row>
        <Row name={T.model}>{one.image.model}</Row>
        <Row name={T.length}>
          <Num text={String(one.image.length)} unit={T.octets} />
        </Row>
        {one.reason === null ? null : (
          <Row name={T.begunWhy} testid="campaign-why-begun">
            {one.reason}
          </Row>
        )}
      </dl>
    </Card>
  );
}

/** How fast it goes, and why not faster. */
export function PaceCard({ one }: { one: Campaign }) {
  const { settings, progress } = one;
  const group = progress.groups.find((it) => it.blocks_blind > 0);
  const blocks = group ? Math.round(group.blocks_blind / Math.max(1, settings.passes)) : null;
  const { line } = settings;
  return (
    <Card id="pace" title={T.pace} testid="campaign-pace">
      <dl class="kv">
        <Row name={T.perBlock}>
          <Num text={String(settings.pace_ms)} unit="ms" />
        </Row>
        <Row name={T.perPass}>{blocks === null ? <NoValue /> : span((blocks * settings.pace_ms) / 1000)}</Row>
        <Row name={T.passes}>
          <Num text={String(settings.passes)} />
        </Row>
        <Row name={T.parallel}>
          <Num text={String(settings.parallel)} />
        </Row>
        <Row name={T.tries}>{T.triesText(settings.tries, span(settings.retry_s))}</Row>
        <Row name={T.line}>
          {line === null ? (
            T.lineNone
          ) : (
            <>
              {T.lineText[line.medium]?.(line.credit, line.hops) ?? line.medium}
              <span class="t3">, {T.lineLoss(perCent(line.loss_permille))}</span>
            </>
          )}
        </Row>
      </dl>
    </Card>
  );
}

/** What failed and why. */
export function WhyCard({ one, onShow }: { one: Campaign; onShow: () => void }) {
  const failed = one.progress.failed;
  return (
    <Card
      id="why"
      title={T.why}
      testid="campaign-why"
      flush
      end={
        failed > 0 ? (
          <button type="button" class="btn sm" onClick={onShow} data-testid="campaign-show-failed">
            {T.showThem}
          </button>
        ) : null
      }
    >
      {one.reasons.length === 0 ? (
        <Notice kind="empty" icon="inbox" title={T.whyNone} text={T.whyNoneText} />
      ) : (
        <ul class="list ruled">
          {one.reasons.map(({ reason, meters, counts }) => (
            <li key={reason} data-testid="campaign-reason" data-id={reason}>
              <span class={counts ? "st st-crit" : "st st-warn"}>
                <StatusShape shape={counts ? "crit" : "warn"} />
              </span>
              <div class="t">
                {reasonText(reason)}
                <span>{T.reasons[reason]?.[1] ?? ""}</span>
              </div>
              <span class="when">
                <Num text={String(meters)} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

export function reasonText(reason: CampaignReason): string {
  return T.reasons[reason]?.[0] ?? reason;
}

function Seconds({ s }: { s: number | null }) {
  return s === null ? <NoValue /> : <>{span(s)}</>;
}

function GroupRow({ group, one, now }: { group: CampaignGroup; one: Campaign; now: number }) {
  const ended = parse(one.ended);
  const began = parse(group.began);
  const open = group.taken_s === null && began !== null;
  const taken = group.taken_s ?? (began === null ? null : Math.max(0, ((ended ?? now) - began) / 1000));
  const limit = group.bound === null ? null : group.bound.bound_s * group.bound.factor;
  const over = taken !== null && limit !== null && taken > limit;
  const rests = group.phase !== "done" && one.state !== "run";
  return (
    <tr data-testid="campaign-group" data-id={group.endpoint} data-state={rests ? "rests" : group.phase}>
      <td>
        {rests ? (
          <Status shape="off">{T.groupRests}</Status>
        ) : (
          <Status shape={group.phase === "done" ? "ok" : "run"}>{T.groupState[group.phase]}</Status>
        )}
      </td>
      <th scope="row" class="wr-any">
        {group.endpoint}
      </th>
      <td class="r hide-n">
        <Num text={String(group.meters)} />
      </td>
      <td class="r hide-n">
        {group.blocks_blind === 0 ? (
          <NoValue />
        ) : (
          <>
            <Num text={String(group.blocks_sent)} />
            <span class="under">{T.of(grouped(String(group.blocks_blind)))}</span>
          </>
        )}
      </td>
      <td class="r">
        {over ? (
          <Status shape="warn">
            <Seconds s={taken} />
          </Status>
        ) : (
          <Seconds s={taken} />
        )}
        {open && taken !== null && limit !== null ? <span class="under">{share(taken, limit)} %</span> : null}
      </td>
      <td class="r">
        <Seconds s={limit} />
        {group.bound === null ? null : <span class="under">{T.boundSub(span(group.bound.bound_s))}</span>}
      </td>
      <td class="r hide-n hide-m">
        <Seconds s={group.bound?.unicast_s ?? null} />
      </td>
    </tr>
  );
}

/** Those that share a line: how long it took there, and how long it may take. */
export function GroupsCard({ one }: { one: Campaign }) {
  const now = useNow(1_000);
  const { groups, rounds } = one.progress;
  const c = T.groupColumns;
  const factor = groups.find((group) => group.bound !== null)?.bound?.factor;
  const [first, second] = rounds;
  const asked = first !== undefined && second !== undefined && first.meters + second.meters > 0;
  return (
    <Card
      id="groups"
      title={T.groups}
      testid="campaign-groups"
      flush
      footer={
        groups.length > 0 && (asked || factor !== undefined) ? (
          <>
            {asked ? (
              <span>
                {T.rounds({
                  meters: grouped(String(first.meters)),
                  reads: grouped(String(first.reads)),
                  again: grouped(String(second.meters)),
                  most: Math.max(first.most_of_one, second.most_of_one),
                })}
              </span>
            ) : null}
            {factor === undefined ? null : <span>{T.boundFoot(String(factor))}</span>}
          </>
        ) : undefined
      }
    >
      {groups.length === 0 ? (
        <Notice kind="empty" icon="inbox" title={T.noGroups} text={T.noGroupsText} />
      ) : (
        <Table
          class="campaign-tbl"
          caption={T.groupsCaption}
          columns={[
            c.state,
            c.endpoint,
            { text: c.meters, class: "r hide-n" },
            { text: c.blocks, class: "r hide-n" },
            { text: c.taken, class: "r" },
            { text: c.limit, class: "r" },
            { text: c.alone, class: "r hide-n hide-m" },
          ]}
        >
          {groups.map((group, i) => (
            <GroupRow key={i} group={group} one={one} now={now} />
          ))}
        </Table>
      )}
    </Card>
  );
}
