import { useEffect, useState } from "preact/hooks";
import { useTwinKey } from "../components/chart/chart.tsx";
import { Icon, Mark, StatusShapes } from "../components/icons.tsx";
import { Notice, Skeleton, useRetrySeconds } from "../components/states.tsx";
import { Status } from "../components/status.tsx";
import { ApiError, endSession, signedOut } from "../lib/api.ts";
import { useLiveEvent, useNow } from "../lib/hooks.ts";
import { live } from "../lib/live-client.ts";
import type { LiveState } from "../lib/live.ts";
import { now as present, session, siteZone } from "../lib/session.ts";
import { Store, useStore } from "../lib/store.ts";
import { theme, toggleTheme } from "../lib/theme.ts";
import { age, MINUTE, parse } from "../lib/time.ts";
import { t as shared } from "../texts/en.ts";
import { t } from "../texts/home.en.ts";
import { home } from "./api.ts";
import { CostCard, MeterCard, MonthCard } from "./cards.tsx";
import {
  begin,
  forget,
  hours,
  info,
  keep,
  recall,
  samples,
  state,
  takeHours,
  takePower,
  takeRaw,
  takeState,
} from "./data.ts";
import {
  hasHistory,
  nowView,
  periodOf,
  sentence,
  sinceWords,
  watts,
  type NowView,
  type Sample,
} from "./model.ts";
import { NowCard } from "./now.tsx";
import { SignIn } from "./sign-in.tsx";
import { TodayCard } from "./today.tsx";
import type { HomeState, PowerNow } from "./types.ts";

const startFailure = new Store<ApiError | null>(null);
const RETRY_MS = 5_000;
/** The gateway has the power of so long in memory; more than the graph shows, for a meter that is silent. */
const MEMORY_MS = 20 * MINUTE;
/** The hours are read again so often; they change when an hour ends, and a little within it. */
const HOURS_MS = MINUTE;

function askSession(): void {
  home.session().then(
    (found) => {
      startFailure.set(null);
      begin(found);
    },
    (cause: unknown) => {
      const failure = cause instanceof ApiError ? cause : new ApiError("broken", "", "broken", 0, null);
      if (failure.failure === "signed_out") {
        startFailure.set(null);
        forget();
        session.set(null);
      } else if (session.value || recall()) {
        // What was known last is shown as old, and the stream goes on trying.
        startFailure.set(null);
      } else startFailure.set(failure);
    },
  );
}

export function App() {
  const who = useStore(session);
  const ended = useStore(signedOut);
  const failure = useStore(startFailure);

  useEffect(askSession, []);

  useEffect(() => {
    if (failure === null) return;
    const timer = setInterval(askSession, RETRY_MS);
    return () => clearInterval(timer);
  }, [failure !== null]);

  useEffect(() => {
    if (ended === 0) return;
    live.stop();
    forget();
    session.set(null);
  }, [ended]);

  const signedIn = who !== null && who !== undefined;
  useEffect(() => {
    if (!signedIn) return;
    live.start("/live", []);
    return () => live.stop();
  }, [signedIn]);

  return (
    <>
      <StatusShapes />
      {signedIn ? <Home /> : who === null ? <SignIn /> : <Start failure={failure} />}
    </>
  );
}

/** Before anything is known. */
function Start({ failure }: { failure: ApiError | null }) {
  return (
    <main class="home">
      <section class="card first-card" aria-busy={failure ? undefined : "true"}>
        {failure ? (
          <Notice
            level={1}
            kind={failure.failure === "offline" ? "offline" : "error"}
            icon={failure.failure === "offline" ? "unplug" : "triangle-alert"}
            title={failure.failure === "offline" ? t.start.offlineTitle : t.start.brokenTitle}
            text={failure.message || t.start.offlineText}
            actions={
              <button type="button" class="btn" onClick={askSession} data-testid="start-try">
                {t.start.tryAgain}
              </button>
            }
          />
        ) : (
          <div class="pad col" data-testid="state-loading">
            <h1 class="vh">{t.start.loading}</h1>
            <span class="skel hero-wait" />
            <Skeleton lines={3} />
          </div>
        )}
      </section>
    </main>
  );
}

