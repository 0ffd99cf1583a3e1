import { useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Decided, Decision, Meaning, NoDecision, placeTyped } from "../../components/decision.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { ObjectPage, UnknownPage } from "../../components/page.tsx";
import type { Crumb } from "../../components/shell.tsx";
import { Load } from "../../components/states.tsx";
import { Status } from "../../components/status.tsx";
import { Table } from "../../components/table.tsx";
import { api } from "../../lib/api.ts";
import { glance } from "../../lib/format.ts";
import { useLoad } from "../../lib/hooks.ts";
import { place } from "../../lib/router.ts";
import { siteZone } from "../../lib/session.ts";
import { useStore } from "../../lib/store.ts";
import { interval, parse } from "../../lib/time.ts";
import type { BreakerPreview, OrderAnswer } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";
import { three } from "../fleet/outlets.tsx";
import { nameOf, SECTION_MS } from "./parts.tsx";

const WHATS = ["on", "off", "open", "close"] as const;
type What = (typeof WHATS)[number];

/** One order on a page of its own: what it means, why, a typed confirmation, and what became of it. */
export function OrderPage({ id, crumbs }: { id: number; crumbs: Crumb[] }) {
  const { query } = useStore(place);
  const what = WHATS.find((one) => one === query.get("what"));
  const number = Number(query.get("outlet"));
  const loaded = useLoad(`outlet-preview/${id}`, (signal) => api.breakerPreview(id, signal));
  const meterName = t.outlets.one(three(id));
  const trail = [...crumbs, { text: meterName, href: `/outlet-meters/${id}` }];
  const preview = loaded.data;
  const isBreaker = what === "open" || what === "close";
  const outlet = preview?.outlets.find((one) => one.number === number);
  if (what === undefined || (preview && !isBreaker && !outlet))
    return <UnknownPage texts={t.outlets} crumbs={trail} />;
  const title =
    preview === null
      ? meterName
      : isBreaker
        ? t.outlets.orderTitle[what](preview.place)
        : t.outlets.orderTitle[what](outlet ? nameOf(outlet) : "");
  return (
    <ObjectPage
      of={loaded}
      title={title}
      what={t.outlets.whatOne}
      texts={t.outlets}
      crumbs={[...trail, { text: t.outlets.order }]}
      lead={
        <>
          <span>{meterName}</span>
          {preview ? <span>{preview.place}</span> : null}
        </>
      }
    >
      <Load of={loaded} what={t.outlets.whatOne} card>
        {(data) => (
          <Order
            id={id}
            what={what}
            preview={data}
            outlets={isBreaker ? data.outlets : outlet ? [outlet] : []}
            again={loaded.reload}
          />
        )}
      </Load>
    </ObjectPage>
  );
}

function Order({
  id,
  what,
  preview,
  outlets,
  again,
}: {
  id: number;
  what: What;
  preview: BreakerPreview;
  outlets: BreakerPreview["outlets"];
  again: () => void;
}) {
  const [answer, setAnswer] = useState<OrderAnswer | null>(null);
  const isBreaker = what === "open" || what === "close";
  return (
    <div class="grid">
      <div class="stack c8">
        <Means what={what} preview={preview} outlets={outlets} again={again} fixed={answer !== null} />
        <Steps isBreaker={isBreaker} answer={answer} />
      </div>
      <div class="stack c4">
        {answer !== null ? (
          <Done id={id} answer={answer} />
        ) : isBreaker && !preview.possible ? (
          <NoDecision
            title={t.outlets.decision}
            cannot={t.outlets.cannot}
            why={preview.why_not ?? ""}
            action={{ text: t.outlets.again, onAgain: again }}
          />
        ) : (
          <Give id={id} what={what} preview={preview} outlets={outlets} onDone={setAnswer} />
        )}
      </div>
    </div>
  );
}

