import type { ComponentChildren } from "preact";

/** A line of a list of facts (`dl.kv`): what it is, and its value. */
export function Row({
  name,
  mono = false,
  testid,
  children,
}: {
  name: string;
  /** Whether the value is octets or another text of even width. */
  mono?: boolean;
  testid?: string;
  children: ComponentChildren;
}) {
  return (
    <div data-testid={testid}>
      <dt>{name}</dt>
      <dd class={mono ? "mono" : undefined}>{children}</dd>
    </div>
  );
}
