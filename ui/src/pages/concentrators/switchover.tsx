import { Decision, Meaning, NoDecision, Steps } from "../../components/decision.tsx";
import { Row } from "../../components/kv.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { ObjectPage } from "../../components/page.tsx";
import { Load } from "../../components/states.tsx";
import { Status } from "../../components/status.tsx";
import { Stamp } from "../../components/time.tsx";
import { useLoad, useNow } from "../../lib/hooks.ts";
import { orderApi } from "../../lib/order-api.ts";
import { navigate } from "../../lib/router.ts";
import { age, parse } from "../../lib/time.ts";
import type { SwitchoverDryRun } from "../../lib/types.ts";
import { concentrators as T } from "../../texts/concentrators.en.ts";

/** The order to hand over to the standby, on a page of its own: what it would mean, why, and a typed name. */
export function SwitchoverPage({ id }: { id: string }) {
  const loaded = useLoad(`switchover/${id}`, (signal) => orderApi.switchoverDryRun(id, signal));
  const dry = loaded.data;
  const name = dry?.name ?? T.one;
  const crumbs = [
    { text: T.title, href: "/concentrators" },
    { text: name, href: `/concentrators/${id}` },
    { text: T.switchCrumb },
  ];
  return (
    <ObjectPage
      of={loaded}
      title={dry === null ? T.switchCrumb : T.switchTitle(name)}
      what={T.whatOne}
      texts={T}
      crumbs={crumbs}
      lead={null}
    >
      <Load of={loaded} what={T.whatOne} card>
        {(looked) => (
          <div class="grid">
            <div class="stack c8">
              <Means dry={looked} again={loaded.reload} />
              <Steps title={T.switchSteps} testid="switchover-steps" steps={looked.steps} />
            </div>
            <div class="stack c4">
              {looked.possible ? (
                <Decide id={id} dry={looked} />
              ) : (
                <NoDecision
                  title={T.switchDecision}
                  cannot={T.switchCannot}
                  why={looked.why_not ?? ""}
                  action={{ text: T.switchAgain, onAgain: loaded.reload }}
                />
              )}
            </div>
          </div>
        )}
      </Load>
    </ObjectPage>
  );
}

function Means({ dry, again }: { dry: SwitchoverDryRun; again: () => void }) {
  const now = useNow(10_000);
  const { behind_ms: behind } = dry;
  const table = behind === null ? T.tableNever : behind < 1_000 ? T.tableFresh : T.tableOld(age(behind));
  return (
    <Meaning
      title={T.switchMeans}
      testid="switchover-dryrun"
      at={parse(dry.as_of)}
      checked={T.switchChecked}
      again={{ text: T.switchAgain, onAgain: again }}
    >
      <dl class="kv">
        {dry.peer === "" ? null : (
          <>
            <Row name={T.switchResult}>
              <Status shape="info">{T.switchGoes(dry.peer)}</Status>
            </Row>
            <Row name={T.switchStep}>
              {dry.in_step ? T.pairState.ready : <Status shape="warn">{T.pairState.behind}</Status>}
              <span class="t3">, {table}</span>
            </Row>
          </>
        )}
        <Row name={T.switchMeters}>
          {dry.meters === null ? <NoValue /> : <Num text={String(dry.meters)} />}
        </Row>
        <Row name={T.switchWaiting}>{T.switchWaitingText(dry.waiting)}</Row>
        <Row name={T.switchPause}>{T.switchPauseText}</Row>
        <Row name={T.switchTold}>
          {dry.told === null ? <span class="t3">{T.never}</span> : <Stamp at={dry.told} now={now} />}
        </Row>
        <Row name={T.switchSecond}>{dry.second_person ? T.switchSecondOn : T.switchSecondOff}</Row>
      </dl>
    </Meaning>
  );
}

function Decide({ id, dry }: { id: string; dry: SwitchoverDryRun }) {
  return (
    <Decision
      name="switchover"
      title={T.switchDecision}
      reason
      typed={{
        part: "name",
        label: T.switchType,
        hint: T.switchTypeHint(dry.confirm),
        wrong: T.switchTypeWrong(dry.confirm),
        is: dry.confirm,
      }}
      give={T.switchGive}
      giving={T.switchGiving}
      giveTestid="switchover-give"
      danger
      cancel={{ text: T.switchCancel, href: `/concentrators/${id}` }}
      onGive={async (reason, confirm) => {
        const given = await orderApi.switchOver(id, { reason, confirm, as_of: dry.as_of });
        navigate(`/orders/${given.number}`);
      }}
    />
  );
}
