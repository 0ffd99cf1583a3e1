import { useState } from "preact/hooks";
import { Card } from "../components/card.tsx";
import { Field } from "../components/controls.tsx";
import { Decided, NoDecision } from "../components/decision.tsx";
import { FirstSteps } from "../components/first-steps.tsx";
import { Icon } from "../components/icons.tsx";
import { Neighbours } from "../components/neighbours.tsx";
import { Num } from "../components/number.tsx";
import { Page } from "../components/page.tsx";
import { Failed, Loading, Notice, Refused } from "../components/states.tsx";
import { Pill, Status } from "../components/status.tsx";
import { toast } from "../components/toasts.tsx";
import { Heartbeat } from "../components/heartbeat.tsx";
import { ApiError } from "../lib/api.ts";
import type { Drill } from "../lib/drill-api.ts";
import { now } from "../lib/session.ts";
import { Bar } from "./campaigns/parts.tsx";
import { Recovery } from "./paths/timeline.tsx";

/** A drill whose link is cut, with one reading that was repeated and one that was lost. */
const DRILL: Drill = {
  number: 4,
  t: "2026-11-19T13:31:00Z",
  who: "operator",
  reason: "Drill of the quarter",
  link: null,
  how: "loud",
  mend_after_s: 2,
  state: "cut",
  answer: null,
  ended: null,
  summary: {
    readings: 30,
    lost: 1,
    retried: 1,
    usual_ms: 13.4,
    gap_ms: 127.5,
    gap_from_ms: 1_914,
    from: 0,
    to: 1,
    moved_ms: 41.7,
    back_ms: null,
  },
  timeline: {
    every_ms: 100,
    link: "2-ff00:0:211#1",
    to: "2-ff00:0:210#10",
    cut_ms: 2_000,
    mended_ms: null,
    anew_ms: null,
    paths: [
      { hops: "2-ff00:0:211 1>10 2-ff00:0:210 3>1 1-ff00:0:120", fingerprint: "28a1b9c3d2e4f506" },
      { hops: "2-ff00:0:211 2>11 2-ff00:0:210 1>2 1-ff00:0:110", fingerprint: "18a1b9c3d2e4f506" },
    ],
    readings: Array.from({ length: 30 }, (_, i) => ({
      due_ms: i * 100,
      asked_ms: i * 100,
      latency_ms: i === 25 ? null : i === 20 ? 41.7 : 13.4,
      path: i === 25 ? null : i < 20 ? 0 : 1,
      sent: i === 20 ? 2 : 1,
      anew: false,
      why: i === 25 ? "The meter did not answer." : null,
    })),
  },
};

