import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { reasonOf } from "../lib/act.ts";
import { live } from "../lib/live-client.ts";
import { siteZone } from "../lib/session.ts";
import { useStore } from "../lib/store.ts";
import { clockSeconds } from "../lib/time.ts";
import { t } from "../texts/en.ts";
import { Card } from "./card.tsx";
import { Field } from "./controls.tsx";
import { Icon, type IconName } from "./icons.tsx";
import { Notice, Refused } from "./states.tsx";
import { Status, type Shape } from "./status.tsx";

const REASON_LEAST = 10;
const REASON_MOST = 200;

/** What a person types to confirm: its field, and the words around it. */
interface Typed {
  part: string;
  label: string;
  hint: string;
  wrong: string;
  is: string;
}

/** What would be done, in order. */
export function Steps({ title, testid, steps }: { title: string; testid: string; steps: string[] }) {
  return (
    <Card id="run" title={title} testid={testid} flush>
      <ol class="list ruled">
        {steps.map((step) => (
          <li key={step}>
            <Status shape="todo" />
            <div class="t">{step}</div>
          </li>
        ))}
      </ol>
    </Card>
  );
}

/** The place of what is decided on, to be typed. */
export function placeTyped(is: string): Typed {
  const words = t.decision;
  return {
    part: "place",
    label: words.typePlace,
    hint: words.placeHint(is),
    wrong: words.placeWrong(is),
    is,
  };
}

export interface DecisionProps {
  /** Names the parts: card `…-decision`, fields `…-reason` and `…-confirm`, `…-failed`, `…-cancel`. */
  name: string;
  title: string;
  /** Whether a reason is asked for, of 10 to 200 characters, and what its hint says where not the usual. */
  reason?: boolean | { hint: string };
  /** What a person has to type, word by word; `part` names its field. */
  typed?: Typed | undefined;
  /** What the last button says, and while it is under way. */
  give: string;
  giving: string;
  giveTestid: string;
  /** Whether it takes something from somebody or cannot be taken back. */
  danger: boolean;
  /** Why it cannot be given now; the button rests then and says so. */
  blocked?: string | null;
  cancel: { text: string; href: string };
  /**
   * Gives the order; what it throws is shown, and nothing is taken as done. Where it went well the page takes this
   * form away: the button rests, so that nothing is given twice.
   */
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
      setFailed(reasonOf(cause));
      setBusy(false);
    }
  };
  return (
    <Card id="decision" title={props.title} testid={`${name}-decision`}>
      <form class="col form" onSubmit={(event) => void submit(event)} noValidate>
        {props.children}
        {props.reason ? (
          <Field
            id={`${name}-reason`}
            label={t.decision.reason}
            hint={typeof props.reason === "object" ? props.reason.hint : t.decision.reasonHint}
            error={wrong === "reason" ? t.decision.reasonShort : null}
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
        <Refused text={failed} testid={`${name}-failed`} />
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

/** What a dangerous act would mean, as far as was looked at; stands beside the decision. */
export function Meaning({
  title,
  testid,
  at,
  checked,
  again,
  footer,
  flush = false,
  children,
}: {
  title: string;
  testid: string;
  /** When it was looked at, and how that is said. */
  at: number | null;
  checked: (time: string) => string;
  /** A way to look again; null where it has been decided. */
  again?: { text: string; onAgain: () => void } | null;
  footer?: ComponentChildren;
  flush?: boolean;
  children: ComponentChildren;
}) {
  return (
    <Card
      id="means"
      title={title}
      testid={testid}
      flush={flush}
      aside={at === null ? null : <span class="t3 hide-n">{checked(clockSeconds(at, siteZone()))}</span>}
      end={
        again ? (
          <button type="button" class="btn sm" onClick={again.onAgain} data-testid={`${testid}-again`}>
            <Icon name="refresh-cw" />
            {again.text}
          </button>
        ) : null
      }
      footer={footer}
    >
      {children}
    </Card>
  );
}

/** In the place of a decision that cannot be taken now: why not, and what to do: look again, or go elsewhere. */
export function NoDecision({
  title,
  cannot,
  why,
  icon = "unplug",
  action,
}: {
  title: string;
  cannot: string;
  why: string;
  icon?: IconName;
  action: { text: string } & ({ onAgain: () => void } | { href: string });
}) {
  return (
    <Card id="decision" title={title} testid="no-decision" flush>
      <Notice
        kind={"href" in action ? "empty" : "error"}
        icon={icon}
        title={cannot}
        text={why}
        actions={
          "href" in action ? (
            <a class="btn" href={action.href}>
              {action.text}
            </a>
          ) : (
            <button type="button" class="btn" onClick={action.onAgain}>
              {action.text}
            </button>
          )
        }
      />
    </Card>
  );
}

/** In the place of a decision that was taken: what became of it, and the way on, which has the focus. */
export function Decided({
  title,
  testid,
  shape,
  text,
  on,
  children,
}: {
  title: string;
  testid: string;
  shape: Shape;
  text: string;
  on: { text: string; href: string; testid?: string };
  children?: ComponentChildren;
}) {
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => link.current?.focus(), []);
  return (
    <Card id="decided" title={title} testid={testid}>
      <div class="col">
        <p role="status">
          <Status shape={shape}>{text}</Status>
        </p>
        {children}
        <a class="btn primary full" href={on.href} ref={link} data-testid={on.testid}>
          {on.text}
        </a>
      </div>
    </Card>
  );
}
