import { useEffect, useRef, useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Field } from "../../components/controls.tsx";
import { Num } from "../../components/number.tsx";
import { Shell } from "../../components/shell.tsx";
import { Failed, Load, Notice } from "../../components/states.tsx";
import { Status, type Shape } from "../../components/status.tsx";
import { ApiError } from "../../lib/api.ts";
import { campaignApi } from "../../lib/campaign-api.ts";
import { useLoad } from "../../lib/hooks.ts";
import { live } from "../../lib/live-client.ts";
import { siteZone } from "../../lib/session.ts";
import { useStore } from "../../lib/store.ts";
import { clockSeconds } from "../../lib/time.ts";
import type { Campaign } from "../../lib/types.ts";
import { campaigns as T } from "../../texts/campaigns.en.ts";
import { t } from "../../texts/en.ts";
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
              <Decision one={one} onDone={() => setDone(true)} />
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

function Decision({ one, onDone }: { one: Campaign; onDone: () => void }) {
  const [typed, setTyped] = useState("");
  const [wrong, setWrong] = useState(false);
  const [failed, setFailed] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const offline = useStore(live.view).state === "offline";
  const field = useRef<HTMLInputElement>(null);
  const name = one.image.identifier;
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy) return;
    const fits = typed.trim() === name;
    setWrong(!fits);
    if (!fits) {
      field.current?.focus();
      return;
    }
    setBusy(true);
    setFailed(null);
    try {
      await campaignApi.resume(one.id);
      onDone();
    } catch (cause) {
      setFailed(cause instanceof ApiError && cause.message ? cause.message : t.state.offlineTitle);
      setBusy(false);
    }
  };
  return (
    <Card id="decision" title={T.decision} testid="resume-decision">
      <form class="col order-form" onSubmit={(event) => void submit(event)} noValidate>
        <Field
          id="resume-name"
          label={T.typeIt}
          hint={T.typeHint(name)}
          error={wrong ? T.typeWrong(name) : null}
          testid="resume-name"
        >
          <input
            class="input"
            id="resume-name"
            ref={field}
            value={typed}
            autocomplete="off"
            spellcheck={false}
            aria-invalid={wrong}
            aria-describedby="resume-name-note"
            onInput={(event) => setTyped(event.currentTarget.value)}
            data-testid="resume-confirm"
          />
        </Field>
        {failed === null ? null : (
          <p class="err" role="alert" data-testid="resume-failed">
            <Status shape="crit">{failed}</Status>
          </p>
        )}
        <button type="submit" class="btn danger full" disabled={busy || offline} data-testid="resume-give">
          {busy ? T.giving : T.give}
        </button>
        {offline ? <p class="t3">{t.state.offlineTitle}</p> : null}
        <a class="btn full" href={`/campaigns/${one.id}`} data-testid="resume-cancel">
          {T.cancel}
        </a>
      </form>
    </Card>
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