/** One sheet of components and states to look at and to test; not a page of the product. */
export function StatesPage() {
  const [since] = useState(() => now() - 6_000);
  const nothing = (): void => undefined;
  return (
    <Page
      title="States and components"
      crumbs={[{ text: "States and components" }]}
      lead="One sheet to look at. Not a page of the product."
    >
      <div class="banner warn">
        <span class="st st-warn">
          <svg class="s" viewBox="0 0 12 12" aria-hidden="true">
            <use href="#s-warn" />
          </svg>
        </span>
        <span>
          <b class="strong">Values are from 14:31:22.</b> The connection dropped; trying again in 4 s.
        </span>
        <button type="button" class="btn sm">
          Try now
        </button>
      </div>
      <div class="grid stretch sheet">
        <Card id="words" title="Status words and shapes" class="c8">
          <p class="chips">
            <Pill shape="ok">Read</Pill>
            <Pill shape="warn">Late</Pill>
            <Pill shape="crit">Cover open</Pill>
            <Pill shape="off">Silent</Pill>
            <Pill shape="miss">Gap</Pill>
            <Pill shape="pend">Waits for approval</Pill>
            <Pill shape="run">Fetching</Pill>
            <Pill shape="info">Clock set</Pill>
            <Pill shape="todo">Not yet</Pill>
          </p>
          <div class="hr" />
          <p class="row wrap">
            <Status shape="ok">Read</Status>
            <Status shape="warn">Late 6 h</Status>
            <Status shape="crit">Cover open</Status>
            <Status shape="off">Silent 42 min</Status>
            <Status shape="miss">Gap 12 Nov</Status>
            <Status shape="pend">Order waits</Status>
            <Status shape="run">Fetching</Status>
            <Status shape="info">Clock set</Status>
            <Status shape="todo">New</Status>
          </p>
          <div class="hr" />
          <p class="row wrap">
            <span class="live" data-state="connecting">
              Connecting
            </span>
            <span class="live" data-state="live">
              Live
            </span>
            <span class="live" data-state="stale">
              Stale since 14:31:22
            </span>
            <span class="live" data-state="offline">
              Offline, values from 13:58
            </span>
          </p>
          <div class="hr" />
          <p class="row wrap">
            <button type="button" class="btn primary">
              Continue
            </button>
            <button type="button" class="btn">
              <Icon name="refresh-cw" />
              Read again
            </button>
            <button type="button" class="btn ghost">
              Discard
            </button>
            <button type="button" class="btn danger-quiet">
              <Icon name="unplug" />
              Disconnect…
            </button>
            <button type="button" class="btn danger">
              Approve and arm
            </button>
            <button type="button" class="btn" disabled>
              Not now
            </button>
            <button
              type="button"
              class="btn"
              onClick={() => toast("Saved meters.csv.")}
              data-testid="states-toast"
            >
              Say it
            </button>
          </p>
        </Card>
        <Card id="bars" title="How far many are" class="c8">
          <div class="col">
            <p class="t2">150 of 240 run it, 72 more hold it, 8 failed</p>
            <Bar
              counts={{
                meters: 240,
                waiting: 0,
                receiving: 6,
                asked: 4,
                verified: 72,
                active: 150,
                failed: 8,
              }}
            />
          </div>
        </Card>
        <Card id="form" title="Form with an error" class="c4">
          <div class="col">
            <Field
              id="f1"
              label="Meters per hour"
              error="At most 400 on this segment. Lower it or pick a faster medium."
            >
              <input class="input" id="f1" value="1200" aria-invalid="true" aria-describedby="f1-note" />
            </Field>
            <Field id="f2" label="Window" hint="In the meter's zone, Zurich">
              <input class="input" id="f2" value="22:00–05:00" aria-describedby="f2-note" />
            </Field>
          </div>
        </Card>
        <Card id="numbers" title="Numbers and strips" class="c4">
          <dl class="kv">
            <div>
              <dt>Grouped, copied plain</dt>
              <dd>
                <Num text="100412" />
              </dd>
            </div>
            <div>
              <dt>Register</dt>
              <dd>
                <Num text="18204.317" unit="kWh" />
              </dd>
            </div>
            <div>
              <dt>Delivered</dt>
              <dd>
                <Num text={"\u22123.12"} unit="kW" />
              </dd>
            </div>
            <div>
              <dt>30 days</dt>
              <dd>
                <Heartbeat
                  days={Array.from({ length: 30 }, (_, i) =>
                    i < 4 ? null : i === 12 ? 0 : i === 20 ? 620 : 1000,
                  )}
                />
              </dd>
            </div>
          </dl>
        </Card>
        <div class="stack c4">
          <Decided
            title="A decision that was taken"
            testid="states-decided"
            shape="ok"
            text="Sent as order 12."
            on={{ text: "Open the meter", href: "/states" }}
          />
        </div>
        <div class="stack c4">
          <NoDecision
            title="A decision that cannot be taken"
            cannot="It cannot be ordered now"
            why="Order 7 to switch this meter has not ended. Nothing was sent."
            action={{ text: "Look again", onAgain: nothing }}
          />
        </div>
        <Card id="refused" title="What was refused, and ways on" class="c4">
          <div class="col">
            <Refused text="Another drill is under way. Nothing was cut." testid="states-refused" />
            <Neighbours
              previous="/states"
              next="/states"
              texts={{ previous: "Previous meter", next: "Next meter" }}
              testid="states"
            />
          </div>
        </Card>
        <section class="card">
          <FirstSteps
            within
            icon="inbox"
            texts={{
              empty: "Nothing here yet",
              emptyText: "Two steps to begin.",
              emptySteps: [
                ["Make keys", "gridward keys generate keys.toml"],
                ["Start it", "gridward headend"],
              ],
            }}
          />
        </section>
        <div class="stack">
          <Recovery drill={DRILL} around_s={6} />
        </div>
        <section class="card c4" aria-label="Loading">
          <header>
            <h2>Registers</h2>
          </header>
          <Loading what="the registers" since={since} onCancel={nothing} />
        </section>
        <section class="card c4">
          <Notice
            kind="empty"
            icon="inbox"
            title="No meters yet"
            text="Meters are enrolled from a file, which the head end reads when it starts."
          />
        </section>
        <section class="card c4">
          <Failed
            error={new ApiError("broken", "", "store_failed", 500, null)}
            what="the registers"
            onRetry={nothing}
          />
        </section>
        <section class="card c4">
          <Failed
            error={new ApiError("offline", "", "offline", 0, null)}
            what="the registers"
            onRetry={nothing}
          />
        </section>
        <section class="card c4">
          <Failed
            error={new ApiError("forbidden", "", "forbidden", 403, null)}
            what="keys"
            onRetry={nothing}
          />
        </section>
        <section class="card c4">
          <Failed error={new ApiError("busy", "", "busy", 503, 10)} what="the registers" onRetry={nothing} />
        </section>
        <section class="card c4">
          <Notice
            kind="nomatch"
            icon="list-filter"
            title="Nothing matches"
            text="No meter is late, on feeder F7 and called “3.1”. Remove one filter."
            actions={
              <button type="button" class="btn">
                Clear filters
              </button>
            }
          />
        </section>
      </div>
    </Page>
  );
}
