import type { ComponentChildren } from "preact";

export interface CardProps {
  id: string;
  title: string;
  /** Stands right of the title. */
  aside?: ComponentChildren;
  /** Stands at the end of the head. */
  end?: ComponentChildren;
  footer?: ComponentChildren;
  class?: string;
  testid?: string;
  /** Whether the content has no padding, as tables and lists. */
  flush?: boolean;
  busy?: boolean;
  /** Whether the heading can take the focus, for a card that comes where something was that had it. */
  focusable?: boolean;
  children: ComponentChildren;
}

/** A card with a heading; a page has no other box. */
export function Card(props: CardProps) {
  const heading = `h-${props.id}`;
  return (
    <section
      class={props.class ? `card ${props.class}` : "card"}
      aria-labelledby={heading}
      data-testid={props.testid}
      aria-busy={props.busy ? "true" : undefined}
    >
      <header>
        <h2 id={heading} tabIndex={props.focusable ? -1 : undefined}>
          {props.title}
        </h2>
        {props.aside}
        {props.end ? <span class="end">{props.end}</span> : null}
      </header>
      {props.flush ? props.children : <div class="pad">{props.children}</div>}
      {props.footer ? <footer>{props.footer}</footer> : null}
    </section>
  );
}
