import { type ComponentChildren, type ComponentType, createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import { Notice } from "../components/states.tsx";
import { t } from "../texts/en.ts";

const What = createContext("");

/** Names what is on its way for the lazy components inside. */
export function Suspense({ what, children }: { what: string; children: ComponentChildren }) {
  return <What.Provider value={what}>{children}</What.Provider>;
}

const preloads: (() => Promise<unknown>)[] = [];

/** Reads the files of the other pages while nothing else is to do, so that a link opens at once. */
export function preload(): void {
  for (const load of preloads.splice(0)) load().catch(() => undefined);
}

/** A component in a file of its own, read when it is first drawn. */
export function lazy<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let ready: ComponentType<P> | null = null;
  preloads.push(() =>
    load().then((component) => {
      ready ??= component;
    }),
  );
  return function Lazy(props: P) {
    const what = useContext(What);
    const [, redraw] = useState(0);
    const [failed, setFailed] = useState(false);
    const [turn, setTurn] = useState(0);
    const missing = ready === null;
    useEffect(() => {
      if (ready) {
        // It came in between, by `preload`: nobody else draws it now.
        if (missing) redraw((n) => n + 1);
        return undefined;
      }
      let gone = false;
      setFailed(false);
      load().then(
        (component) => {
          ready = component;
          if (!gone) redraw((n) => n + 1);
        },
        () => {
          if (!gone) setFailed(true);
        },
      );
      return () => {
        gone = true;
      };
    }, [turn]);
    if (ready) {
      const Ready = ready;
      return <Ready {...props} />;
    }
    if (!failed) return null;
    return (
      <Notice
        kind="offline"
        icon="unplug"
        title={t.state.errorTitle(what)}
        text={t.state.offlineText}
        actions={
          <button type="button" class="btn" onClick={() => setTurn((n) => n + 1)}>
            {t.state.tryAgain}
          </button>
        }
      />
    );
  };
}
