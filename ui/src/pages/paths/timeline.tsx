import type { ComponentChildren } from "preact";
import { Card } from "../../components/card.tsx";
import { Row } from "../../components/kv.tsx";
import { NoValue } from "../../components/number.tsx";
import { Status, type Shape } from "../../components/status.tsx";
import { Table } from "../../components/table.tsx";
import type { Drill, DrillSummary, DrillTimeline } from "../../lib/drill-api.ts";
import { fateOf, isUnderWay, lengthOf, letter, stretches, ticks, type Fate } from "../../lib/drill.ts";
import { durationText } from "../../lib/format.ts";
import { drill as T } from "../../texts/drill.en.ts";
import { Hops } from "./list.tsx";

const SHAPES: Record<Fate, Shape> = { usual: "ok", late: "warn", repeated: "warn", lost: "off" };
/** Names the card of what readings went through: its heading is `h-` and this. */
export const RECOVERY = "recovery";
const LANE = 40;
const TOP = 26;
const BOTTOM = 46;
/** More paths than colours: they begin anew, and the lane tells them apart. */
const COLOURS = 5;

/** About as wide as a letter of the picture is, in its own units. */
const LETTER = 5.5;

const seconds = (value: number): string => (value / 1_000).toFixed(1);

/** What readings went through while a link was cut: a picture, what it comes to, and all of it as a table. */
export function Recovery({
  drill,
  around_s,
}: {
  drill: Drill;
  /** How long is read before the cut and after it, in seconds; 0 where that is not known. */
  around_s: number;
}) {
  const { timeline, summary } = drill;
  if (timeline === null) return null;
  // As long as it is on its way the axis has its whole length, so that nothing moves but what comes.
  const least = isUnderWay(drill) ? (drill.mend_after_s + around_s) * 1_000 : 0;
  return (
    <>
      <Card
        id={RECOVERY}
        focusable
        title={T.result}
        testid="drill-recovery"
        aside={<span class="t3">{T.number(drill.number)}</span>}
        footer={<Legend />}
      >
        {timeline.readings.length === 0 ? (
          <p class="t3">{T.noReadings}</p>
        ) : (
          <>
            <Drawing class="drill-line only-wide" width={640} left={92} {...{ least, timeline, summary }} />
            <Drawing class="drill-line only-narrow" width={256} left={76} {...{ least, timeline, summary }} />
          </>
        )}
      </Card>
      <Summary drill={drill} timeline={timeline} />
      {timeline.readings.length === 0 ? null : <Rows timeline={timeline} />}
    </>
  );
}

function Legend() {
  return (
    <ul class="legend">
      {(["answered", "repeated", "lost", "cut", "gap"] as const).map((what) => (
        <li key={what}>
          <svg viewBox="0 0 16 10" class="drill-line" aria-hidden="true" focusable="false">
            {what === "answered" ? <path class="dr-tail dr-p0" d="M3 5H15" /> : null}
            {what === "answered" ? <path class="dr-dot dr-p0" d="M3 5h.01" /> : null}
            {what === "repeated" ? <path class="dr-ring" d={ring(8, 5)} /> : null}
            {what === "lost" ? <path class="dr-lost" d={cross(8, 5)} /> : null}
            {what === "cut" ? <rect class="dr-band" width="16" height="10" /> : null}
            {what === "gap" ? <path class="dr-gap" d="M1 2V8M1 5H15M15 2V8" /> : null}
          </svg>
          {T.legend[what]}
        </li>
      ))}
    </ul>
  );
}

/** Where words begin, end or have their middle. */
interface Words {
  x: number;
  anchor: "start" | "middle" | "end";
}

const at = (value: number): string => value.toFixed(1);
const ring = (x: number, y: number): string => `M${at(x - 4.5)} ${at(y)}a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0`;
const cross = (x: number, y: number): string =>
  `M${at(x - 3.5)} ${at(y - 3.5)}l7 7M${at(x - 3.5)} ${at(y + 3.5)}l7-7`;

