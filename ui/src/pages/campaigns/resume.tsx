import { useEffect, useRef, useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Decision } from "../../components/decision.tsx";
import { Num } from "../../components/number.tsx";
import { Shell } from "../../components/shell.tsx";
import { Failed, Load, Notice } from "../../components/states.tsx";
import { Status, type Shape } from "../../components/status.tsx";
import { campaignApi } from "../../lib/campaign-api.ts";
import { useLoad } from "../../lib/hooks.ts";
import { siteZone } from "../../lib/session.ts";
import { clockSeconds } from "../../lib/time.ts";
import type { Campaign } from "../../lib/types.ts";
import { campaigns as T } from "../../texts/campaigns.en.ts";
import { NotFound } from "../not-found.tsx";
import { canGoOn } from "./page.tsx";

/** A campaign that goes on activates firmware: a page of its own that says with how many meters. */
export function ResumePage({ id }: { id: number }) {
  const loaded = useLoad(`campaign-resume/${id}`, (signal) => campaignApi.one(id, signal));
  const [done, setDone] = useState(false);
  const one = loaded.data;
  const title = one === null ? T.one : T.resumeTitle(one.name);
  const crumbs = [
    { text: T.title, href: "/campaigns" },
    { text: T.number(id), href: `/campaigns/${id}` },
    { text: T.decision },
  ];
  if (loaded.error?.failure === "not_found") {
    return (
      <Shell ownFind title={T.unknownTitle} crumbs={crumbs}>
        <NotFound title={T.unknownTitle} text={T.unknownText} />
      </Shell>
    );
  }
  return (
    <Shell title={title} crumbs={crumbs}>
      <div class="head">
        <h1 tabIndex={-1}>{title}</h1>
      </div>
      {one === null ? (
        <section class="card">
          {loaded.error ? (
            <Failed error={loaded.error} what={T.whatOne} onRetry={loaded.reload} />
          ) : (
            <Load of={loaded} what={T.whatOne}>
              {() => null}
            </Load>
          )}
        </section>
      ) : (
        <div class="grid">
          <div class="stack c8">
            <Means one={one} at={loaded.at} />
          </div>
          <div class="stack c4">
            {done ? (
              <Done id={id} />
            ) : canGoOn(one) ? (
              <Give one={one} onDone={() => setDone(true)} />
            ) : (
              <Card id="decision" title={T.decision} testid="resume-not" flush>
                <Notice
                  kind="empty"
                  icon="radio-tower"
                  title={T.runs}
                  text={T.runsText}
                  actions={
                    <a class="btn" href={`/campaigns/${id}`}>
                      {T.toCampaign}
                    </a>
                  }
                />
              </Card>
            )}
          </div>
        </div>
      )}
    </Shell>
  );
}

/** How many meters it comes to, by what would be done with them. */
function Means({ one, at }: { one: Campaign; at: number | null }) {
  const { progress } = one;
  const missed = one.reasons.find((it) => it.reason === "unreachable")?.meters ?? 0;
  const rows: [Shape, string, number][] = [
    ["warn", T.resumeActivate, progress.verified],
    ["run", T.resumeTransfer, progress.waiting + progress.receiving + progress.asked],
    ["run", T.resumeTry, missed],
    ["ok", T.resumeNothing, progress.active],
    ["off", T.resumeOut, progress.failed - missed],
  ];
  return (
    <Card
      id="means"
      title={T.resumeMeans}
      testid="resume-means"
      flush
      aside={at === null ? null : <span class="t3 hide-n">{T.checked(clockSeconds(at, siteZone()))}</span>}
      footer={<span>{T.resumeSupply}</span>}
    >
      <table class="tbl plain campaign-tbl">
        <caption class="vh">{T.resumeCaption}</caption>
        <thead>
          <tr>
            <th scope="col" class="r">
              {T.resumeMeters}
            </th>
            <th scope="col">{T.resumeResult}</th>
          </tr>
        </thead>
        <tbody>
          {rows
            .filter(([, , meters]) => meters > 0)
            .map(([shape, text, meters]) => (
              <tr key={text}>
                <td class="r">
                  <Num text={String(meters)} />
                </td>
                <td class="wr">
                  <Status shape={shape}>{text}</Status>
                </td>
              </tr>
            ))}
        </tbody>
      </table>
    </Card>
  );
}

function Give({ one, onDone }: { one: Campaign; onDone: () => void }) {
  const name = one.image.identifier;
  return (
    <Decision
      name="resume"
      title={T.decision}
      typed={{ part: "name", label: T.typeIt, hint: T.typeHint(name), wrong: T.typeWrong(name), is: name }}
      give={T.give}
      giving={T.giving}
      giveTestid="resume-give"
      danger
      cancel={{ text: T.cancel, href: `/campaigns/${one.id}` }}
      onGive={async () => {
        await campaignApi.resume(one.id);
        onDone();
      }}
    />
  );
}

function Done({ id }: { id: number }) {
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => link.current?.focus(), []);
  return (
    <Card id="decision" title={T.decision} testid="resume-done">
      <div class="col">
        <p role="status">
          <Status shape="run">{T.done}</Status>
        </p>
        <a class="btn primary full" href={`/campaigns/${id}`} ref={link}>
          {T.toCampaign}
        </a>
      </div>
    </Card>
  );
}
