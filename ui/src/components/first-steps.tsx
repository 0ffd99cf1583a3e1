import type { ComponentChildren } from "preact";

interface Texts {
  empty: string;
  emptyText: string;
  emptySteps: readonly (readonly [string, string])[];
}

/** What there is to do before there is anything to see. */
export function FirstSteps({ texts, children }: { texts: Texts; children: ComponentChildren }) {
  return (
    <section class="card enrol" aria-labelledby="h-first" data-testid="state-empty">
      <div class="state">
        <span class="ic">{children}</span>
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
    </section>
  );
}
