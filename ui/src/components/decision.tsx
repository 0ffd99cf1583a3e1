import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { ApiError } from "../lib/api.ts";
import { live } from "../lib/live-client.ts";
import { useStore } from "../lib/store.ts";
import { t } from "../texts/en.ts";
import { Card } from "./card.tsx";
import { Field } from "./controls.tsx";
import { Status } from "./status.tsx";

const REASON_LEAST = 10;
const REASON_MOST = 200;

export interface DecisionProps {
  /** Names the parts: card `…-decision`, fields `…-reason` and `…-confirm`, `…-failed`, `…-cancel`. */
  name: string;
  title: string;
  /** Why, of 10 to 200 characters; left out where no reason is asked for. */
  reason?: { label: string; hint: string; short: string };
  /** What a person has to type, word by word; `part` names its field. */
  typed?: { part: string; label: string; hint: string; wrong: string; is: string } | undefined;
  /** What the last button says, and while it is under way. */
  give: string;
  giving: string;
  giveTestid: string;
  /** Whether it takes something from somebody or cannot be taken back. */
  danger: boolean;
  /** Why it cannot be given now; the button rests then and says so. */
  blocked?: string | null;
  cancel: { text: string; href: string };
  /** Gives the order; what it throws is shown, and nothing is taken as done. */
  onGive: (reason: string, typed: string) => Promise<void>;
  children?: ComponentChildren;
}

/** The last step before a dangerous act: why, a typed confirmation, one button. The only form of it. */
export function Decision(props: DecisionProps) {
  const { name } = props;
  const [reason, setReason] = useState("");
  const [typed, setTyped] = useState("");
  const [wrong, setWrong] = useState<"reason" | "typed" | null>(null);
  const [failed, setFailed] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const offline = useStore(live.view).state === "offline";
  const fields = { reason: useRef<HTMLTextAreaElement>(null), typed: useRef<HTMLInputElement>(null) };
  const blocked = offline ? t.state.offlineTitle : (props.blocked ?? null);

  const fault = (): "reason" | "typed" | null => {
    const length = reason.trim().length;
    if (props.reason && (length < REASON_LEAST || length > REASON_MOST)) return "reason";
    return props.typed && typed.trim() !== props.typed.is ? "typed" : null;
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy || blocked !== null) return;
    const found = fault();
    setWrong(found);
    if (found !== null) {
      fields[found].current?.focus();
      return;
    }
    setBusy(true);
    setFailed(null);
    try {
      await props.onGive(reason.trim(), typed.trim());
    } catch (cause) {
      setFailed(cause instanceof ApiError && cause.message ? cause.message : t.state.offlineTitle);
      setBusy(false);
    }
  };
  return (
    <Card id="decision" title={props.title} testid={`${name}-decision`}>
      <form class="col order-form" onSubmit={(event) => void submit(event)} noValidate>
        {props.children}
        {props.reason ? (
          <Field
            id={`${name}-reason`}
            label={props.reason.label}
            hint={props.reason.hint}
            error={wrong === "reason" ? props.reason.short : null}
            testid={`${name}-reason`}
          >
            <textarea
              class="area"
              id={`${name}-reason`}
              ref={fields.reason}
              value={reason}
              maxLength={REASON_MOST}
              aria-invalid={wrong === "reason"}
              aria-describedby={`${name}-reason-note`}
              onInput={(event) => setReason(event.currentTarget.value)}
              onBlur={() => reason !== "" && setWrong(reason.trim().length < REASON_LEAST ? "reason" : null)}
              data-testid={`${name}-reason`}
            />
          </Field>
        ) : null}
        {props.typed ? (
          <Field
            id={`${name}-${props.typed.part}`}
            label={props.typed.label}
            hint={props.typed.hint}
            error={wrong === "typed" ? props.typed.wrong : null}
            testid={`${name}-${props.typed.part}`}
          >
            <input
              class="input"
              id={`${name}-${props.typed.part}`}
              ref={fields.typed}
              value={typed}
              autocomplete="off"
              spellcheck={false}
              aria-invalid={wrong === "typed"}
              aria-describedby={`${name}-${props.typed.part}-note`}
              onInput={(event) => setTyped(event.currentTarget.value)}
              data-testid={`${name}-confirm`}
            />
          </Field>
        ) : null}
        {failed === null ? null : (
          <p class="err" role="alert" data-testid={`${name}-failed`}>
            <Status shape="crit">{failed}</Status>
          </p>
        )}
        <button
          type="submit"
          class={props.danger ? "btn danger full" : "btn primary full"}
          disabled={busy || blocked !== null}
          aria-describedby={blocked === null ? undefined : `${name}-blocked`}
          data-testid={props.giveTestid}
        >
          {busy ? props.giving : props.give}
        </button>
        {blocked === null ? null : (
          <p class="t3" id={`${name}-blocked`} data-testid={`${name}-blocked`}>
            {blocked}
          </p>
        )}
        <a class="btn full" href={props.cancel.href} data-testid={`${name}-cancel`}>
          {props.cancel.text}
        </a>
      </form>
    </Card>
  );
}
