import { useEffect, useRef, useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Field, Segments } from "../../components/controls.tsx";
import { Decision, placeTyped } from "../../components/decision.tsx";
import { ObjectPage } from "../../components/page.tsx";
import { Load, Notice, Refused } from "../../components/states.tsx";
import { Pill, Status, type Shape } from "../../components/status.tsx";
import { When } from "../../components/time.tsx";
import { toast } from "../../components/toasts.tsx";
import { useAct } from "../../lib/act.ts";
import { api, ApiError } from "../../lib/api.ts";
import {
  drillApi,
  type Drill,
  type DrillHow,
  type DrillLinks,
  type Drills,
  type DrillState,
  type NewDrill,
} from "../../lib/drill-api.ts";
import { isUnderWay } from "../../lib/drill.ts";
import { fenceApi } from "../../lib/fence-api.ts";
import { durationText } from "../../lib/format.ts";
import { useLiveEvent, useLoad, useNow, type Loaded } from "../../lib/hooks.ts";
import { placeOf } from "../../lib/place.ts";
import { navigate, place } from "../../lib/router.ts";
import { useStore } from "../../lib/store.ts";
import type { Meter } from "../../lib/types.ts";
import { drill as T } from "../../texts/drill.en.ts";
import { t } from "../../texts/en.ts";
import { paths as P } from "../../texts/paths.en.ts";
import { useReadings } from "./follow.ts";
import { NetworkCard, type Marked } from "./picture.tsx";
import { Recovery, RECOVERY } from "./timeline.tsx";

const SHAPES: Record<DrillState, Shape> = {
  waiting: "run",
  steady: "run",
  cut: "warn",
  mended: "run",
  done: "ok",
  stopped: "todo",
  failed: "crit",
  cut_off: "miss",
};

const SECONDS = [2, 5, 10, 30];
/** What is chosen at first, where so long is allowed. */
const SECONDS_FIRST = 5;
/** A drill that is under way is looked at again so often, should its events not come. */
const LOOK_MS = 1_000;