function Home() {
  const who = useStore(info);
  const known = useStore(state);
  const all = useStore(samples);
  const day = useStore(hours);
  const { state: connection } = useStore(live.view);
  const refills = useStore(live.refills);
  const now = useNow(1_000);
  const zone = siteZone();
  const [hoursFailed, setHoursFailed] = useState(false);
  useTwinKey();

  useEffect(() => {
    const leave = (): void => keep(true);
    addEventListener("pagehide", leave);
    document.addEventListener("visibilitychange", leave);
    return () => {
      removeEventListener("pagehide", leave);
      document.removeEventListener("visibilitychange", leave);
    };
  }, []);

  useLiveEvent<HomeState>("state", takeState);
  useLiveEvent<PowerNow>("power", takePower);

  // The graph begins with what the gateway has in memory, also after an interruption.
  useEffect(() => {
    const control = new AbortController();
    const end = Math.ceil(present() / 1000) * 1000;
    home.history(end - MEMORY_MS, end, "raw", control.signal).then(takeRaw, () => undefined);
    return () => control.abort();
  }, [refills]);

  // A page that began with what it had kept learns name, zone and clock when the gateway is back.
  useEffect(() => {
    if (refills > 0) askSession();
  }, [refills]);

  const history = who?.history ?? false;
  const date = zone.startOfDay(now);
  useEffect(() => {
    if (!history) return;
    const control = new AbortController();
    const read = (): void => {
      const today = present();
      home.history(zone.startOfDay(today, -1), zone.startOfDay(today, 1), "1h", control.signal).then(
        (found) => {
          setHoursFailed(false);
          takeHours(found);
        },
        () => {
          if (!control.signal.aborted) setHoursFailed(true);
        },
      );
    };
    read();
    const timer = setInterval(read, HOURS_MS);
    return () => {
      clearInterval(timer);
      control.abort();
    };
  }, [history, refills, date]);

  const last = all.at(-1) ?? null;
  const periodMs = periodOf(known, all);
  const view = nowView(known, last, connection, now, periodMs);
  const name = who?.name ?? t.name;
  const title = t.title(view.kind === "live" && last ? watts(last.w) : null, name);
  useEffect(() => {
    document.title = title;
  }, [title]);

  return (
    <>
      <a class="skip" href="#main">
        {t.skip}
      </a>
      <div class="home">
        <header class="hbar">
          <span class="brand">
            <Mark />
            <span class="lb">{name}</span>
          </span>
          <span class="grow" />
          <LiveBadge view={view} last={last} connection={connection} now={now} />
          <ThemeButton />
        </header>
        <main id="main" tabIndex={-1}>
          <Why view={view} state={known} last={last} now={now} />
          <div class={history ? "cols" : "cols plain"}>
            <NowCard
              state={known}
              samples={all}
              view={view}
              periodMs={periodMs}
              currency={who?.currency ?? null}
              now={now}
              zone={zone}
            />
            {known === null ? (
              <section class="card linkcard" aria-busy="true" data-testid="state-loading">
                <div class="pad col">
                  <span class="vh">{t.start.loading}</span>
                  <Skeleton lines={5} />
                </div>
              </section>
            ) : (
              <>
                {history ? (
                  <>
                    <TodayCard state={known} hours={day} failed={hoursFailed} now={now} zone={zone} />
                    <div class="bottom">
                      <MonthCard state={known} now={now} zone={zone} />
                      <CostCard state={known} now={now} zone={zone} currency={who?.currency ?? null} />
                    </div>
                  </>
                ) : null}
                <MeterCard
                  state={known}
                  now={now}
                  zone={zone}
                  offline={view.cause === "offline"}
                  history={history}
                  whole={hasHistory(known, day)}
                />
              </>
            )}
          </div>
        </main>
        <Foot version={who?.version ?? ""} />
      </div>
    </>
  );
}

