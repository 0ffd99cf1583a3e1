import { Card } from "../../components/card.tsx";
import { Icon } from "../../components/icons.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Notice, Refused } from "../../components/states.tsx";
import { Status } from "../../components/status.tsx";
import { Stat, Strip } from "../../components/strip.tsx";
import { Table } from "../../components/table.tsx";
import { perCent, span } from "../../lib/campaign.ts";
import { grouped } from "../../lib/format.ts";
import { live } from "../../lib/live-client.ts";
import { siteZone } from "../../lib/session.ts";
import { useStore } from "../../lib/store.ts";
import { clockSeconds, parse } from "../../lib/time.ts";
import type { CampaignPlan, PlanMeter } from "../../lib/types.ts";
import { campaignNew as T } from "../../texts/campaign-new.en.ts";
import { t } from "../../texts/en.ts";

/** Meters that are named one by one. */
const NAMED = 50;
const FIRST = 3;

const many = (n: number): string => grouped(String(n));

/** The dry run: who takes part, who does not and why, how long it may take, what happens. */
export function PlanCard({
  plan,
  changed,
  looking,
  failed,
  rest,
  onLook,
}: {
  plan: CampaignPlan | null;
  changed: boolean;
  looking: boolean;
  failed: string | null;
  /** Why it cannot be looked at now. */
  rest: string | null;
  onLook: () => void;
}) {
  const offline = useStore(live.view).state === "offline";
  const why = offline ? t.state.offlineTitle : rest;
  const at = parse(plan?.as_of);
  const button = (
    <button
      type="button"
      class={plan === null ? "btn primary" : "btn sm"}
      disabled={looking || why !== null}
      onClick={onLook}
      data-testid="new-look"
    >
      {plan === null ? null : <Icon name="refresh-cw" />}
      {looking ? T.looking : plan === null ? T.look : T.lookAgain}
    </button>
  );
  return (
    <Card
      id="plan"
      title={T.plan}
      testid="new-plan"
      flush
      busy={looking}
      aside={at === null ? null : <span class="t3 hide-n">{T.asOf(clockSeconds(at, siteZone()))}</span>}
      end={plan === null ? null : button}
    >
      <Refused text={failed} testid="new-plan-failed" class="pad" />
      {changed ? (
        <p class="pad" role="status" data-testid="new-plan-changed">
          <Status shape="warn">{T.changed}</Status>
        </p>
      ) : null}
      {plan === null ? (
        <Notice
          kind="empty"
          icon="gauge"
          title={T.planNone}
          text={why === null ? T.planNoneText : why}
          actions={button}
        />
      ) : (
        <Plan plan={plan} />
      )}
    </Card>
  );
}

function Plan({ plan }: { plan: CampaignPlan }) {
  const out = plan.chosen - plan.meters;
  return (
    <>
      <Strip class="inside" testid="new-plan-figures">
        <Stat name={T.takePart} sub={T.ofChosen(many(plan.chosen))}>
          <Num text={String(plan.meters)} />
        </Stat>
        <Stat name={T.leftOut} sub={out === 0 ? T.nobodyOut : T.leftOutSub}>
          <Num text={String(out)} />
        </Stat>
        <Stat name={T.time} sub={plan.allowed_s === null ? T.noTime : T.timeSub}>
          {plan.allowed_s === null ? <NoValue /> : span(plan.allowed_s)}
        </Stat>
        <Stat name={T.between} sub={T.betweenSub}>
          {span(plan.soak_s)}
        </Stat>
      </Strip>
      {plan.meters === 0 ? (
        <Notice kind="nomatch" icon="search-x" title={T.nobody} text={T.nobodyText} />
      ) : (
        <Steps plan={plan} />
      )}
      {out > 0 ? <LeftOut plan={plan} out={out} /> : null}
    </>
  );
}

function Steps({ plan }: { plan: CampaignPlan }) {
  const shared = plan.groups.filter((group) => group.shares);
  const first = plan.first.slice(0, FIRST).map((meter) => meter.name);
  const steps: [string, string][] = [
    [T.told(many(plan.meters)), T.toldText],
    ...(plan.shared > 0
      ? [
          [
            T.broadcast(many(plan.shared), many(shared.length)),
            T.broadcastText(many(shared[0]?.blocks ?? 0)),
          ] as [string, string],
        ]
      : []),
    ...(plan.alone > 0 ? [[T.alone(many(plan.alone)), T.aloneText] as [string, string]] : []),
    [T.verify, T.verifyText(plan.unknown_version)],
    ...plan.rings.map((ring, i): [string, string] => [
      T.ring(i + 1, many(ring.meters)),
      i === 0
        ? T.ringFirst(first.join(", "), ring.meters - first.length)
        : T.ringText(perCent(ring.permille)),
    ]),
  ];
  return (
    <>
      <h3 class="pad-h">{T.steps}</h3>
      <ol class="list ruled" data-testid="new-plan-steps">
        {steps.map(([title, text]) => (
          <li key={title}>
            <Status shape="todo" />
            <div class="t">
              {title}
              <span>{text}</span>
            </div>
          </li>
        ))}
        {plan.silent > 0 ? (
          <li data-testid="new-plan-silent">
            <Status shape="warn" />
            <div class="t">{T.silentIn(plan.silent)}</div>
          </li>
        ) : null}
      </ol>
    </>
  );
}

function whyLeft(meter: PlanMeter): string {
  if (meter.campaign !== null) return T.inCampaign(meter.campaign);
  return meter.reason === null ? "" : T.reasons[meter.reason];
}

function LeftOut({ plan, out }: { plan: CampaignPlan; out: number }) {
  const named = plan.left_out.slice(0, NAMED);
  return (
    <>
      <h3 class="pad-h">{T.out}</h3>
      <ul class="chips pad-x" data-testid="new-plan-out">
        {plan.out.map((it) => (
          <li key={it.reason} data-testid="new-plan-reason" data-id={it.reason}>
            <Status shape="miss">
              {many(it.meters)} · {T.reasons[it.reason]}
            </Status>
          </li>
        ))}
      </ul>
      <Table
        class="campaign-tbl"
        caption={T.outCaption}
        columns={[
          T.outWhy,
          T.outMeter,
          { text: T.outPlace, class: "hide-n" },
          { text: T.outRuns, class: "r hide-n" },
        ]}
      >
        {named.map((meter) => (
          <tr key={meter.id} data-testid="new-plan-left" data-id={meter.reason}>
            <td class="wr">{whyLeft(meter)}</td>
            <th scope="row">
              <a href={`/meters/${meter.id}`}>{meter.name}</a>
            </th>
            <td class="hide-n clip">{meter.place}</td>
            <td class="r hide-n">{meter.firmware ?? <NoValue />}</td>
          </tr>
        ))}
      </Table>
      {out > named.length ? <p class="list-note t3">{T.outMore(many(out - named.length))}</p> : null}
    </>
  );
}
