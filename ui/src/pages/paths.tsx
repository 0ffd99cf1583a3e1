import { useEffect, useState } from "preact/hooks";
import { Icon } from "../components/icons.tsx";
import { ObjectPage } from "../components/page.tsx";
import { Load, Notice } from "../components/states.tsx";
import { Pill } from "../components/status.tsx";
import { Stamp } from "../components/time.tsx";
import { api } from "../lib/api.ts";
import { fenceApi, type FenceView } from "../lib/fence-api.ts";
import { tidy } from "../lib/fence.ts";
import { durationText } from "../lib/format.ts";
import { useLoad, useNow } from "../lib/hooks.ts";
import { placeOf } from "../lib/place.ts";
import type { Meter } from "../lib/types.ts";
import { drill as D } from "../texts/drill.en.ts";
import { t } from "../texts/en.ts";
import { paths as T } from "../texts/paths.en.ts";
import { FenceEditor } from "./paths/editor.tsx";
import { useReadings } from "./paths/follow.ts";
import { AsList, PathList, RunsCard, SavedFences } from "./paths/list.tsx";
import { NetworkCard } from "./paths/picture.tsx";

export { DrillPage } from "./paths/drill.tsx";

const RUNS = 10;
/** A fence is looked at when nothing was typed for so long. */
const STILL_MS = 300;

/** The paths to one meter over SCION, which it takes, and the fence that says which it may take. */
export function PathsPage({ id }: { id: string }) {
  const meter = useLoad(`meter/${id}`, (signal) => api.meter(id, signal));
  const view = useLoad(`fence/${id}`, (signal) => fenceApi.view(id, signal));
  const runs = useLoad(`paths/${id}`, (signal) => fenceApi.runs(id, RUNS, signal));
  const again = (): void => {
    view.reload();
    runs.reload();
  };
  useReadings(id, meter.data !== null, again);

  const name = meter.data?.name ?? t.meter.one;
  const crumbs = [
    { text: t.nav.fleet, href: "/fleet" },
    { text: name, href: `/meters/${id}` },
    { text: T.crumb },
  ];
  const notScion = view.error?.code === "not_scion";
  return (
    <ObjectPage
      of={meter}
      title={T.title(name)}
      what={t.meter.what}
      texts={t.meter}
      crumbs={crumbs}
      lead={
        <>
          {view.data ? <Lead view={view.data} /> : null}
          {meter.data === null || meter.data.place === "" ? null : <span>{meter.data.place}</span>}
        </>
      }
      actions={
        notScion ? null : (
          <>
            <button type="button" class="btn" onClick={again} data-testid="paths-again">
              <Icon name="refresh-cw" />
              {T.again}
            </button>
            {view.data?.drills ? (
              <a class="btn" href={`/meters/${id}/paths/drill`} data-testid="paths-drill">
                <Icon name="unplug" />
                {D.open}
              </a>
            ) : null}
          </>
        )
      }
    >
      {notScion ? (
        <section class="card">
          <Notice
            kind="empty"
            icon="inbox"
            title={T.notScion}
            text={T.notScionText}
            actions={
              <a class="btn" href={`/meters/${id}`}>
                {T.toMeter}
              </a>
            }
          />
        </section>
      ) : (
        <Load of={meter} what={t.meter.what} card>
          {(known) =>
            view.data === null ? (
              <div class="stack">
                <Load of={view} what={T.what} card>
                  {() => null}
                </Load>
                <RunsCard runs={runs} />
              </div>
            ) : (
              <Paths
                meter={known}
                view={view.data}
                runs={runs}
                onSaved={(saved) => {
                  view.patch(() => saved);
                  view.reload();
                }}
              />
            )
          }
        </Load>
      )}
    </ObjectPage>
  );
}

function Lead({ view }: { view: FenceView }) {
  const now = useNow(10_000);
  const active = view.paths.find((path) => path.active);
  return (
    <>
      {active === undefined ? (
        <Pill shape="todo">{T.noActive}</Pill>
      ) : (
        <Pill shape={active.refused === null ? "ok" : "warn"}>
          {T.active(active.latency_ms === null ? null : durationText(active.latency_ms))}
        </Pill>
      )}
      <span data-testid="paths-count">{T.count(view.known, view.allowed)}</span>
      {view.moved === null ? null : (
        <span class="t3" data-testid="paths-moved">
          {T.moved} <Stamp at={view.moved} now={now} />
        </span>
      )}
    </>
  );
}

function Paths({
  meter,
  view,
  runs,
  onSaved,
}: {
  meter: Meter;
  view: FenceView;
  runs: Parameters<typeof RunsCard>[0]["runs"];
  onSaved: (view: FenceView) => void;
}) {
  // Null while nothing was typed, so that the field follows what others save.
  const [typed, setTyped] = useState<string | null>(null);
  const [saves, setSaves] = useState(0);
  const saved = view.saved[0]?.fence ?? "";
  const text = typed ?? saved;
  const wanted = tidy(text);
  const dirty = wanted !== tidy(saved);

  const [still, setStill] = useState(wanted);
  useEffect(() => {
    const waits = setTimeout(() => setStill(wanted), STILL_MS);
    return () => clearTimeout(waits);
  }, [wanted]);
  const settled = dirty && still === wanted;
  const looked = useLoad<FenceView | null>(`preview/${meter.id}/${settled ? `of ${still}` : ""}`, (signal) =>
    settled ? fenceApi.preview(meter.id, still, signal) : Promise.resolve(null),
  );
  const current = settled && looked.waitingSince === null;
  const preview = current && looked.error === null ? looked.data : null;
  const shown = preview ?? view;
  return (
    <div class="grid">
      <div class="stack c8">
        <NetworkCard view={shown} unsaved={preview !== null} />
        <PathList view={shown} unsaved={preview !== null} />
        <AsList view={shown} />
      </div>
      <div class="stack c4">
        <FenceEditor
          key={saves}
          id={meter.id}
          place={placeOf(meter)}
          view={view}
          text={text}
          dirty={dirty}
          preview={preview}
          error={current ? looked.error : null}
          onText={setTyped}
          onSaved={(left) => {
            onSaved(left);
            setTyped(null);
            setSaves(saves + 1);
          }}
        />
        <SavedFences view={view} />
        <RunsCard runs={runs} />
      </div>
    </div>
  );
}