function Means({
  what,
  preview,
  outlets,
  again,
  fixed,
}: {
  what: What;
  preview: BreakerPreview;
  outlets: BreakerPreview["outlets"];
  again: () => void;
  fixed: boolean;
}) {
  const loses = what === "off" || what === "open";
  return (
    <Meaning
      title={t.outlets.means}
      testid="order-dryrun"
      at={parse(preview.as_of)}
      checked={t.outlets.checked}
      again={fixed ? null : { text: t.outlets.again, onAgain: again }}
      flush
    >
      <Table
        caption={t.outlets.meansCaption}
        columns={[t.outlets.result, t.outlets.outlet, { text: t.outlets.drew, class: "r" }]}
      >
        {outlets.map((outlet) => {
          const power = outlet.watts === null ? null : glance(outlet.watts, "W");
          const draws = (outlet.watts ?? 0) > 0;
          return (
            <tr key={outlet.number}>
              <td>
                {loses ? (
                  <Status shape={draws ? "warn" : "info"}>{t.outlets.loses}</Status>
                ) : (
                  <Status shape="info">{t.outlets.gets}</Status>
                )}
              </td>
              <th scope="row">{nameOf(outlet)}</th>
              <td class="r">{power === null ? <NoValue /> : <Num text={power.text} unit={power.unit} />}</td>
            </tr>
          );
        })}
      </Table>
    </Meaning>
  );
}

function Give({
  id,
  what,
  preview,
  outlets,
  onDone,
}: {
  id: number;
  what: What;
  preview: BreakerPreview;
  outlets: BreakerPreview["outlets"];
  onDone: (answer: OrderAnswer) => void;
}) {
  const o = t.outlets;
  const isBreaker = what === "open" || what === "close";
  const watts = isBreaker
    ? preview.draws_w
    : outlets.reduce<number | null>((sum, one) => (one.watts === null ? sum : (sum ?? 0) + one.watts), null);
  const section = parse(preview.draws_section);
  const power = watts === null ? null : glance(watts, "W");
  return (
    <Decision
      name="order"
      title={o.decision}
      reason
      typed={isBreaker ? placeTyped(preview.confirm) : undefined}
      give={o.give[what]}
      giving={o.giving}
      giveTestid="order-approve"
      danger={what === "off" || what === "open"}
      cancel={{ text: o.cancel, href: `/outlet-meters/${id}` }}
      onGive={async (reason, typed) =>
        onDone(
          isBreaker
            ? await api.orderBreaker(id, what, reason, typed, preview.as_of)
            : await api.switchOutlet(id, outlets[0]?.number ?? 0, what === "on", reason),
        )
      }
    >
      {power === null || section === null ? (
        <p class="t3">{o.drawsNone}</p>
      ) : (
        <p class="row wrap">
          <span class="cost-total">
            <Num text={power.text} unit={power.unit} />
          </span>
          <span class="t2">{o.drawsNow(interval(section, section + SECTION_MS, siteZone()))}</span>
        </p>
      )}
    </Decision>
  );
}

function Done({ id, answer }: { id: number; answer: OrderAnswer }) {
  const o = t.outlets;
  const sent = answer.outcome === "sent";
  return (
    <Decided
      title={o.decision}
      testid="order-sent"
      shape={sent ? "ok" : "run"}
      text={sent ? o.doneSent(answer.number) : o.doneWaits(answer.number)}
      on={{ text: o.toMeter, href: `/outlet-meters/${id}`, testid: "order-to-meter" }}
    >
      <p class="t2">{o.steps["shown"]?.[1]}.</p>
    </Decided>
  );
}

/** What happens, with what has happened marked. */
function Steps({ isBreaker, answer }: { isBreaker: boolean; answer: OrderAnswer | null }) {
  const waits = answer?.outcome === "waits";
  const steps = ["written", ...(isBreaker ? ["signed"] : []), waits ? "waits" : "sent", "shown"];
  return (
    <Card id="run" title={t.outlets.happens} testid="order-steps" flush>
      <ol class="list ruled">
        {steps.map((step) => {
          const [title, text] = t.outlets.steps[step] ?? ["", ""];
          const done = answer !== null && step !== "shown";
          return (
            <li key={step} data-state={done ? "done" : "todo"}>
              <Status shape={done ? (step === "waits" ? "run" : "ok") : "todo"} />
              <div class="t">
                {title}
                <span>{text}</span>
              </div>
            </li>
          );
        })}
      </ol>
    </Card>
  );
}
