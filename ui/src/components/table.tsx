import type { ComponentChildren } from "preact";

/** The head of a column: its text, with the classes that place it (`r`, `hide-m` …) where it needs any. */
export type Column = string | { text: ComponentChildren; class: string | undefined };

/** A table with a caption for readers, a head, and rows. */
export function Table({
  caption,
  columns,
  class: extra,
  sticky = false,
  testid,
  rowCount,
  children,
}: {
  caption: string;
  columns: Column[];
  class?: string;
  /** Whether the head stays below the top bar while the page is scrolled. */
  sticky?: boolean;
  testid?: string;
  /** Rows with the head, where not all of them are drawn. */
  rowCount?: number | undefined;
  children: ComponentChildren;
}) {
  const classes = ["tbl", sticky ? "" : "plain", extra ?? ""].filter(Boolean);
  return (
    <table class={classes.join(" ")} aria-rowcount={rowCount} data-testid={testid}>
      <caption class="vh">{caption}</caption>
      <thead>
        <tr>
          {columns.map((column, i) =>
            typeof column === "string" ? (
              <th key={i} scope="col">
                {column}
              </th>
            ) : (
              <th key={i} scope="col" class={column.class}>
                {column.text}
              </th>
            ),
          )}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}
