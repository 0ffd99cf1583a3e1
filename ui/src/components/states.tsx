import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ApiError } from "../lib/api.ts";
import { useNow, type Reading } from "../lib/hooks.ts";
import { live } from "../lib/live-client.ts";
import { now as present, siteZone } from "../lib/session.ts";
import { useStore } from "../lib/store.ts";
import { clockSeconds } from "../lib/time.ts";
import { t } from "../texts/en.ts";
import { Icon, type IconName } from "./icons.tsx";
import { Status } from "./status.tsx";

export interface NoticeProps {
  kind: "empty" | "error" | "offline" | "forbidden" | "nomatch";
  icon: IconName;
  title: string;
  text: ComponentChildren;
  actions?: ComponentChildren;
  /** The level of the heading: 1 where the notice is the page. */
  level?: 1 | 2;
}

/** What stands where content would: what, why, and one next step. */
export function Notice({ kind, icon, title, text, actions, level = 2 }: NoticeProps) {
  return (
    <div class="state" data-testid={`state-${kind}`}>
      <span class="ic">
        <Icon name={icon} />
      </span>
      {level === 1 ? (
        <h1 tabIndex={-1} class="h2">
          {title}
        </h1>
      ) : (
        <h2>{title}</h2>
      )}
      <p>{text}</p>
      {actions ? <div class="row">{actions}</div> : null}
    </div>
  );
}

/** Bars in the place of text that is on its way. */
export function Skeleton({ lines = 4 }: { lines?: number }) {
  const widths = ["w1", "w2", "w3", "w2"];
  return (
    <>
      {Array.from({ length: lines }, (_, i) => (
        <span class={`skel ${widths[i % widths.length] ?? "w1"}`} />
      ))}
    </>
  );
}

/** Nothing for 200 ms, then a skeleton, after 3 s what is waited for and a way out. */
export function Loading({
  what,
  since,
  onCancel,
  shape,
}: {
  what: string;
  since: number;
  onCancel?: () => void;
  shape?: ComponentChildren;
}) {
  const now = useNow(200);
  const waited = now - since;
  if (waited < 200)
    return <div class="pad" data-testid="state-loading" data-state="quiet" aria-busy="true" />;
  return (
    <div class="pad col" data-testid="state-loading" aria-busy="true">
      <span class="vh">{t.state.loading(what)}</span>
      {shape ?? <Skeleton />}
      {waited >= 3000 ? (
        <p class="t3">
          {t.state.waiting(what, Math.floor(waited / 1000))}{" "}
          {onCancel ? (
            <button type="button" class="link" onClick={onCancel}>
              {t.state.cancel}
            </button>
          ) : null}
        </p>
      ) : null}
    </div>
  );
}

/** Counts down to the next try of the connection. */
export function useRetrySeconds(): number | null {
  const { retryAt } = useStore(live.view);
  const now = useNow(500);
  return retryAt === null ? null : Math.max(0, Math.ceil((retryAt - now) / 1000));
}

/** Says why a reading failed, in the form that belongs to the reason. */
export function Failed({ error, what, onRetry }: { error: ApiError; what: string; onRetry: () => void }) {
  const zone = siteZone();
  const [time] = useState(() => clockSeconds(present(), zone));
  const retry = (
    <button type="button" class="btn" onClick={onRetry}>
      {t.state.tryAgain}
    </button>
  );
  const connection = useStore(live.view).state;
  // A page that could not be read goes on by itself when the connection is back.
  useEffect(() => {
    if (error.failure === "offline" && connection === "live") onRetry();
  }, [connection]);

  if (error.failure === "offline") {
    return (
      <Notice
        kind="offline"
        icon="unplug"
        title={t.state.offlineTitle}
        text={t.state.offlineText}
        actions={
          <button type="button" class="btn" onClick={onRetry}>
            {t.live.tryNow}
          </button>
        }
      />
    );
  }
  if (error.failure === "forbidden") {
    return (
      <Notice
        kind="forbidden"
        icon="lock"
        title={t.state.forbiddenTitle(what)}
        text={error.message || t.state.forbiddenText}
      />
    );
  }
  if (error.failure === "busy") {
    return (
      <Notice
        kind="error"
        icon="triangle-alert"
        title={t.state.busyTitle}
        text={error.message || t.state.busyText(error.retryAfterS)}
        actions={retry}
      />
    );
  }
  const text =
    error.message || (error.code === "cancelled" ? t.state.cancelled(time) : t.state.errorText(time));
  return (
    <Notice
      kind="error"
      icon="triangle-alert"
      title={t.state.errorTitle(what)}
      text={
        <>
          {text}
          {error.code === "cancelled" ? null : (
            <details class="detail">
              <summary>{t.state.detail}</summary>
              <span class="mono">{t.state.detailCode(error.code, error.status)}</span>
            </details>
          )}
        </>
      }
      actions={retry}
    />
  );
}

/** Draws what was read, or the state in its place. Old data stays while it is being read again. */
export function Load<T>({
  of,
  what,
  shape,
  card = false,
  children,
}: {
  of: Reading<T>;
  what: string;
  shape?: ComponentChildren;
  /** Whether the state stands in a card of its own, as where the data would be several cards. */
  card?: boolean;
  children: (data: T) => ComponentChildren;
}) {
  if (of.data !== null) return <>{children(of.data)}</>;
  const state =
    of.error !== null ? (
      <Failed error={of.error} what={what} onRetry={of.reload} />
    ) : (
      <Loading what={what} since={of.waitingSince ?? 0} onCancel={of.cancel} shape={shape} />
    );
  return card ? <section class="card">{state}</section> : state;
}

/** Says what was refused, where it was asked for; nothing where nothing was. */
export function Refused({
  text,
  testid,
  class: extra = "",
}: {
  text: string | null;
  testid: string;
  class?: string;
}) {
  if (text === null) return null;
  return (
    <p class={extra === "" ? "err" : `err ${extra}`} role="alert" data-testid={testid}>
      <Status shape="crit">{text}</Status>
    </p>
  );
}

/** The line on top of a page that is not live any more. */
export function ConnectionBanner() {
  const { state, last, refused } = useStore(live.view);
  const seconds = useRetrySeconds();
  if (refused || (state !== "offline" && !(state === "stale" && seconds !== null))) return null;
  const time = last === null ? null : clockSeconds(last, siteZone());
  return (
    <div
      class={state === "offline" ? "banner crit" : "banner warn"}
      data-testid="banner-connection"
      data-state={state}
    >
      <span class={state === "offline" ? "st st-crit" : "st st-warn"}>
        <svg class="s" viewBox="0 0 12 12" aria-hidden="true">
          <use href={state === "offline" ? "#s-off" : "#s-warn"} />
        </svg>
      </span>
      <span>
        <b class="strong">{t.live.banner(time)}</b>{" "}
        {seconds === null || seconds === 0 ? t.live.retrying : t.live.retryIn(seconds)}
      </span>
      <button type="button" class="btn sm" onClick={() => live.tryNow()} data-testid="live-try-now">
        {t.live.tryNow}
      </button>
    </div>
  );
}
