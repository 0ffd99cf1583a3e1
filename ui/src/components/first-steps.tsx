import { Icon, type IconName } from "./icons.tsx";

interface Texts {
  empty: string;
  emptyText: string;
  emptySteps: readonly (readonly [string, string])[];
  emptyNote?: string;
}

/** What there is to do before there is anything to see. */
export function FirstSteps({
  texts,
  icon,
  within = false,
}: {
  texts: Texts;
  icon: IconName;
  /** Whether it stands within a card, and is none itself. */
  within?: boolean;
}) {
  const steps = (
    <>
      <div class="state">
        <span class="ic">
          <Icon name={icon} />
        </span>
        <h2 id="h-first">{texts.empty}</h2>
        <p>{texts.emptyText}</p>
      </div>
      <ol class="enrol-steps">
        {texts.emptySteps.map(([what, how]) => (
          <li key={what}>
            <span>{what}</span>
            <pre>{how}</pre>
          </li>
        ))}
      </ol>
      {texts.emptyNote ? <p class="t3 enrol-note">{texts.emptyNote}</p> : null}
    </>
  );
  if (within) {
    return (
      <div class="enrol" data-testid="state-empty">
        {steps}
      </div>
    );
  }
  return (
    <section class="card enrol" aria-labelledby="h-first" data-testid="state-empty">
      {steps}
    </section>
  );
}
