import { useState } from "preact/hooks";
import { Field } from "../../components/controls.tsx";
import { Decision, placeTyped } from "../../components/decision.tsx";
import { Icon } from "../../components/icons.tsx";
import { Row } from "../../components/kv.tsx";
import { Status } from "../../components/status.tsx";
import { toast } from "../../components/toasts.tsx";
import type { ApiError } from "../../lib/api.ts";
import { fenceApi, type FenceView } from "../../lib/fence-api.ts";
import { crossed, keepsOut, tidy, toggled } from "../../lib/fence.ts";
import { t } from "../../texts/en.ts";
import { paths as T } from "../../texts/paths.en.ts";

/** So many ASes are offered by name; others are typed. */
const MOST_ASES = 8;
/** As long as a fence may be. */
const MOST_TEXT = 4_096;

export interface EditorProps {
  id: string;
  /** What confirms a fence that leaves nothing. */
  place: string;
  view: FenceView;
  /** What is typed, and whether that is another fence than the one that is saved. */
  text: string;
  dirty: boolean;
  /** What the typed fence would leave, as far as that is known. */
  preview: FenceView | null;
  error: ApiError | null;
  onText: (text: string | null) => void;
  onSaved: (view: FenceView) => void;
}

/** The fence of a meter: typed or by buttons, looked at before it is saved. */
export function FenceEditor(props: EditorProps) {
  const { view, text, dirty, preview, error } = props;
  const [nothing, setNothing] = useState(false);
  const none = dirty && preview?.remaining === "none";
  const fault = dirty && error?.status === 400 ? error.message : null;
  const blocked = !dirty
    ? T.unchanged
    : error !== null
      ? fault === null
        ? error.message || t.state.offlineTitle
        : T.fault
      : preview === null
        ? T.wait
        : none && !nothing
          ? T.sure
          : null;
  const base = tidy(text) === "" ? (view.enrolled ?? "") : text;
  const offered = crossed(view.paths, MOST_ASES);
  return (
    <Decision
      name="fence"
      title={T.fence}
      reason
      typed={none && nothing ? placeTyped(props.place) : undefined}
      give={T.save}
      giving={T.saving}
      giveTestid="fence-save"
      danger={none}
      blocked={blocked}
      cancel={{ text: T.back, href: `/meters/${props.id}` }}
      onGive={async (reason) => {
        props.onSaved(await fenceApi.save(props.id, tidy(text), reason, none && nothing));
        toast(T.done);
      }}
    >
      <div data-testid="fence-state" data-state={dirty ? "unsaved" : "saved"}>
        {dirty ? (
          <Status shape="pend">{T.notSaved}</Status>
        ) : (
          <span class="t2">
            {T.holds}: {view.fence === null ? T.open : <code class="fence-text">{view.fence}</code>}
            {view.fence !== null && (view.saved[0]?.fence ?? null) === null ? ` (${T.asEnrolled})` : null}
          </span>
        )}
      </div>
      <p class="t3">{T.bothEnds}</p>
      <dl class="kv">
        <Row name={T.second} testid="fence-second-person">
          {T.secondOff}
        </Row>
      </dl>
      <Field
        id="fence-text"
        label={T.text}
        hint={T.textHint(view.enrolled)}
        error={fault}
        testid="fence-text"
      >
        <textarea
          class="area fence-text"
          id="fence-text"
          value={text}
          maxLength={MOST_TEXT}
          spellcheck={false}
          autocomplete="off"
          aria-invalid={fault !== null}
          aria-describedby="fence-text-note"
          onInput={(event) => {
            setNothing(false);
            props.onText(event.currentTarget.value);
          }}
          data-testid="fence-text"
        />
      </Field>
      <div class="chips" role="group" aria-label={T.quick}>
        <span class="t3">{T.quick}</span>
        {[...offered.domains, ...offered.ases].map((place) => {
          const on = keepsOut(base, place);
          return (
            <button
              type="button"
              key={place}
              class={on ? "chip on" : "chip"}
              aria-pressed={on}
              onClick={() => {
                setNothing(false);
                props.onText(toggled(base, place));
              }}
              data-testid="fence-out"
              data-place={place}
            >
              {place.includes("-") ? place : T.domain(place)}
            </button>
          );
        })}
        <button
          type="button"
          class="chip"
          onClick={() => {
            setNothing(false);
            props.onText("");
          }}
          data-testid="fence-enrolled"
        >
          {T.useEnrolled}
        </button>
        {dirty ? (
          <button type="button" class="chip" onClick={() => props.onText(null)} data-testid="fence-discard">
            {T.discard}
          </button>
        ) : null}
      </div>
      <div aria-live="polite" data-testid="fence-preview" data-state={stateOf(props)}>
        {dirty && fault === null ? (
          <div class="col fence-preview">
            <h3>{T.ifSaved}</h3>
            {preview === null ? (
              error === null ? (
                <p class="t3">{T.looking}</p>
              ) : (
                <p>
                  <Status shape="crit">{error.message || t.state.offlineTitle}</Status>
                </p>
              )
            ) : (
              <Verdict was={view.known} preview={preview} />
            )}
          </div>
        ) : null}
      </div>
      {none ? (
        <label class="check">
          <input
            type="checkbox"
            checked={nothing}
            onChange={(event) => setNothing(event.currentTarget.checked)}
            data-testid="fence-nothing"
          />
          <span>{T.nothing}</span>
        </label>
      ) : null}
    </Decision>
  );
}

function stateOf({ dirty, preview, error }: EditorProps): string {
  if (!dirty) return "idle";
  return error !== null ? "error" : (preview?.remaining ?? "looking");
}

function Verdict({ was, preview }: { was: number; preview: FenceView }) {
  const { remaining } = preview;
  return (
    <>
      <p class="verdict">
        <span class="was">{T.was(was)}</span>
        <Icon name="chevron-right" />
        <span data-testid="fence-left">{T.left(preview.allowed)}</span>
      </p>
      {preview.active_stays === null || remaining === "none" ? null : (
        <p>
          <Status shape={preview.active_stays ? "ok" : "warn"}>
            {preview.active_stays ? T.stays : T.moves}
          </Status>
        </p>
      )}
      <p>
        <Status shape={remaining === "several" ? "ok" : remaining === "none" ? "crit" : "warn"}>
          {remaining === "one_link" ? T.oneLink(preview.decides) : T.remaining[remaining]}
        </Status>
      </p>
    </>
  );
}
