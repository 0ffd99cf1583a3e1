import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../lib/api.ts";
import { CURVE } from "./gate-curve.ts";
import { Field } from "./controls.tsx";
import { Icon, Mark } from "./icons.tsx";
import { t } from "../texts/en.ts";

/** What a sign-in says when it fails. */
export interface GateWords {
  wrong: string;
  offline: string;
  broken: (status: number) => string;
}

export interface Attempt {
  busy: boolean;
  /** What is wrong, or for how long to wait. */
  error: string | null;
  /** Said in the place of a hint once the pause is over. */
  note: string | null;
  /** Sends, unless a try is under way or a pause is not over; `failed` is called after a refusal. */
  send: (call: () => Promise<void>, failed: () => void) => void;
  refuse: (error: string) => void;
  /** Whether sending would do nothing now. */
  held: boolean;
}

/** One try after the other, with the pause that the server asks for. */
export function useAttempt(words: GateWords): Attempt {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const [pauseUntil, setPauseUntil] = useState<number | null>(null);
  const [now, setNow] = useState(Date.now());

  useEffect(() => {
    if (pauseUntil === null) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [pauseUntil]);

  const left = pauseUntil === null ? 0 : Math.max(0, Math.ceil((pauseUntil - now) / 1000));
  const paused = left > 0;
  return {
    busy,
    held: busy || paused,
    error: paused ? t.signIn.pause(left) : error,
    note: pauseUntil !== null && !paused ? t.signIn.pauseOver : null,
    refuse(text) {
      setPauseUntil(null);
      setError(text);
    },
    send(call, failed) {
      setPauseUntil(null);
      setBusy(true);
      setError(null);
      call().catch((cause: unknown) => {
        setBusy(false);
        failed();
        const failure = cause instanceof ApiError ? cause : null;
        if (failure?.failure === "offline") setError(words.offline);
        else if (failure?.status === 429) {
          setPauseUntil(Date.now() + (failure.retryAfterS ?? 60) * 1000);
        } else if (failure?.failure === "signed_out") setError(words.wrong);
        else setError(failure?.message || words.broken(failure?.status ?? 0));
      });
    },
  };
}

/** The page in front of the pages: one form. */
export function Gate({
  product,
  title,
  place,
  foot,
  attempt,
  onSubmit,
  children,
}: {
  product: string;
  title: string;
  place: string;
  foot: string;
  attempt: Attempt;
  onSubmit: () => void;
  children: ComponentChildren;
}) {
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
          {product}
        </div>
        <section class="card" aria-labelledby="si">
          <form
            onSubmit={(event) => {
              event.preventDefault();
              if (!attempt.held) onSubmit();
            }}
            aria-describedby="si-for"
            data-testid="signin-form"
            noValidate
          >
            <div>
              <h1 id="si">{title}</h1>
              <p class="t2" id="si-for">
                {place}
              </p>
            </div>
            {children}
            <button
              class="btn primary full"
              type="submit"
              aria-disabled={attempt.held ? "true" : undefined}
              data-testid="signin-submit"
            >
              {attempt.busy ? t.signIn.busy : t.signIn.submit}
            </button>
          </form>
        </section>
      </main>
      <footer>
        <span>{foot}</span>
        <a href="/licences.txt">{t.account.licences}</a>
      </footer>
    </div>
  );
}

/** A secret, hidden until somebody wants to see it. */
export function SecretField({
  id,
  label,
  hint,
  attempt,
  value,
  input,
  onInput,
  names,
}: {
  id: string;
  label: string;
  hint: string;
  attempt: Attempt;
  value: string;
  input: RefObject<HTMLInputElement | null>;
  onInput: (value: string) => void;
  names: { show: string; hide: string };
}) {
  const [seen, setSeen] = useState(false);
  return (
    <Field id={id} label={label} hint={attempt.note ?? hint} error={attempt.error} testid="signin">
      <div class="pw">
        <input
          ref={input}
          class="input lg"
          id={id}
          type={(seen ? "text" : "password") as "password"}
          autocomplete="current-password"
          autocapitalize="off"
          spellcheck={false}
          value={value}
          aria-invalid={attempt.error ? "true" : undefined}
          aria-describedby={`${id}-note`}
          onInput={(event) => onInput(event.currentTarget.value)}
          data-testid={`signin-${id}`}
        />
        <button
          type="button"
          class="btn ghost sm icon"
          aria-label={seen ? names.hide : names.show}
          aria-pressed={seen}
          onClick={() => setSeen(!seen)}
        >
          <Icon name={seen ? "eye-off" : "eye"} />
        </button>
      </div>
    </Field>
  );
}
