import { Fragment, type ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { endSession, signedOut } from "../lib/api.ts";
import { useKey, useMedia, useNow } from "../lib/hooks.ts";
import { bind, setSingleKeys, singleKeys } from "../lib/keys.ts";
import { live } from "../lib/live-client.ts";
import { navigate, place, visits } from "../lib/router.ts";
import { session, siteZone } from "../lib/session.ts";
import { useStore } from "../lib/store.ts";
import { theme, toggleTheme } from "../lib/theme.ts";
import { age, clockSeconds } from "../lib/time.ts";
import { t } from "../texts/en.ts";
import { network } from "../texts/network.en.ts";
import { orders } from "../texts/orders.en.ts";
import { Dialog } from "./dialog.tsx";
import { Find } from "./find.tsx";
import { Icon, Mark } from "./icons.tsx";
import { NAV, type NavItem } from "./nav.ts";
import { Popover } from "./popover.tsx";
import { ConnectionBanner } from "./states.tsx";
import { useTwinKey } from "./chart/chart.tsx";

export interface Crumb {
  text: string;
  href?: string;
}

const ITEMS = NAV.flatMap((group) => group.items);

/** The last change of page whose heading got the focus; each page has a frame of its own. */
let seenVisit = 0;

/** The frame of every page behind the sign-in. */
export function Shell({
  title,
  crumbs,
  ownFind = false,
  children,
}: {
  title: string;
  crumbs: Crumb[];
  /** Whether the page has the find field itself, so that the top bar has none. */
  ownFind?: boolean;
  children: ComponentChildren;
}) {
  const who = useStore(session);
  const narrow = useMedia("(max-width: 899px)");
  const [open, setOpen] = useState<"keyboard" | "more" | "find" | null>(null);
  const visit = useStore(visits);
  const main = useRef<HTMLElement>(null);
  const { path } = useStore(place);
  const current = (item: NavItem): "page" | undefined => (item.at.test(path) ? "page" : undefined);

  useEffect(() => {
    document.title = t.title(title);
  }, [title]);

  // After a change of page the heading has the focus; the first page leaves it where it is.
  useEffect(() => {
    if (visit === seenVisit) return;
    seenVisit = visit;
    setOpen(null);
    const heading = main.current?.querySelector<HTMLElement>("h1");
    (heading ?? main.current)?.focus({ preventScroll: true });
  }, [visit]);

  useTwinKey();
  useKey("?", () => setOpen("keyboard"));
  useLayoutEffect(() => {
    const unbind = ITEMS.map((item) => bind(item.keys, () => navigate(item.href)));
    return () => unbind.forEach((one) => one());
  }, []);

  if (!who) return null;
  return (
    <>
      <a class="skip" href="#main">
        {t.skip}
      </a>
      <div class="app">
        <nav class="side" aria-label={t.nav.main} data-testid="nav-main">
          <a class="brand" href="/fleet" aria-label={t.nav.brand}>
            <Mark />
            <span class="lb">{t.product}</span>
          </a>
          {NAV.map((group) => (
            <Fragment key={group.title}>
              {group.title === "" ? null : <h2>{group.title}</h2>}
              {group.items.map((item) => (
                <a
                  key={item.href}
                  class="nav"
                  href={item.href}
                  aria-current={current(item)}
                  data-testid={item.testid}
                  title={item.text}
                >
                  <Icon name={item.icon} />
                  <span class="lb">{item.text}</span>
                </a>
              ))}
            </Fragment>
          ))}
          <p class="foot">
            {who.site}
            <br />
            {t.nav.headEnd(who.version)}
          </p>
        </nav>
        <div class="body">
          <header class="top">
            <nav class="crumbs" aria-label={t.nav.breadcrumb}>
              <ol>
                {crumbs.map((crumb, i) => (
                  <li key={crumb.text} aria-current={i === crumbs.length - 1 ? "page" : undefined}>
                    {crumb.href ? <a href={crumb.href}>{crumb.text}</a> : crumb.text}
                  </li>
                ))}
              </ol>
            </nav>
            {ownFind ? (
              <span class="grow" />
            ) : narrow ? (
              <button
                type="button"
                class="btn ghost icon sm find-open"
                aria-label={t.find.open}
                onClick={() => setOpen("find")}
                data-testid="find-open"
              >
                <Icon name="search" />
              </button>
            ) : (
              <Find />
            )}
            {narrow && !ownFind ? <OpenFindKey open={() => setOpen("find")} /> : null}
            <LiveMark short={narrow} />
            {narrow ? null : <Clock />}
            <ThemeSwitch />
            {narrow ? null : <Account user={who.user} onKeyboard={() => setOpen("keyboard")} />}
          </header>
          <main class="main" id="main" tabIndex={-1} ref={main}>
            <ConnectionBanner />
            {children}
          </main>
        </div>
      </div>
      {narrow ? (
        <nav class="tabbar" aria-label={t.nav.compact} data-testid="nav-compact">
          {ITEMS.map((item) => (
            <a key={item.href} href={item.href} aria-current={current(item)}>
              <Icon name={item.icon} />
              {item.short}
            </a>
          ))}
          <button type="button" onClick={() => setOpen("find")} aria-haspopup="dialog">
            <Icon name="search" />
            {t.nav.find}
          </button>
          <button type="button" onClick={() => setOpen("more")} aria-haspopup="dialog" data-testid="nav-more">
            <Icon name="menu" />
            {t.nav.more}
          </button>
        </nav>
      ) : null}
      {open === "keyboard" ? <KeyboardHelp onClose={() => setOpen(null)} /> : null}
      {open === "find" ? (
        <Dialog title={t.find.title} onClose={() => setOpen(null)} testid="find-dialog" class="top-dialog">
          <Find inDialog focused onPicked={() => setOpen(null)} />
        </Dialog>
      ) : null}
      {open === "more" ? (
        <Dialog title={t.nav.more} onClose={() => setOpen(null)} testid="more-dialog">
          <p class="t2">{t.account.signedInAs(who.user)}</p>
          <p class="t2">
            {who.site}, {t.nav.headEnd(who.version)}. {t.account.zone(siteZone().city)}.
          </p>
          <AccountActions onKeyboard={() => setOpen("keyboard")} />
        </Dialog>
      ) : null}
    </>
  );
}

function OpenFindKey({ open }: { open: () => void }) {
  useKey("/", open);
  return null;
}

/** The state of the live connection; changes of it are the only thing announced by itself. */
export function LiveMark({ short }: { short: boolean }) {
  const { state, last } = useStore(live.view);
  const now = useNow(1000);
  const [born] = useState(now);
  // The first second says nothing.
  if (state === "connecting" && now - born < 1000) {
    return <span class="live" data-state="quiet" data-testid="live-state" role="status" />;
  }
  let text: string = t.live.short[state];
  if (!short && last !== null) {
    const time = clockSeconds(last, siteZone());
    if (state === "stale") text = t.live.staleSince(time);
    if (state === "offline") text = t.live.offlineFrom(time);
  } else if (!short && state === "offline") text = t.live.offlineNever;
  else if (state === "stale" && last !== null) text = `${t.live.short.stale} ${age(now - last)}`;
  return (
    <span class="live" data-state={state} data-testid="live-state" role="status">
      {text}
    </span>
  );
}

function Clock() {
  const now = useNow(1000);
  const zone = siteZone();
  return (
    <span class="t2 nowrap" data-testid="clock">
      <span class="n">{clockSeconds(now, zone)}</span>{" "}
      <span class="t3" title={zone.name}>
        {zone.city}
      </span>
    </span>
  );
}

function ThemeSwitch() {
  const dark = useStore(theme) === "dark";
  return (
    <button
      type="button"
      class="btn ghost icon sm"
      aria-label={dark ? t.theme.toLight : t.theme.toDark}
      title={dark ? t.theme.toLight : t.theme.toDark}
      onClick={toggleTheme}
      data-testid="theme-toggle"
    >
      <Icon name={dark ? "sun" : "moon"} />
    </button>
  );
}

function AccountActions({ onKeyboard }: { onKeyboard: () => void }) {
  const [failed, setFailed] = useState(false);
  const leave = (): void => {
    setFailed(false);
    endSession().then(
      () => {
        signedOut.set(signedOut.value + 1);
      },
      () => setFailed(true),
    );
  };
  return (
    <div class="menu-actions">
      <button type="button" class="btn ghost" onClick={onKeyboard} data-testid="account-keyboard">
        <Icon name="keyboard" />
        {t.account.keyboard}
      </button>
      <a class="btn ghost" href="/licences.txt">
        <Icon name="scroll-text" />
        {t.account.licences}
      </a>
      <button type="button" class="btn ghost" onClick={leave} data-testid="account-sign-out">
        <Icon name="log-out" />
        {t.account.signOut}
      </button>
      {failed ? (
        <p class="err" role="alert">
          {t.account.signOutFailed}
        </p>
      ) : null}
    </div>
  );
}

function Account({ user, onKeyboard }: { user: string; onKeyboard: () => void }) {
  const initials = user.slice(0, 2).toUpperCase();
  return (
    <Popover
      class="avatar"
      label={`${initials}, ${t.account.label(user)}`}
      button={initials}
      testid="account-open"
    >
      {(close) => (
        <>
          <p class="t2">{t.account.signedInAs(user)}</p>
          <AccountActions
            onKeyboard={() => {
              close();
              onKeyboard();
            }}
          />
        </>
      )}
    </Popover>
  );
}

function KeyboardHelp({ onClose }: { onClose: () => void }) {
  const on = useStore(singleKeys);
  return (
    <Dialog title={t.keyboard.title} onClose={onClose} testid="keyboard-help">
      <div class="keys">
        {[...t.keyboard.groups, network.keys, orders.keys, network.campaignKeys].map((group) => (
          <section key={group.name}>
            <h3>{group.name}</h3>
            <dl>
              {group.keys.map(([keys, what]) => (
                <div key={keys}>
                  <dt>
                    {keys.split(" ").map((key) => (
                      <kbd key={key}>{key}</kbd>
                    ))}
                  </dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <label class="check">
        <input
          type="checkbox"
          checked={on}
          onChange={(event) => setSingleKeys(event.currentTarget.checked)}
        />
        <span>
          {t.keyboard.off}
          <span class="t3 block">{t.keyboard.offHint}</span>
        </span>
      </label>
    </Dialog>
  );
}
