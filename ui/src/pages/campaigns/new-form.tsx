import type { ComponentChildren } from "preact";
import { Card } from "../../components/card.tsx";
import { Field, Segments } from "../../components/controls.tsx";
import { Failed } from "../../components/states.tsx";
import { api } from "../../lib/api.ts";
import type { Draft, DraftField } from "../../lib/campaign-draft.ts";
import { useLoad } from "../../lib/hooks.ts";
import { network } from "../../texts/network.en.ts";
import { campaignNew as T } from "../../texts/campaign-new.en.ts";

export type Change = (changes: Partial<Draft>) => void;

interface FormProps {
  draft: Draft;
  /** Fields whose fault is told. */
  wrong: DraftField[];
  onChange: Change;
  /** A field was left. */
  onLeft: (field: DraftField) => void;
}

/** So many concentrators can be chosen from; the others by list. */
const CONCENTRATORS = 200;

const WHO = (["all", "endpoint", "filter", "list"] as const).map((value) => ({ value, text: T.whos[value] }));

/** Which meters. */
export function MetersCard({ draft, wrong, onChange, onLeft }: FormProps) {
  return (
    <Card id="meters" title={T.meters} testid="new-meters">
      <div class="col form">
        <Segments
          label={T.who}
          value={draft.who}
          options={WHO}
          onChange={(who) => onChange({ who: who as Draft["who"] })}
          testid="new-who"
        />
        {draft.who === "all" ? <p class="t2">{T.allText}</p> : null}
        {draft.who === "endpoint" ? (
          <Endpoints draft={draft} wrong={wrong} onChange={onChange} onLeft={onLeft} />
        ) : null}
        {draft.who === "filter" ? <Filter draft={draft} onChange={onChange} /> : null}
        {draft.who === "list" ? (
          <Field
            id="new-list"
            label={T.list}
            hint={T.listHint}
            error={wrong.includes("list") ? T.listWrong : null}
            testid="new-list"
          >
            <textarea
              class="area mono"
              id="new-list"
              value={draft.list}
              spellcheck={false}
              aria-invalid={wrong.includes("list")}
              aria-describedby="new-list-note"
              onInput={(event) => onChange({ list: event.currentTarget.value })}
              onBlur={() => onLeft("list")}
              data-testid="new-list"
            />
          </Field>
        ) : null}
        <fieldset class="col plain-set">
          <legend class="label">{T.leaveOut}</legend>
          <Check
            text={T.skipSilent}
            under={T.skipSilentText}
            on={draft.skipSilent}
            onChange={(on) => onChange({ skipSilent: on })}
            testid="new-skip-silent"
          />
          <Check
            text={T.skipAlone}
            under={T.skipAloneText}
            on={draft.skipAlone}
            onChange={(on) => onChange({ skipAlone: on })}
            testid="new-skip-alone"
          />
        </fieldset>
      </div>
    </Card>
  );
}

function Check({
  text,
  under,
  on,
  onChange,
  testid,
}: {
  text: string;
  under: string;
  on: boolean;
  onChange: (on: boolean) => void;
  testid: string;
}) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={on}
        onChange={(event) => onChange(event.currentTarget.checked)}
        data-testid={testid}
      />
      <span>
        {text} <span class="t3 block">{under}</span>
      </span>
    </label>
  );
}