/** How old the newest reading is, always in sight; only a change of the state is announced. */
function LiveBadge({
  view,
  last,
  connection,
  now,
}: {
  view: NowView;
  last: Sample | null;
  connection: LiveState;
  now: number;
}) {
  const state =
    view.cause === "offline"
      ? "offline"
      : view.kind === "live"
        ? "live"
        : connection === "connecting" || view.kind === "never"
          ? "connecting"
          : "stale";
  const by = last === null ? "" : age(now - last.seen);
  const word =
    state === "live"
      ? t.live.live
      : state === "stale"
        ? t.live.old
        : state === "offline"
          ? t.live.offline
          : connection === "connecting"
            ? t.live.connecting
            : t.live.waiting;
  const seen = state === "live" ? t.live.ago(by) : state === "stale" ? t.live.oldBy(by) : word;
  return (
    <span class="live" data-state={state} data-testid="home-live">
      <span aria-hidden="true">{seen}</span>
      <span class="vh" role="status">
        {word}
      </span>
    </span>
  );
}

/** Says above everything why there is no power now. */
function Why({
  view,
  state: known,
  last,
  now,
}: {
  view: NowView;
  state: HomeState | null;
  last: Sample | null;
  now: number;
}) {
  const seconds = useRetrySeconds();
  const zone = siteZone();
  if (view.cause === null) return null;
  if (view.cause === "offline") {
    const at = last?.seen ?? parse(known?.now);
    return (
      <div class="banner crit" data-testid="banner-connection" data-state="offline">
        <Status shape="off" />
        <span>
          <b class="strong">{t.why.offline(at === null ? null : sinceWords(at, now, zone))}</b>{" "}
          {seconds === null || seconds === 0 ? t.why.retrying : t.why.retryIn(seconds)}
        </span>
        <button type="button" class="btn" onClick={() => live.tryNow()} data-testid="live-try-now">
          {t.why.tryNow}
        </button>
      </div>
    );
  }
  if (known === null) return null;
  const since = parse(view.cause === "link" ? known.link.since : known.meter.last);
  const first = view.cause === "link" && known.meter.last === null;
  return (
    <div
      class={first ? "banner info" : "banner warn"}
      data-testid={`banner-${view.cause}`}
      data-state={view.cause}
    >
      <Status shape={first ? "run" : "off"} />
      <span>
        <b class="strong">
          {first || since === null
            ? t.why.linkFirst
            : (view.cause === "link" ? t.why.link : t.why.meter)(sinceWords(since, now, zone))}
        </b>{" "}
        {view.cause === "link" && known.link.reason !== null ? sentence(known.link.reason) : null}
      </span>
    </div>
  );
}

function ThemeButton() {
  const dark = useStore(theme) === "dark";
  return (
    <button
      type="button"
      class="btn ghost icon"
      aria-label={dark ? shared.theme.toLight : shared.theme.toDark}
      onClick={toggleTheme}
      data-testid="theme-toggle"
    >
      <Icon name={dark ? "sun" : "moon"} />
    </button>
  );
}

function Foot({ version }: { version: string }) {
  const [failed, setFailed] = useState(false);
  const leave = (): void => {
    setFailed(false);
    endSession().then(
      () => signedOut.set(signedOut.value + 1),
      () => setFailed(true),
    );
  };
  return (
    <footer class="hfoot">
      <span>{t.foot.version(version)}</span>
      <a href="/licences.txt">{t.foot.licences}</a>
      <button type="button" class="link" onClick={leave} data-testid="home-sign-out">
        {t.foot.signOut}
      </button>
      {failed ? (
        <span class="st st-crit" role="alert">
          {t.foot.signOutFailed}
        </span>
      ) : null}
    </footer>
  );
}
