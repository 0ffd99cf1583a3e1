import { useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Field, Segments } from "../../components/controls.tsx";
import { Decision } from "../../components/decision.tsx";
import { ObjectPage } from "../../components/page.tsx";
import { Load, Notice } from "../../components/states.tsx";
import { Pill, Status, type Shape } from "../../components/status.tsx";
import { Time } from "../../components/time.tsx";
import { toast } from "../../components/toasts.tsx";
import { api } from "../../lib/api.ts";
import {
  drillApi,
  type Drill,
  type DrillHow,
  type DrillLinks,
  type DrillState,
} from "../../lib/drill-api.ts";
import { isOn } from "../../lib/drill.ts";
import { fenceApi } from "../../lib/fence-api.ts";
import { useLiveEvent, useLoad, useNow, useTopic, type Loaded } from "../../lib/hooks.ts";
import { navigate, place } from "../../lib/router.ts";
import { useStore } from "../../lib/store.ts";
import { parse } from "../../lib/time.ts";
import type { Meter } from "../../lib/types.ts";
import { drill as T } from "../../texts/drill.en.ts";
import { t } from "../../texts/en.ts";
import { paths as P } from "../../texts/paths.en.ts";
import { NetworkCard } from "./picture.tsx";
import { ms, Recovery } from "./timeline.tsx";

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

/** A link of a simulated network is cut while a meter is read, and what the readings went through. */
export function DrillPage({ id }: { id: string }) {
  const asked = useStore(place).query.get("number");
  const number = asked !== null && /^\d{1,9}$/.test(asked) ? Number(asked) : null;
  const meter = useLoad(`meter/${id}`, (signal) => api.meter(id, signal));
  const drills = useLoad(`drill/${id}/${number ?? ""}`, (signal) => drillApi.view(id, number, signal));
  const paths = useLoad(`fence/${id}`, (signal) => fenceApi.view(id, signal));
  // Nothing is asked of a control that is not configured.
  const possible = drills.data !== null && drills.data.why_not === null;
  const links = useLoad<DrillLinks | null>(`drill-links/${id}/${String(possible)}`, (signal) =>
    possible ? drillApi.links(id, signal) : Promise.resolve(null),
  );
  useTopic(meter.data === null ? null : `meter:${id}`);
  useLiveEvent<{ id: string }>("drill", (event) => {
    if (event.id === id) drills.reload();
  });
  const [link, setLink] = useState("");

  const name = meter.data?.name ?? t.meter.one;
  const crumbs = [
    { text: t.nav.fleet, href: "/fleet" },
    { text: name, href: `/meters/${id}` },
    { text: P.crumb, href: `/meters/${id}/paths` },
    { text: T.crumb },
  ];
  const shown = drills.data?.shown ?? null;
  const latest = drills.data?.drills[0] ?? null;
  const running = latest !== null && isOn(latest) ? latest : null;
  const whyNot = drills.data?.why_not ?? (paths.error?.code === "not_scion" ? P.notScionText : null);
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
      {drills.data === null || meter.data === null ? (
        <section class="card">
          <Load of={drills} what={T.what}>
            {() => null}
          </Load>
        </section>
      ) : (
        <div class="grid">
          <div class="stack c8">
            {paths.data === null ? null : (
              <NetworkCard
                view={paths.data}
                unsaved={false}
                marked={marked(shown, running, links.data, link)}
              />
            )}
            {shown === null ? (
              <section class="card" data-testid="drill-none">
                <Notice
                  kind="empty"
                  icon="inbox"
                  title={number === null ? T.none : T.unknown}
                  text={number === null ? (whyNot ?? T.noneText) : T.unknownText}
                />
              </section>
            ) : (
              <>
                {shown.answer === null || shown.state === "done" ? null : (
                  <section class="card pad" data-testid="drill-answer">
                    <Status shape={SHAPES[shown.state]}>{shown.answer}</Status>
                  </section>
                )}
                <Recovery drill={shown} />
              </>
            )}
          </div>
          <div class="stack c4">
            {running !== null ? (
              <UnderWay id={id} drill={running} />
            ) : whyNot !== null ? (
              <Card id="cannot" title={T.decide} testid="drill-cannot">
                <p>
                  <Status shape="info">{whyNot}</Status>
                </p>
              </Card>
            ) : (
              <Decide
                id={id}
                meter={meter.data}
                links={links}
                link={link}
                onLink={setLink}
                onBegun={() => {
                  toast(T.begun);
                  if (number === null) drills.reload();
                  else navigate(`/meters/${id}/paths/drill`);
                }}
              />
            )}
            <History id={id} drills={drills.data.drills} shown={shown} />
          </div>
        </div>
      )}
    </ObjectPage>
  );
}

