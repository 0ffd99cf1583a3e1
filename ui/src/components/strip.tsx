import type { ComponentChildren } from "preact";

/** A strip of figures. Without children it waits for them: `names` stand over bars. */
export function Strip({
  testid,
  names,
  dim = false,
  class: extra,
  children,
}: {
  testid: string;
  /** Names of the figures that are on their way. */
  names?: string[];
  /** Whether what it shows is old. */
  dim?: boolean;
  class?: string;
  children?: ComponentChildren;
}) {
  const classes = ["strip", dim ? "stale" : "", extra ?? ""].filter(Boolean);
  return (
    <dl class={classes.join(" ")} data-testid={testid} aria-busy={names ? "true" : undefined}>
      {names?.map((name) => (
        <Stat key={name} name={name}>
          <span class="skel w2 tall" />
        </Stat>
      ))}
      {children}
    </dl>
  );
}

/** One figure of a strip, with a line below it. */
export function Stat({
  name,
  sub,
  children,
}: {
  name: string;
  sub?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <div class="stat">
      <dt>{name}</dt>
      <dd>
        {children}
        {sub == null ? null : <span class="sub">{sub}</span>}
      </dd>
    </div>
  );
}
