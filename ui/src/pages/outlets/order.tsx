import { useEffect, useRef, useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Decision } from "../../components/decision.tsx";
import { Icon } from "../../components/icons.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Shell, type Crumb } from "../../components/shell.tsx";
import { Failed, Load, Notice } from "../../components/states.tsx";
import { Status } from "../../components/status.tsx";
import { api } from "../../lib/api.ts";
import { glance } from "../../lib/format.ts";
import { useLoad } from "../../lib/hooks.ts";
import { place } from "../../lib/router.ts";
import { siteZone } from "../../lib/session.ts";
import { useStore } from "../../lib/store.ts";
import { clockSeconds, interval, parse } from "../../lib/time.ts";
import type { BreakerPreview, OrderAnswer } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";
import { three } from "../fleet/outlets.tsx";
import { NotFound } from "../not-found.tsx";
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
  if (what === undefined || loaded.error?.failure === "not_found" || (preview && !isBreaker && !outlet)) {
    return (
      <Shell ownFind title={t.outlets.unknownTitle} crumbs={trail}>
        <NotFound title={t.outlets.unknownTitle} text={t.outlets.unknownText} />
      </Shell>
    );
  }
  const title =
    preview === null
      ? meterName
      : isBreaker
        ? t.outlets.orderTitle[what](preview.place)
        : t.outlets.orderTitle[what](outlet ? nameOf(outlet) : "");
  return (
    <Shell title={title} crumbs={[...trail, { text: t.outlets.order }]}>
      <div class="head">
        <div>
          <h1 tabIndex={-1}>{title}</h1>
          <p class="lead">
            <span>{meterName}</span>
            {preview ? <span>{preview.place}</span> : null}
          </p>
        </div>
      </div>
      {preview === null ? (
        <section class="card">
          {loaded.error ? (
            <Failed error={loaded.error} what={t.outlets.whatOne} onRetry={loaded.reload} />
          ) : (
            <Load of={loaded} what={t.outlets.whatOne}>
              {() => null}
            </Load>
          )}
        </section>
      ) : (
        <Order
          id={id}
          what={what}
          preview={preview}
          outlets={isBreaker ? preview.outlets : outlet ? [outlet] : []}
          again={loaded.reload}
        />
      )}
    </Shell>
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
          <Card id="order" title={t.outlets.decision} testid="order-impossible" flush>
            <Notice
              kind="error"
              icon="unplug"
              title={t.outlets.cannot}
              text={preview.why_not ?? ""}
              actions={
                <button type="button" class="btn" onClick={again}>
                  {t.outlets.again}
                </button>
              }
            />
          </Card>
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
  const at = parse(preview.as_of);
  return (
    <Card
      id="means"
      title={t.outlets.means}
      testid="order-dryrun"
      flush
      aside={
        at === null ? null : <span class="t3 hide-n">{t.outlets.checked(clockSeconds(at, siteZone()))}</span>
      }
      end={
        fixed ? null : (
          <button type="button" class="btn sm" onClick={again} data-testid="order-again">
            <Icon name="refresh-cw" />
            {t.outlets.again}
          </button>
        )
      }
    >
      <table class="tbl plain">
        <caption class="vh">{t.outlets.meansCaption}</caption>
        <thead>
          <tr>
            <th scope="col">{t.outlets.result}</th>
            <th scope="col">{t.outlets.outlet}</th>
            <th scope="col" class="r">
              {t.outlets.drew}
            </th>
          </tr>
        </thead>
        <tbody>
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
                <td class="r">
                  {power === null ? <NoValue /> : <Num text={power.text} unit={power.unit} />}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Card>
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
      reason={{ label: o.reason, hint: o.reasonHint, short: o.reasonShort }}
      typed={
        isBreaker
          ? {
              part: "place",
              label: o.typePlace,
              hint: o.placeHint(preview.confirm),
              wrong: o.placeWrong(preview.confirm),
              is: preview.confirm,
            }
          : undefined
      }
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
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => link.current?.focus(), []);
  const sent = answer.outcome === "sent";
  return (
    <Card id="order" title={t.outlets.decision} testid="order-sent">
      <div class="col">
        <p role="status">
          <Status shape={sent ? "ok" : "run"}>
            {sent ? t.outlets.doneSent(answer.number) : t.outlets.doneWaits(answer.number)}
          </Status>
        </p>
        <p class="t2">{t.outlets.steps["shown"]?.[1]}.</p>
        <a class="btn primary full" href={`/outlet-meters/${id}`} ref={link} data-testid="order-to-meter">
          {t.outlets.toMeter}
        </a>
      </div>
    </Card>
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