/** A link of a simulated network is cut while a meter is read, and what the readings went through. */
export function DrillPage({ id }: { id: string }) {
  const asked = useStore(place).query.get("number");
  const number = asked !== null && /^\d{1,9}$/.test(asked) ? Number(asked) : null;
  const meter = useLoad(`meter/${id}`, (signal) => api.meter(id, signal));
  const drills = useLoad(`drill/${id}`, (signal) => drillApi.view(id, null, signal));
  const one = useLoad<Drills | null>(`drill/${id}/${number ?? ""}`, (signal) =>
    number === null ? Promise.resolve(null) : drillApi.view(id, number, signal),
  );
  const paths = useLoad(`fence/${id}`, (signal) => fenceApi.view(id, signal));
  // Nothing is asked of a control that is not configured.
  const possible = drills.data !== null && drills.data.why_not === null;
  const links = useLoad<DrillLinks | null>(`drill-links/${id}/${String(possible)}`, (signal) =>
    possible ? drillApi.links(id, signal) : Promise.resolve(null),
  );
  useReadings(id, meter.data !== null, () => {
    paths.reload();
    links.reload();
  });
  const again = (): void => {
    drills.reload();
    if (number !== null) one.reload();
  };
  useLiveEvent<{ id: string }>("drill", (event) => {
    if (event.id === id) again();
  });
  const [link, setLink] = useState("");

  const latest = drills.data?.drills[0] ?? null;
  const running = latest !== null && isUnderWay(latest) ? latest : null;
  const under = running?.number ?? null;
  /** Whether one is begun in this page: its button to stop it takes the focus. */
  const begins = useRef(false);
  const looks = useRef(again);
  looks.current = again;
  const before = useRef<number | null>(null);
  useEffect(() => {
    const ended = before.current !== null && under === null;
    before.current = under;
    if (ended) {
      begins.current = false;
      // Other links may be cut or in use now.
      links.reload();
      // Whoever stood at the button that is gone goes on at what it came to.
      if (document.activeElement === document.body)
        document.getElementById(`h-${RECOVERY}`)?.focus({ preventScroll: true });
    }
    if (under === null) return undefined;
    const timer = setInterval(() => looks.current(), LOOK_MS);
    return () => clearInterval(timer);
  }, [under]);

  const shown = (number === null ? drills.data : one.data)?.shown ?? null;
  const name = meter.data?.name ?? t.meter.one;
  const crumbs = [
    { text: t.nav.fleet, href: "/fleet" },
    { text: name, href: `/meters/${id}` },
    { text: P.crumb, href: `/meters/${id}/paths` },
    { text: T.crumb },
  ];
  const notScion = paths.error?.code === "not_scion";
  const whyNot = drills.data?.why_not ?? (notScion ? P.notScionText : null);
  const around_s = links.data === null ? 0 : links.data.lead_s + links.data.tail_s;
  const found = (
    <Found
      drill={shown}
      around_s={around_s}
      none={
        number !== null
          ? { title: T.unknown, text: T.unknownText }
          : { title: T.none, text: whyNot === null ? T.noneText : T.noneCannot }
      }
    />
  );
  return (
    <ObjectPage
      of={meter}
      title={T.title(name)}
      what={t.meter.what}
      texts={t.meter}
      crumbs={crumbs}
      lead={
        <>
          <span data-testid="drill-state" data-state={shown?.state ?? "none"}>
            {shown === null ? null : <Pill shape={SHAPES[shown.state]}>{T.state[shown.state]}</Pill>}
          </span>
          {meter.data === null || meter.data.place === "" ? null : <span>{meter.data.place}</span>}
        </>
      }
      actions={
        <a class="btn" href={`/meters/${id}/paths`} data-testid="drill-to-paths">
          {T.toPaths}
        </a>
      }
    >
      <Load of={meter} what={t.meter.what} card>
        {(known) => (
          <Load of={drills} what={T.what} card>
            {(told) => (
              <div class="grid">
                <div class="stack c8">
                  {notScion ? null : (
                    <Load of={paths} what={P.what} card>
                      {(view) => (
                        <NetworkCard
                          view={view}
                          unsaved={false}
                          marked={marked(
                            number !== null || running !== null || link === "" ? shown : null,
                            links.data,
                            link,
                          )}
                        />
                      )}
                    </Load>
                  )}
                  {number === null ? (
                    found
                  ) : (
                    <Load of={one} what={T.what} card>
                      {() => found}
                    </Load>
                  )}
                </div>
                <div class="stack c4">
                  {running !== null ? (
                    <UnderWay
                      key={running.number}
                      id={id}
                      drill={running}
                      focused={begins.current}
                      onEnded={again}
                    />
                  ) : whyNot !== null ? (
                    <Card id="cannot" title={T.decide} testid="drill-cannot">
                      <p>
                        <Status shape="info">{whyNot}</Status>
                      </p>
                    </Card>
                  ) : (
                    <Decide
                      key={latest?.number ?? 0}
                      id={id}
                      meter={known}
                      links={links}
                      link={link}
                      onLink={setLink}
                      onBegin={async (order) => {
                        // Its event may come before the answer.
                        begins.current = true;
                        const drill = await drillApi.begin(id, order).catch((cause: unknown) => {
                          begins.current = false;
                          throw cause;
                        });
                        setLink("");
                        toast(T.begun);
                        // What the head end said of it is shown until it says more.
                        drills.patch((old) => ({
                          ...old,
                          shown: drill,
                          drills: [drill, ...old.drills.filter((it) => it.number !== drill.number)],
                        }));
                        drills.reload();
                        if (number !== null) navigate(`/meters/${id}/paths/drill`);
                      }}
                    />
                  )}
                  <History id={id} drills={told.drills} shown={shown} />
                </div>
              </div>
            )}
          </Load>
        )}
      </Load>
    </ObjectPage>
  );
}

