import { Card } from "../../components/card.tsx";
import { Icon } from "../../components/icons.tsx";
import { Load } from "../../components/states.tsx";
import { Status, type Shape } from "../../components/status.tsx";
import { Stamp, When } from "../../components/time.tsx";
import type { FencePath, FenceView } from "../../lib/fence-api.ts";
import { durationText } from "../../lib/format.ts";
import { useNow, type Loaded } from "../../lib/hooks.ts";
import type { PathRun } from "../../lib/types.ts";
import { paths as T } from "../../texts/paths.en.ts";

const SHAPES: Record<keyof typeof T.state, Shape> = { on: "ok", in: "todo", out: "off", onOut: "warn" };

function stateOf(path: FencePath): keyof typeof T.state {
  if (path.refused === null) return path.active ? "on" : "in";
  return path.active ? "onOut" : "out";
}

/** The ASes of a path in order. */
export function Hops({ hops, label }: { hops: string; label: string }) {
  const words = hops.split(/\s+/);
  return (
    <ol class="receipt" aria-label={label}>
      {words
        .filter((_, i) => i % 2 === 0)
        .map((as, i) => (
          <li key={`${i}-${as}`} title={i === 0 ? undefined : words[2 * i - 1]}>
            {i > 0 ? <Icon name="chevron-right" /> : null}
            <span class="as">{as}</span>
          </li>
        ))}
    </ol>
  );
}

/** Every path that the daemon tells, the allowed ones first, in the order in which they are preferred. */
export function PathList({ view, unsaved }: { view: FenceView; unsaved: boolean }) {
  return (
    <Card
      id="paths"
      title={T.all}
      testid="paths-list"
      aside={unsaved ? <span class="t3">{T.unsaved}</span> : null}
      flush
    >
      <ul class="list ruled path-list">
        {view.paths.map((path, i) => {
          const state = stateOf(path);
          return (
            <li key={path.fingerprint} data-testid="path-row" data-state={state}>
              <div class="t">
                <b class="strong">{T.path(i + 1)}</b>
                <Hops hops={path.hops} label={T.path(i + 1)} />
                <span>
                  {T.hops(path.ases.length - 1)}
                  {" · "}
                  {path.latency_ms === null ? T.noLatency : T.oneWay(durationText(path.latency_ms))}
                  <span class="t3 mono"> · {path.fingerprint.slice(0, 8)}</span>
                </span>
                {path.refused === null ? null : <span class="why">{path.refused}</span>}
              </div>
              <span class="said">
                <Status shape={SHAPES[state]}>{T.state[state]}</Status>
              </span>
            </li>
          );
        })}
      </ul>
    </Card>
  );
}

/** The ASes on all paths with the place and the note that they tell of themselves. */
export function AsList({ view }: { view: FenceView }) {
  return (
    <Card id="ases" title={T.ases} testid="paths-ases" aside={<span class="t3">{T.asesTold}</span>} flush>
      <ul class="list ruled path-list">
        {view.about.map((one) => (
          <li key={one.isd_as} data-testid="path-as">
            <div class="t">
              <b class="strong mono">{one.isd_as}</b>
            </div>
            <div class="t">
              {one.places.length === 0 ? (
                <span class="t3">{T.noPlace}</span>
              ) : (
                <span class="told">{one.places.join(", ")}</span>
              )}
              {one.note === null ? null : <span class="why">{one.note}</span>}
            </div>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** Which paths readings took, the latest first. */
export function RunsCard({ runs }: { runs: Loaded<{ total: number; rows: PathRun[] }> }) {
  const now = useNow(10_000);
  return (
    <Card id="runs" title={T.runs} testid="paths-runs" flush>
      <Load of={runs} what={T.whatRuns}>
        {({ rows }) =>
          rows.length === 0 ? (
            <p class="calm t3">{T.noRuns}</p>
          ) : (
            <ul class="list ruled path-list">
              {rows.map((run) => {
                return (
                  <li key={run.first} data-testid="path-run">
                    <div class="t">
                      {run.sent === null ? (
                        <span>{T.unknown}</span>
                      ) : (
                        <Hops hops={run.sent.hops} label={T.runs} />
                      )}
                      <span>{T.run(run.associations)}</span>
                    </div>
                    <span class="when">
                      <Stamp at={run.first} now={now} />
                      {" – "}
                      <Stamp at={run.last} now={now} />
                    </span>
                  </li>
                );
              })}
            </ul>
          )
        }
      </Load>
    </Card>
  );
}

/** Fences that were saved: when, by whom, why. */
export function SavedFences({ view }: { view: FenceView }) {
  const now = useNow(10_000);
  return (
    <Card id="saved" title={T.history} testid="fence-history" flush>
      {view.saved.length === 0 ? (
        <p class="calm t3">{T.none}</p>
      ) : (
        <ul class="list ruled saved-fences">
          {view.saved.map((one) => {
            return (
              <li key={one.at} data-testid="fence-saved">
                <div class="t">
                  {one.fence === null ? T.asEnrolled : <code class="fence-text">{one.fence}</code>}
                  <span>
                    {T.leaves(one.allowed, one.known)} · {one.who}
                    <span class="t3"> · {one.reason}</span>
                  </span>
                </div>
                <When at={one.at} now={now} />
              </li>
            );
          })}
        </ul>
      )}
    </Card>
  );
}
