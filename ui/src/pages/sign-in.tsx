import { useEffect, useRef, useState } from "preact/hooks";
import { Field } from "../components/controls.tsx";
import { Icon, Mark } from "../components/icons.tsx";
import { api, ApiError } from "../lib/api.ts";
import { navigate } from "../lib/router.ts";
import { enter } from "../lib/session.ts";
import { t } from "../texts/en.ts";
import { CURVE } from "./sign-in-curve.ts";

/** Where to go after signing in: an address of this interface, never another host. */
export function nextAddress(query: URLSearchParams): string {
  const next = query.get("next") ?? "";
  return /^\/(?![/\\])/.test(next) && !next.startsWith("/sign-in") && !next.startsWith("/api/")
    ? next
    : "/fleet";
}

/** One field, the token. */
export function SignIn({ query }: { query: URLSearchParams }) {
  const [token, setToken] = useState("");
  const [seen, setSeen] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const [pauseUntil, setPauseUntil] = useState<number | null>(null);
  const [now, setNow] = useState(Date.now());
  const input = useRef<HTMLInputElement>(null);

  useEffect(() => {
    document.title = t.title(t.signIn.title);
    input.current?.focus();
  }, []);

  useEffect(() => {
    if (pauseUntil === null) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [pauseUntil]);

  const left = pauseUntil === null ? 0 : Math.max(0, Math.ceil((pauseUntil - now) / 1000));
  const paused = left > 0;

  const submit = (event: Event): void => {
    event.preventDefault();
    if (busy || paused) return;
    const text = token.trim();
    setPauseUntil(null);
    if (text === "") {
      setError(t.signIn.empty);
      input.current?.focus();
      return;
    }
    setBusy(true);
    setError(null);
    api.signIn(text).then(
      (session) => {
        setToken("");
        enter(session);
        navigate(nextAddress(query), true);
      },
      (cause: unknown) => {
        setBusy(false);
        input.current?.focus();
        const failure = cause instanceof ApiError ? cause : null;
        if (failure?.failure === "offline") setError(t.signIn.offline);
        else if (failure?.status === 429) {
          setPauseUntil(Date.now() + (failure.retryAfterS ?? 60) * 1000);
        } else if (failure?.failure === "signed_out") setError(t.signIn.wrong);
        else setError(failure?.message || t.signIn.broken(failure?.status ?? 0));
      },
    );
  };

  const shownError = paused ? t.signIn.pause(left) : error;
  return (
    <div class="gate">
      <svg
        class="curve"
        viewBox="0 0 960 100"
        preserveAspectRatio="none"
        aria-hidden="true"
        focusable="false"
      >
        <path class="f" d={`${CURVE}V100H0Z`} />
        <path class="l" d={CURVE} />
      </svg>
      <main>
        <div class="logo">
          <Mark />
          {t.product}
        </div>
        <section class="card" aria-labelledby="si">
          <form onSubmit={submit} aria-describedby="si-for" data-testid="signin-form" noValidate>
            <div>
              <h1 id="si">{t.signIn.title}</h1>
              <p class="t2" id="si-for">
                {t.signIn.at(location.host)}
              </p>
            </div>
            {/* Names the account for a password keeper; there is one. */}
            <input type="text" name="username" autocomplete="username" value="operator" hidden readOnly />
            <Field
              id="token"
              label={t.signIn.token}
              hint={pauseUntil !== null && !paused ? t.signIn.pauseOver : t.signIn.hint}
              error={shownError}
              testid="signin"
            >
              <div class="pw">
                <input
                  ref={input}
                  class="input lg"
                  id="token"
                  type={(seen ? "text" : "password") as "password"}
                  autocomplete="current-password"
                  autocapitalize="off"
                  spellcheck={false}
                  value={token}
                  aria-invalid={shownError ? "true" : undefined}
                  aria-describedby="token-note"
                  onInput={(event) => setToken(event.currentTarget.value)}
                  data-testid="signin-token"
                />
                <button
                  type="button"
                  class="btn ghost sm icon"
                  aria-label={seen ? t.signIn.hide : t.signIn.show}
                  aria-pressed={seen}
                  onClick={() => setSeen(!seen)}
                >
                  <Icon name={seen ? "eye-off" : "eye"} />
                </button>
              </div>
            </Field>
            <button
              class="btn primary full"
              type="submit"
              aria-disabled={busy || paused ? "true" : undefined}
              data-testid="signin-submit"
            >
              {busy ? t.signIn.busy : t.signIn.submit}
            </button>
          </form>
        </section>
      </main>
      <footer>
        <span>{t.signIn.foot}</span>
        <a href="/licences.txt">{t.account.licences}</a>
      </footer>
    </div>
  );
}