/** What a drill came to so far, or why there is none. */
function Found({
  drill,
  around_s,
  none,
}: {
  drill: Drill | null;
  around_s: number;
  none: { title: string; text: string };
}) {
  if (drill === null)
    return (
      <section class="card" data-testid="drill-none">
        <Notice kind="empty" icon="inbox" title={none.title} text={none.text} />
      </section>
    );
  return (
    <>
      {drill.answer === null || drill.state === "done" ? null : (
        <section class="card pad" data-testid="drill-answer">
          <Status shape={SHAPES[drill.state]}>{drill.answer}</Status>
        </section>
      )}
      <Recovery drill={drill} around_s={around_s} />
    </>
  );
}

/** The link that the picture marks: that of the drill, where there is one; else the one that would be cut. */
function marked(drill: Drill | null, links: DrillLinks | null, link: string): Marked | null {
  const line = drill?.timeline;
  if (line?.link && line.to) return { ends: [line.link, line.to], text: P.legend.mark };
  const name = link === "" ? (links?.chosen ?? null) : link;
  const found = links?.links.find((one) => one.link === name);
  return found === undefined ? null : { ends: [found.link, found.to], text: P.legend.markNext };
}

function UnderWay({
  id,
  drill,
  focused,
  onEnded,
}: {
  id: string;
  drill: Drill;
  /** Whether it stands where the form was that has begun it, and takes the focus from it. */
  focused: boolean;
  /** Told where it has ended meanwhile. */
  onEnded: () => void;
}) {
  const { busy, refused, run } = useAct();
  const [stopped, setStopped] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (focused) button.current?.focus();
  }, []);
  const stop = (): Promise<void> =>
    run(async () => {
      try {
        await drillApi.stop(id);
        toast(T.stopped);
      } catch (cause) {
        if (!(cause instanceof ApiError && cause.code === "no_drill")) throw cause;
        onEnded();
      }
      setStopped(true);
    });
  const rests = busy || stopped;
  return (
    <Card id="under-way" title={T.underWay} testid="drill-under-way">
      <div class="col">
        <p aria-live="polite">
          <Status shape={SHAPES[drill.state]}>{T.state[drill.state]}</Status>
        </p>
        <p class="t3">{T.mendsAfter(drill.mend_after_s)}</p>
        <Refused text={refused} testid="drill-stop-failed" />
        <button
          type="button"
          class="btn full"
          ref={button}
          disabled={rests}
          onClick={() => void stop()}
          data-testid="drill-stop"
        >
          {rests ? T.stopping : T.stop}
        </button>
      </div>
    </Card>
  );
}