/** Readings as dots where they were due, in a lane for each path, with a line to their answer. */
function Drawing({
  class: name,
  width,
  left,
  least,
  timeline,
  summary,
}: {
  class: string;
  width: number;
  left: number;
  /** How long the axis is at least, in milliseconds. */
  least: number;
  timeline: DrillTimeline;
  summary: DrillSummary;
}) {
  const { readings, every_ms } = timeline;
  const length = lengthOf(timeline, least);
  const last = readings.at(-1)?.due_ms ?? 0;
  const lost = readings.some((one) => one.latency_ms === null);
  const untold = readings.some((one) => one.latency_ms !== null && one.path === null);
  const lanes = timeline.paths.length + (untold ? 1 : 0) + (lost ? 1 : 0);
  const height = TOP + lanes * LANE + BOTTOM;
  const x = (time: number): number => left + ((width - left - 10) * time) / length;
  const laneOf = (path: number | null): number => path ?? timeline.paths.length;
  const y = (lane: number): number => TOP + (lane + 0.5) * LANE;
  const floor = TOP + lanes * LANE;
  const labels = [
    ...timeline.paths.map((_, i) => T.lane(letter(i))),
    ...(untold ? [T.laneUnknown] : []),
    ...(lost ? [T.laneLost] : []),
  ];
  const dots: string[] = [];
  const tails: string[] = [];
  let rings = "";
  let lostMarks = "";
  for (const one of readings) {
    const from = x(one.due_ms);
    if (one.latency_ms === null) {
      lostMarks += cross(from, y(lanes - 1));
      continue;
    }
    const lane = laneOf(one.path);
    dots[lane] = `${dots[lane] ?? ""}M${at(from)} ${at(y(lane))}h.01`;
    const to = x(one.due_ms + one.latency_ms);
    if (to - from > 1) tails[lane] = `${tails[lane] ?? ""}M${at(from)} ${at(y(lane))}H${at(to)}`;
    if (fateOf(one, every_ms) === "repeated") rings += ring(from, y(lane));
  }
  const cut = timeline.cut_ms;
  const { gap_ms: gap, gap_from_ms: gapFrom } = summary;
  const moved =
    summary.from === null || summary.to === null || summary.moved_ms === null
      ? null
      : T.movedFrom(letter(summary.from), letter(summary.to), durationText(summary.moved_ms));
  const said = T.picture(summary.readings, summary.lost, gap === null ? null : durationText(gap), moved);
  // Words stand right of what they name where there is room, else left of it, else within it.
  const words = (text: string, right: number, begin = right): Words => {
    const room = text.length * LETTER + 4;
    if (x(right) + room <= width) return { x: x(right) + 4, anchor: "start" };
    if (x(begin) >= room) return { x: x(begin) - 4, anchor: "end" };
    return { x: (x(right) + x(begin)) / 2, anchor: "middle" };
  };
  const cutWords = cut === null ? null : { x: x(cut) - 4, anchor: "end" as const };
  const anewWords = timeline.anew_ms === null ? null : words(T.anew, timeline.anew_ms);
  const gapText = gap === null ? "" : T.gap(durationText(gap));
  const gapWords = gap === null || gapFrom === null ? null : words(gapText, gapFrom + gap, gapFrom);
  return (
    <svg class={name} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={said} data-lanes={lanes}>
      {cut === null ? null : (
        <g data-testid="drill-band">
          <rect
            class="dr-band"
            x={x(cut)}
            y={TOP - 6}
            width={Math.max(1, x(timeline.mended_ms ?? Math.max(cut, last)) - x(cut))}
            height={floor - TOP + 6}
          />
          <text class="dr-word" x={cutWords?.x} y={TOP - 12} text-anchor={cutWords?.anchor}>
            {T.cutBand}
          </text>
        </g>
      )}
      {labels.map((label, lane) => (
        <g key={lane}>
          <path class="dr-lane" d={`M${left} ${y(lane)}H${width - 10}`} />
          <text class="dr-label" x={left - 10} y={y(lane) + 4} text-anchor="end">
            {label}
          </text>
        </g>
      ))}
      {timeline.anew_ms === null ? null : (
        <g>
          <path class="dr-anew" d={`M${at(x(timeline.anew_ms))} ${TOP - 6}V${floor}`} />
          <text class="dr-word" x={anewWords?.x} y={TOP - 12} text-anchor={anewWords?.anchor}>
            {T.anew}
          </text>
        </g>
      )}
      {tails.map((d, lane) => (
        <path key={lane} class={`dr-tail dr-p${lane % COLOURS}`} d={d} />
      ))}
      {dots.map((d, lane) => (
        <path key={lane} class={`dr-dot dr-p${lane % COLOURS}`} d={d} data-testid="drill-dots" />
      ))}
      {rings === "" ? null : <path class="dr-ring" d={rings} />}
      {lostMarks === "" ? null : <path class="dr-lost" d={lostMarks} />}
      {gap === null || gapFrom === null || gap <= every_ms * 1.5 ? null : (
        <g data-testid="drill-gap">
          <path
            class="dr-gap"
            d={`M${at(x(gapFrom))} ${floor + 3}v8M${at(x(gapFrom))} ${floor + 7}H${at(x(gapFrom + gap))}M${at(x(gapFrom + gap))} ${floor + 3}v8`}
          />
          <text class="dr-word dr-over" x={gapWords?.x} y={floor + 11} text-anchor={gapWords?.anchor}>
            {gapText}
          </text>
        </g>
      )}
      <path class="dr-axis" d={`M${left} ${floor + 18}H${width - 10}`} />
      {ticks(length)
        .filter((_, i) => width > 500 || i % 2 === 0)
        .map((time) => (
          <g key={time}>
            <path class="dr-axis" d={`M${at(x(time))} ${floor + 18}v4`} />
            <text class="dr-tick" x={x(time)} y={floor + 36} text-anchor="middle">
              {T.axis(String(time / 1_000))}
            </text>
          </g>
        ))}
    </svg>
  );
}

