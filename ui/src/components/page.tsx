import type { ComponentChildren } from "preact";
import type { Reading } from "../lib/hooks.ts";
import { NotFound } from "./not-found.tsx";
import { Shell, type Crumb } from "./shell.tsx";
import { Failed } from "./states.tsx";

export interface PageProps {
  /** The title of the tab, and the heading where that is not another one. */
  title: string;
  heading?: string;
  crumbs: Crumb[];
  /** The line below the heading. */
  lead?: ComponentChildren;
  /** Buttons at the end of the head. */
  actions?: ComponentChildren;
  /** The ways to the neighbours, see `Neighbours`. */
  neighbours?: ComponentChildren;
  children: ComponentChildren;
}

/** A page: the frame, a heading with what stands beside it, and the content. */
export function Page(props: PageProps) {
  return (
    <Shell title={props.title} crumbs={props.crumbs}>
      <div class="head">
        <div>
          <h1 tabIndex={-1}>{props.heading ?? props.title}</h1>
          {props.lead == null ? null : <p class="lead">{props.lead}</p>}
        </div>
        {props.actions ? <div class="actions">{props.actions}</div> : null}
        {props.neighbours}
      </div>
      {props.children}
    </Shell>
  );
}

/** What is said of an address that names a thing which there is not. */
interface UnknownTexts {
  unknownTitle: string;
  unknownText: string;
}

/** The page of one thing that there is not. */
export function UnknownPage({ texts, crumbs }: { texts: UnknownTexts; crumbs: Crumb[] }) {
  return (
    <Shell ownFind title={texts.unknownTitle} crumbs={crumbs}>
      <NotFound title={texts.unknownTitle} text={texts.unknownText} />
    </Shell>
  );
}

/**
 * The page of one thing: says so where there is no such thing or where it could not be asked for, and is drawn
 * otherwise. While the thing is on its way `children` draw what is known of it, for which `Load` has the states.
 */
export function ObjectPage<T>({
  of,
  what,
  texts,
  ...page
}: PageProps & { of: Reading<T>; what: string; texts: UnknownTexts }) {
  const { data, error, reload } = of;
  if (error?.failure === "not_found") return <UnknownPage texts={texts} crumbs={page.crumbs} />;
  if (data !== null || error === null) return <Page {...page} />;
  return (
    <Page title={page.title} crumbs={page.crumbs}>
      <section class="card">
        <Failed error={error} what={what} onRetry={reload} />
      </section>
    </Page>
  );
}