function Endpoints({ draft, wrong, onChange, onLeft }: FormProps) {
  const loaded = useLoad("new-concentrators", (signal) => api.concentrators("", CONCENTRATORS, signal));
  const rows = loaded.data?.rows ?? [];
  if (loaded.data === null && loaded.error !== null)
    return <Failed error={loaded.error} what={network.concentrators} onRetry={loaded.reload} />;
  if (loaded.data !== null && rows.length === 0) return <p class="t2">{T.endpointNone}</p>;
  return (
    <Field
      id="new-endpoint"
      label={T.endpoint}
      hint={T.endpointHint}
      error={wrong.includes("endpoint") ? T.endpointWrong : null}
      testid="new-endpoint"
    >
      <select
        class="select"
        id="new-endpoint"
        value={draft.endpoint}
        disabled={loaded.data === null}
        aria-invalid={wrong.includes("endpoint")}
        aria-describedby="new-endpoint-note"
        onChange={(event) => onChange({ endpoint: event.currentTarget.value })}
        onBlur={() => onLeft("endpoint")}
        data-testid="new-endpoint"
      >
        <option value="">{T.choosePlain}</option>
        {rows.map((row) => (
          <option key={row.id} value={row.endpoint}>
            {row.name === "" ? row.endpoint : row.name}
          </option>
        ))}
      </select>
    </Field>
  );
}

function Filter({ draft, onChange }: { draft: Draft; onChange: Change }) {
  // Without the feeders the text alone still chooses.
  const fleet = useLoad("new-fleet", (signal) => api.fleet(signal));
  const feeders = fleet.data?.feeders ?? [];
  return (
    <div class="new-fields">
      <Field id="new-q" label={T.q}>
        <input
          class="input"
          id="new-q"
          value={draft.q}
          maxLength={100}
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => onChange({ q: event.currentTarget.value })}
          data-testid="new-q"
        />
      </Field>
      <Field id="new-feeder" label={T.feeder}>
        <select
          class="select"
          id="new-feeder"
          value={draft.feeder}
          onChange={(event) => onChange({ feeder: event.currentTarget.value })}
          data-testid="new-feeder"
        >
          <option value="">{T.any}</option>
          {feeders.map((feeder) => (
            <option key={feeder} value={feeder}>
              {feeder}
            </option>
          ))}
        </select>
      </Field>
    </div>
  );
}

/** How it goes about it. */
export function RingsCard({ draft, wrong, onChange, onLeft }: FormProps) {
  const number = (
    field: "rings" | "soak" | "failures" | "hops" | "loss",
    label: string,
    fault: string,
    hint?: ComponentChildren,
  ) => (
    <Field
      id={`new-${field}`}
      label={label}
      hint={hint}
      error={wrong.includes(field) ? fault : null}
      testid={`new-${field}`}
    >
      <input
        class="input"
        id={`new-${field}`}
        inputMode={field === "rings" ? "text" : "decimal"}
        autocomplete="off"
        value={draft[field]}
        aria-invalid={wrong.includes(field)}
        aria-describedby={wrong.includes(field) || hint ? `new-${field}-note` : undefined}
        onInput={(event) => onChange({ [field]: event.currentTarget.value })}
        onBlur={() => onLeft(field)}
        data-testid={`new-${field}`}
      />
    </Field>
  );
  const repeats = draft.medium === "s-fsk";
  return (
    <Card id="rings" title={T.rings} testid="new-rings-card">
      <div class="col form">
        <div class="new-fields three">
          {number("rings", T.ringsField, T.ringsWrong, T.ringsHint)}
          {number("soak", T.soak, T.soakWrong)}
          {number("failures", T.failures, T.failuresWrong)}
        </div>
        <div class="new-fields three">
          <Field id="new-medium" label={T.medium} hint={T.mediumHint}>
            <select
              class="select"
              id="new-medium"
              value={draft.medium}
              aria-describedby="new-medium-note"
              onChange={(event) => onChange({ medium: event.currentTarget.value })}
              data-testid="new-medium"
            >
              {T.media.map(([value, text]) => (
                <option key={value} value={value}>
                  {text}
                </option>
              ))}
            </select>
          </Field>
          {draft.medium === "" ? null : (
            <>
              {number("hops", repeats ? T.credit : T.hops, repeats ? T.creditWrong : T.hopsWrong)}
              {number("loss", T.loss, T.lossWrong)}
            </>
          )}
        </div>
      </div>
    </Card>
  );
}