function Decide({
  id,
  meter,
  links,
  link,
  onLink,
  onBegin,
}: {
  id: string;
  meter: Meter;
  links: Loaded<DrillLinks | null>;
  link: string;
  onLink: (link: string) => void;
  onBegin: (order: NewDrill) => Promise<void>;
}) {
  const [how, setHow] = useState<DrillHow>("silent");
  const [picked, setPicked] = useState<number | null>(null);
  const told = links.data;
  if (told === null) {
    return (
      <Card id="decide" title={T.decide} testid="drill-links" flush>
        <Load of={links} what={T.whatLinks}>
          {() => null}
        </Load>
      </Card>
    );
  }
  const name = link === "" ? told.chosen : link;
  const chosen = told.links.find((one) => one.link === name);
  const none = chosen !== undefined && chosen.leaves === 0;
  const most = told.mend_after_s_max;
  const offered = SECONDS.filter((one) => one <= most);
  const seconds = picked ?? offered.filter((one) => one <= SECONDS_FIRST).at(-1) ?? most;
  return (
    <Decision
      name="drill"
      title={T.decide}
      reason
      typed={none ? placeTyped(placeOf(meter)) : undefined}
      give={T.begin}
      giving={T.beginning}
      giveTestid="drill-begin"
      danger={none}
      cancel={{ text: T.back, href: `/meters/${id}/paths` }}
      onGive={(reason, confirm) =>
        onBegin({
          link: link === "" ? null : link,
          how,
          mend_after_s: seconds,
          reason,
          ...(none ? { confirm } : {}),
        })
      }
    >
      <Field
        id="drill-link"
        label={T.link}
        hint={
          chosen === undefined ? (
            T.leavesUnknown
          ) : none ? (
            <Status shape="warn">{T.leavesNone}</Status>
          ) : (
            T.leaves(chosen.leaves, told.allowed)
          )
        }
      >
        <select
          class="select"
          id="drill-link"
          value={link}
          aria-describedby="drill-link-note"
          onChange={(event) => onLink(event.currentTarget.value)}
          data-testid="drill-link"
        >
          <option value="">{T.inUse(told.chosen)}</option>
          {told.links.map((one) => {
            const text = T.one(one.link, one.to, one.latency_ms);
            return (
              <option key={one.link} value={one.link} disabled={one.down}>
                {one.down ? T.isDown(text) : text}
              </option>
            );
          })}
        </select>
      </Field>
      <div class="field">
        <span class="label">{T.how}</span>
        <Segments
          label={T.how}
          value={how}
          options={(["silent", "loud"] as const).map((value) => ({ value, text: T.hows[value] }))}
          onChange={(value) => setHow(value === "loud" ? "loud" : "silent")}
          describedBy="drill-how-note"
          testid="drill-how"
        />
        <p class="hint" id="drill-how-note">
          {T.howHint[how]}
        </p>
      </div>
      <div class="field">
        <span class="label">{T.seconds}</span>
        <Segments
          label={T.seconds}
          value={String(seconds)}
          options={(offered.length === 0 ? [most] : offered).map((one) => ({
            value: String(one),
            text: T.second(one),
          }))}
          onChange={(value) => setPicked(Number(value))}
          testid="drill-seconds"
        />
      </div>
      <div class="drill-steps" data-testid="drill-steps">
        <h3>{T.steps}</h3>
        <ol>
          <li>{T.step.read(told.every_ms, told.lead_s)}</li>
          <li>
            {T.step.cut(T.cutWhich(name), seconds)} {T.howHint[how]}
          </li>
          <li>{T.step.mend}</li>
          <li>{T.step.tail(told.tail_s)}</li>
        </ol>
      </div>
    </Decision>
  );
}

function History({ id, drills, shown }: { id: string; drills: Drill[]; shown: Drill | null }) {
  const now = useNow(10_000);
  return (
    <Card id="history" title={T.history} testid="drill-history" flush>
      {drills.length === 0 ? (
        <p class="calm t3">{T.historyNone}</p>
      ) : (
        <ul class="list ruled path-list">
          {drills.map((one) => {
            const { readings, lost, gap_ms: gap } = one.summary;
            return (
              <li key={one.number} data-testid="drill-past" data-state={one.state}>
                <Status shape={SHAPES[one.state]} />
                <div class="t">
                  <a
                    href={`/meters/${id}/paths/drill?number=${one.number}`}
                    aria-current={one.number === shown?.number ? "true" : undefined}
                  >
                    {T.number(one.number)}
                  </a>
                  <span>
                    {T.state[one.state]}
                    {readings === 0 ? null : ` · ${T.lostOf(lost, readings)}`}
                    {gap === null ? null : ` · ${T.gapOf(durationText(gap))}`}
                  </span>
                  <span>
                    {one.who}
                    <span class="t3"> · {one.reason}</span>
                  </span>
                </div>
                <When at={one.t} now={now} />
              </li>
            );
          })}
        </ul>
      )}
    </Card>
  );
}