function Summary({ drill, timeline }: { drill: Drill; timeline: DrillTimeline }) {
  const { summary: found } = drill;
  const value = (time: number | null) => (time === null ? <NoValue /> : durationText(time));
  const rows: [keyof typeof T.rows, ComponentChildren][] = [
    [
      "link",
      timeline.link === null || timeline.cut_ms === null ? (
        <span class="t3">{T.notCut}</span>
      ) : (
        <>
          <span class="mono">{[timeline.link, timeline.to].filter((end) => end !== null).join(" – ")}</span>
          {` ${T.howSaid[drill.how]}, ${T.second(drill.mend_after_s)}`}
        </>
      ),
    ],
    ["readings", String(found.readings)],
    [
      "lost",
      <Status shape={found.lost === 0 ? "ok" : "crit"}>
        {found.lost === 0 ? T.noneOf : String(found.lost)}
      </Status>,
    ],
    ["retried", found.retried === 0 ? T.noneOf : String(found.retried)],
    ["usual", value(found.usual_ms)],
    ["gap", value(found.gap_ms)],
  ];
  if (timeline.cut_ms !== null) {
    const moved = found.from !== null && found.to !== null;
    rows.push([
      "moved",
      moved ? T.movedTo(letter(found.from ?? 0), letter(found.to ?? 0)) : <span class="t3">{T.stayed}</span>,
    ]);
    if (moved && found.moved_ms !== null) rows.push(["first", T.afterCut(durationText(found.moved_ms))]);
    if (moved && (found.back_ms !== null || !isUnderWay(drill)))
      rows.push([
        "back",
        found.back_ms === null ? (
          <span class="t3">{T.notBack}</span>
        ) : timeline.mended_ms === null ? (
          T.atTime(seconds(found.back_ms))
        ) : (
          T.afterMend(seconds(found.back_ms - timeline.mended_ms))
        ),
      ]);
  }
  return (
    <Card id="summary" title={T.number(drill.number)} testid="drill-summary">
      <dl class="kv">
        {rows.map(([name, what]) => (
          <Row key={name} name={T.rows[name]} testid={`drill-row-${name}`}>
            {what}
          </Row>
        ))}
      </dl>
    </Card>
  );
}

/** The same as a table: readings one after the other of the same path and fate are one row. */
function Rows({ timeline }: { timeline: DrillTimeline }) {
  return (
    <Card id="rows" title={T.table} testid="drill-rows" flush>
      <Table
        caption={T.table}
        columns={[
          T.columns.when,
          { text: T.columns.count, class: "r hide-n" },
          T.columns.fate,
          T.columns.path,
          { text: T.columns.worst, class: "r" },
        ]}
      >
        {stretches(timeline).map((row) => (
          <tr key={row.from} data-testid="drill-stretch" data-state={row.fate}>
            <th scope="row">{T.span(seconds(row.from), seconds(row.to))}</th>
            <td class="r hide-n">{row.count}</td>
            <td class="wr">
              <Status shape={SHAPES[row.fate]}>{T.fate[row.fate]}</Status>
              {row.anew ? <span class="sub"> {T.withAnew}</span> : null}
              {row.why === null ? null : <span class="sub"> {row.why}</span>}
            </td>
            <td>{row.path === null ? <NoValue /> : letter(row.path)}</td>
            <td class="r">{row.worst === null ? <NoValue /> : durationText(row.worst)}</td>
          </tr>
        ))}
      </Table>
      {timeline.paths.length === 0 ? null : (
        <ul class="list ruled path-list" aria-label={T.paths}>
          {timeline.paths.map((path, i) => (
            <li key={path.fingerprint} data-testid="drill-path">
              <div class="t">
                <b class="strong">{T.lane(letter(i))}</b>
                <Hops hops={path.hops} label={T.lane(letter(i))} />
              </div>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
