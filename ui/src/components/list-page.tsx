import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { reasonOf } from "../lib/act.ts";
import { useLoad, type Loaded, type Reading } from "../lib/hooks.ts";
import { t } from "../texts/en.ts";
import { FirstSteps } from "./first-steps.tsx";
import type { IconName } from "./icons.tsx";
import { Page } from "./page.tsx";
import { Load, Refused, Skeleton } from "./states.tsx";

export interface Growing {
  /** Rows asked for now. */
  limit: number;
  /** Asks for as many again; null where there may be no more. */
  more: (() => void) | null;
  /** Begins anew, as after a change of what is looked for. */
  reset: () => void;
}

/** A list that is asked for in steps, up to a most. */
export function useGrowing(step: number, most: number): Growing {
  const [limit, setLimit] = useState(step);
  const more = (): void => setLimit((old) => Math.min(most, old + step));
  return { limit, more: limit < most ? more : null, reset: () => setLimit(step) };
}

/** Reads a list that grows: rows that are there stay, also while more are on their way. */
export function useList<T>(
  key: string,
  { limit }: Growing,
  read: (limit: number, signal: AbortSignal) => Promise<T>,
): Loaded<T> {
  const loaded = useLoad(key, (signal) => read(limit, signal));
  const asked = useRef(limit);
  useEffect(() => {
    if (asked.current === limit) return;
    asked.current = limit;
    loaded.reload();
  }, [limit]);
  return loaded;
}

interface Texts {
  title: string;
  count: (total: number) => string;
  /** What is on its way, within a sentence. */
  what: string;
  more: string;
  empty: string;
  emptyText: string;
  emptySteps: readonly (readonly [string, string])[];
}

/** The page of a list, with its states: what to do first, on its way, failed, nothing that matches, rows. */
export function ListPage<R>({
  of,
  growing,
  texts,
  lead,
  icon,
  testid,
  actions,
  toolbar,
  noMatch = null,
  children,
}: {
  of: Reading<{ total: number; rows: R[] }>;
  growing: Growing;
  texts: Texts;
  /** Says beside the count what these are. */
  lead: string;
  icon: IconName;
  /** Names the parts: `…-list`, `…-more`. */
  testid: string;
  actions?: ComponentChildren;
  toolbar?: ComponentChildren;
  /** What stands there when nothing matches the filter; null where there is no filter. */
  noMatch?: ComponentChildren;
  children: (rows: R[]) => ComponentChildren;
}) {
  const list = of.data;
  const none = list !== null && list.total === 0;
  return (
    <Page
      title={texts.title}
      crumbs={[{ text: texts.title }]}
      lead={
        <>
          {list ? <span>{texts.count(list.total)}</span> : <span class="skel w4" />}
          <span class="t3">{lead}</span>
        </>
      }
      actions={actions}
    >
      {none && noMatch === null ? (
        <FirstSteps texts={texts} icon={icon} />
      ) : (
        <section class="card" aria-label={texts.title} data-testid={`${testid}-list`}>
          {toolbar}
          <Load
            of={of}
            what={texts.what}
            shape={
              <div class="pad">
                <Skeleton lines={5} />
              </div>
            }
          >
            {(data) =>
              data.total === 0 ? (
                noMatch
              ) : (
                <>
                  {children(data.rows)}
                  {data.total > data.rows.length && growing.more ? (
                    <p class="list-note">
                      <button
                        type="button"
                        class="btn sm"
                        onClick={growing.more}
                        data-testid={`${testid}-more`}
                      >
                        {texts.more}
                      </button>
                    </p>
                  ) : null}
                  <Refused
                    text={of.error === null ? null : reasonOf(of.error, t.state.errorTitle(texts.what))}
                    testid={`${testid}-stale`}
                    class="list-note"
                  />
                </>
              )
            }
          </Load>
        </section>
      )}
    </Page>
  );
}
