import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Field } from "../../components/controls.tsx";
import { Decision, Meaning, NoDecision, placeTyped, Steps } from "../../components/decision.tsx";
import { Row } from "../../components/kv.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { ObjectPage, UnknownPage } from "../../components/page.tsx";
import { Load } from "../../components/states.tsx";
import { Status } from "../../components/status.tsx";
import { Time } from "../../components/time.tsx";
import { glance } from "../../lib/format.ts";
import { useLoad, useNow } from "../../lib/hooks.ts";
import { orderApi } from "../../lib/order-api.ts";
import { navigate, place } from "../../lib/router.ts";
import { useStore } from "../../lib/store.ts";
import { parse } from "../../lib/time.ts";
import type { DryRun } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";
import { orders as T } from "../../texts/orders.en.ts";

const WHATS = ["connect", "disconnect", "text"] as const;
type What = (typeof WHATS)[number];

const TEXT_MOST = 200;

/** One order to a meter on a page of its own: what it would mean, why, and a typed confirmation. */
export function GiveOrderPage({ id }: { id: string }) {
  const { query } = useStore(place);
  const what = WHATS.find((one) => one === query.get("what"));
  const loaded = useLoad(`dry-run/${id}/${what ?? ""}`, (signal) =>
    orderApi.dryRun(id, what ?? "text", signal),
  );
  const dry = loaded.data;
  const name = dry?.name ?? t.meter.one;
  const crumbs = [
    { text: t.nav.fleet, href: "/fleet" },
    { text: name, href: `/meters/${id}` },
  ];
  if (what === undefined) return <UnknownPage texts={t.meter} crumbs={crumbs} />;
  const title = dry === null ? T.kind[what] : T.orderTitle[what](dry.confirm);
  return (
    <ObjectPage
      of={loaded}
      title={title}
      what={t.meter.what}
      texts={t.meter}
      crumbs={[...crumbs, { text: T.kind[what] }]}
      lead={
        dry === null ? null : (
          <>
            <span>{dry.name}</span>
            {dry.place === "" ? null : <span>{dry.place}</span>}
          </>
        )
      }
    >
      <Load of={loaded} what={t.meter.what} card>
        {(looked) => (
          <div class="grid">
            <div class="stack c8">
              <Means what={what} dry={looked} again={loaded.reload} />
              <Steps title={T.steps} testid="order-steps" steps={looked.steps} />
            </div>
            <div class="stack c4">
              {looked.possible ? (
                <Decide id={id} what={what} dry={looked} />
              ) : (
                <NoDecision
                  title={t.outlets.decision}
                  cannot={T.cannot}
                  why={looked.why_not ?? ""}
                  action={{ text: T.again, onAgain: loaded.reload }}
                />
              )}
            </div>
          </div>
        )}
      </Load>
    </ObjectPage>
  );
}

function Means({ what, dry, again }: { what: What; dry: DryRun; again: () => void }) {
  const now = useNow(10_000);
  const power = dry.draws_w === null ? null : glance(dry.draws_w, "W");
  const since = (time: string | null): ComponentChildren => {
    const ms = parse(time);
    return ms === null ? null : (
      <span class="t3">
        {" "}
        <Time at={ms} now={now} />
      </span>
    );
  };
  return (
    <Meaning
      title={T.means}
      testid="order-dryrun"
      at={parse(dry.as_of)}
      checked={T.checked}
      again={{ text: T.again, onAgain: again }}
    >
      <dl class="kv">
        <Row name={T.rows.result}>
          {what === "disconnect" ? (
            <Status shape="warn">{T.loses}</Status>
          ) : (
            <Status shape="info">{what === "connect" ? T.gets : T.shows}</Status>
          )}
        </Row>
        <Row name={T.rows.breaker}>
          {dry.breaker === null ? (
            <span class="t3">{T.notRead}</span>
          ) : (
            <>
              {T.control[dry.breaker]}
              {since(dry.breaker_at)}
            </>
          )}
        </Row>
        <Row name={T.rows.draws}>
          {power === null ? <NoValue /> : <Num text={power.text} unit={power.unit} />}
          {power === null ? null : since(dry.draws_at)}
        </Row>
        <Row name={T.rows.lastRead}>
          {dry.last_read === null ? <span class="t3">{T.neverRead}</span> : since(dry.last_read)}
        </Row>
        {dry.failing === null ? null : (
          <Row name={T.rows.failing}>
            <Status shape="warn">{dry.failing}</Status>
          </Row>
        )}
        <Row name={T.rows.client}>{T.clientNo(dry.client)}</Row>
        {what === "text" ? null : (
          <Row name={T.rows.second}>
            <span data-testid="order-second-person" data-state={dry.second_person ? "on" : "off"}>
              {dry.second_person ? T.secondOn : T.secondOff}
            </span>
          </Row>
        )}
        {what === "disconnect" ? (
          <Row name={T.rows.hour}>{T.hour(dry.disconnections, dry.disconnections_max)}</Row>
        ) : null}
      </dl>
    </Meaning>
  );
}

function Decide({ id, what, dry }: { id: string; what: What; dry: DryRun }) {
  const [text, setText] = useState("");
  const o = t.outlets;
  return (
    <Decision
      name="order"
      title={o.decision}
      reason
      typed={what === "text" ? undefined : placeTyped(dry.confirm)}
      give={T.give[what]}
      giving={o.giving}
      giveTestid="order-approve"
      danger={what === "disconnect"}
      blocked={what === "text" && text.trim() === "" ? T.textWrong : null}
      cancel={{ text: o.cancel, href: `/meters/${id}` }}
      onGive={async (reason, confirm) => {
        const switches = what !== "text";
        // The display shows one line: what was typed in several is one.
        const line = text.trim().replace(/\s+/g, " ");
        const given = await orderApi.give(
          id,
          what,
          switches ? { reason, confirm, as_of: dry.as_of } : { reason, text: line },
        );
        navigate(`/orders/${given.number}`);
      }}
    >
      {what === "text" ? (
        <Field id="order-text" label={T.text} hint={T.textHint} error={null} testid="order-text">
          <textarea
            class="area"
            id="order-text"
            value={text}
            maxLength={TEXT_MOST}
            aria-describedby="order-text-note"
            onInput={(event) => setText(event.currentTarget.value)}
            data-testid="order-text"
          />
        </Field>
      ) : null}
    </Decision>
  );
}