/** The link that the picture marks: that of the drill that is looked at, else the one that would be cut. */
function marked(
  shown: Drill | null,
  running: Drill | null,
  links: DrillLinks | null,
  link: string,
): [string, string] | null {
  const line = shown?.timeline;
  if (running !== null && line?.link && line.to) return [line.link, line.to];
  const name = link === "" ? (links?.chosen ?? null) : link;
  const found = links?.links.find((one) => one.link === name);
  if (found !== undefined) return [found.link, found.to];
  return line?.link && line.to ? [line.link, line.to] : null;
}

function UnderWay({ id, drill }: { id: string; drill: Drill }) {
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState(false);
  const stop = async (): Promise<void> => {
    setBusy(true);
    const taken = await drillApi.stop(id).catch(() => false);
    if (taken) toast(T.stopped);
    else setBusy(false);
    setFailed(!taken);
  };
  return (
    <Card id="under-way" title={T.underWay} testid="drill-under-way">
      <div class="col">
        <p aria-live="polite">
          <Status shape={SHAPES[drill.state]}>{T.state[drill.state]}</Status>
        </p>
        <p class="t3">{T.mendsAfter(drill.mend_after_s)}</p>
        {failed ? (
          <p class="err" role="alert" data-testid="drill-stop-failed">
            <Status shape="crit">{T.stopFailed}</Status>
          </p>
        ) : null}
        <button
          type="button"
          class="btn full"
          disabled={busy}
          onClick={() => void stop()}
          data-testid="drill-stop"
        >
          {busy ? T.stopping : T.stop}
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
  onBegun,
}: {
  id: string;
  meter: Meter;
  links: Loaded<DrillLinks | null>;
  link: string;
  onLink: (link: string) => void;
  onBegun: () => void;
}) {
  const [how, setHow] = useState<DrillHow>("silent");
  const [seconds, setSeconds] = useState(5);
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
  const confirms = meter.place === "" ? meter.name : meter.place;
  const o = t.outlets;
  return (
    <Decision
      name="drill"
      title={T.decide}
      reason={{ label: T.reason, hint: o.reasonHint, short: o.reasonShort }}
      typed={
        none
          ? {
              part: "place",
              label: o.typePlace,
              hint: o.placeHint(confirms),
              wrong: o.placeWrong(confirms),
              is: confirms,
            }
          : undefined
      }
      give={T.begin}
      giving={T.beginning}
      giveTestid="drill-begin"
      danger={none}
      cancel={{ text: T.back, href: `/meters/${id}/paths` }}
      onGive={async (reason) => {
        await drillApi.begin(id, link === "" ? null : link, how, seconds, reason);
        onBegun();
      }}
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
          testid="drill-how"
        />
        <p class="hint">{T.howHint[how]}</p>
      </div>
      <div class="field">
        <span class="label">{T.seconds}</span>
        <Segments
          label={T.seconds}
          value={String(seconds)}
          options={SECONDS.filter((one) => one <= told.mend_after_s_max).map((one) => ({
            value: String(one),
            text: T.second(one),
          }))}
          onChange={(value) => setSeconds(Number(value))}
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
            const at = parse(one.t);
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
                    {gap === null ? null : ` · ${T.gapOf(ms(gap))}`}
                  </span>
                  <span>
                    {one.who}
                    <span class="t3"> · {one.reason}</span>
                  </span>
                </div>
                {at === null ? null : (
                  <span class="when">
                    <Time at={at} now={now} />
                  </span>
                )}
              </li>
            );
          })}
        </ul>
      )}
    </Card>
  );
}
