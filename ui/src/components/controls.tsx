import type { ComponentChildren } from "preact";
import { StatusShape } from "./status.tsx";
import { Icon } from "./icons.tsx";

/** A choice of a few, all of them seen. */
export function Segments({
  label,
  value,
  options,
  onChange,
  class: extra,
  describedBy,
  testid,
}: {
  label: string;
  value: string;
  options: { value: string; text: string }[];
  onChange: (value: string) => void;
  class?: string;
  /** The id of the hint below it. */
  describedBy?: string;
  testid?: string;
}) {
  return (
    <div
      class={extra ? `seg ${extra}` : "seg"}
      role="group"
      aria-label={label}
      aria-describedby={describedBy}
      data-testid={testid}
    >
      {options.map((option) => (
        <button
          type="button"
          key={option.value}
          aria-pressed={option.value === value}
          onClick={() => onChange(option.value)}
          data-testid={testid ? `${testid}-${option.value}` : undefined}
        >
          {option.text}
        </button>
      ))}
    </div>
  );
}

/** A choice of many, drawn as a chip: "Feeder any". */
export function ChipSelect({
  label,
  value,
  options,
  onChange,
  plain = false,
  testid,
}: {
  label: string;
  value: string;
  options: { value: string; text: string }[];
  onChange: (value: string) => void;
  /** Whether there is always a choice, so that none stands out. */
  plain?: boolean;
  testid?: string;
}) {
  const shown = options.find((option) => option.value === value)?.text ?? value;
  return (
    <span class={`chip pick${value === "" || plain ? "" : " on"}`}>
      <span aria-hidden="true">
        {label} <b>{shown}</b>
      </span>
      <Icon name="chevron-down" />
      <select
        aria-label={label}
        value={value}
        onChange={(event) => onChange(event.currentTarget.value)}
        data-testid={testid}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.text}
          </option>
        ))}
      </select>
    </span>
  );
}

/** A label above, a hint below, and an error in the place of the hint. */
export function Field({
  id,
  label,
  hint,
  error,
  testid,
  children,
}: {
  id: string;
  label: string;
  hint?: ComponentChildren;
  error?: string | null;
  testid?: string;
  children: ComponentChildren;
}) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children}
      {error ? (
        <p class="err" id={`${id}-note`} role="alert" data-testid={testid ? `${testid}-error` : undefined}>
          <StatusShape shape="crit" />
          <span>{error}</span>
        </p>
      ) : hint ? (
        <p class="hint" id={`${id}-note`}>
          {hint}
        </p>
      ) : null}
    </div>
  );
}
