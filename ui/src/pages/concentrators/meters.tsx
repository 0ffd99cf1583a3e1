import { Fragment, type ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { useTwin } from "../../components/chart/chart.tsx";
import { Segments } from "../../components/controls.tsx";
import { Icon } from "../../components/icons.tsx";
import { Row } from "../../components/kv.tsx";
import { Bars, LINK_SHAPE, LinkWord } from "../../components/link.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Load, Notice } from "../../components/states.tsx";
import { Status, StatusShape, shapeOf } from "../../components/status.tsx";
import { Table, type Column } from "../../components/table.tsx";
import { Stamp, Time } from "../../components/time.tsx";
import { percent, percentOfPermille } from "../../lib/format.ts";
import { useKey, useMedia, useNow, type Loaded } from "../../lib/hooks.ts";
import { navigate } from "../../lib/router.ts";
import { behindOf, layOutTree, wayOf, type Tree } from "../../lib/branches.ts";
import { levelsOf, layOut, linkOf, shortName, type Level, type Link } from "../../lib/segment.ts";
import { age, HOUR, parse } from "../../lib/time.ts";
import type { BehindMeter, BehindMeters } from "../../lib/types.ts";
import { concentrators as T } from "../../texts/concentrators.en.ts";
import { t } from "../../texts/en.ts";
import { SegmentPicture } from "./picture.tsx";

const FEW = 10;
const LINKS = ["good", "fair", "poor", "silent"] as const;

/** A SAP as the concentrator's list has it. */
export const hex = (sap: number): string => `0x${sap.toString(16).toUpperCase().padStart(4, "0")}`;

export function ReadShare({ of }: { of: { received: number; expected: number } | null }) {
  const share = of === null ? null : percent(of.received, of.expected);
  return share === null ? <NoValue /> : <Num text={share} unit="%" />;
}

/** The worst link of some, and how many of them have it. */
export function Worst({ link, n }: { link: Link; n: number }) {
  const well = link === "good" || link === "up";
  return <Status shape={LINK_SHAPE[link]}>{well ? T.allWell : T.levelState(n, T.link[link])}</Status>;
}

export function Empty({ read }: { read: boolean }) {
  return (
    <Notice
      kind="empty"
      icon="inbox"
      title={read ? T.emptySegment : T.notRead}
      text={read ? T.emptySegmentText : T.notReadText}
    />
  );
}

/** The segment as a picture, and its levels as a table. */
export function SegmentCard({
  name,
  loaded,
  tree,
  chosen,
  onChoose,
}: {
  name: string;
  loaded: Loaded<BehindMeters>;
  tree: Tree | null;
  chosen: number | null;
  onChoose: (sap: number) => void;
}) {
  const [view, setView] = useTwin();
  const narrow = useMedia("(max-width: 599px)");
  const rows = loaded.data?.rows ?? [];
  const drawn = rows.length > 0 && view === "chart" && !narrow;
  const picture = useMemo(
    () => (!drawn ? null : tree ? layOutTree(tree) : layOut(levelsOf(loaded.data?.rows ?? []))),
    [drawn, tree, loaded.data],
  );
  return (
    <Card
      id="seg"
      title={T.segment}
      testid="conc-segment"
      aside={
        picture ? (
          <span class="t3 hide-n">{(tree ? T.shownBranches : T.shown)(picture.named, rows.length)}</span>
        ) : null
      }
      end={
        narrow ? null : (
          <Segments
            label={t.chart.showAs}
            value={view}
            options={[
              { value: "chart", text: T.picture },
              { value: "table", text: T.table },
            ]}
            onChange={setView}
            testid="conc-segment-view"
          />
        )
      }
      footer={
        rows.length === 0 ? null : (
          <>
            <ul class="legend">
              {LINKS.map((link) => (
                <li key={link}>
                  <Bars link={link} />
                  <b>{T.linkLong[link]}</b>
                  <span class="hide-n">{T.legend[link]}</span>
                </li>
              ))}
            </ul>
            {tree ? null : <span class="hide-n">{T.repeats}</span>}
          </>
        )
      }
    >
      <Load of={loaded} what={T.whatMeters}>
        {(data) =>
          data.rows.length === 0 ? (
            <Empty read={data.as_of !== null} />
          ) : picture ? (
            <SegmentPicture
              name={name}
              meters={data.rows}
              tree={tree}
              picture={picture}
              chosen={chosen}
              onChoose={onChoose}
              onOpen={(meter) => {
                if (meter.id !== null) navigate(`/meters/${meter.id}`);
              }}
            />
          ) : narrow ? (
            <dl class="kv" data-testid="conc-levels">
              {levelsOf(data.rows).map((level) => (
                <Row key={level.hops} name={T.level(level.hops)}>
                  {T.meters(level.meters.length)}, <Worst link={level.worst} n={level.counts[level.worst]} />
                </Row>
              ))}
            </dl>
          ) : tree ? (
            <BranchesTable tree={tree} />
          ) : (
            <LevelsTable levels={levelsOf(data.rows)} />
          )
        }
      </Load>
    </Card>
  );
}

function LevelsTable({ levels }: { levels: Level[] }) {
  return (
    <Table
      testid="conc-levels"
      caption={T.levelsCaption}
      columns={[T.levelHead, ...LINKS.map((link) => ({ text: T.linkLong[link], class: "r" }))]}
    >
      {levels.map((level) => (
        <tr key={level.hops}>
          <th scope="row">{T.level(level.hops)}</th>
          {LINKS.map((link) => (
            <td key={link} class="r">
              <Num text={String(level.counts[link] + (link === "good" ? level.counts.up : 0))} />
            </td>
          ))}
        </tr>
      ))}
    </Table>
  );
}

/** The branches next to the concentrator, with what is behind each. */
function BranchesTable({ tree }: { tree: Tree }) {
  const repeaters = tree.branches.filter((branch) => branch.behind > 0);
  const direct = tree.branches.length - repeaters.length;
  return (
    <Table
      testid="conc-branches"
      caption={T.branchesCaption}
      columns={[T.branchHead, T.linkHead, { text: T.behindHead, class: "r" }, T.stateHead]}
    >
      {repeaters.map((branch) => (
        <tr key={branch.meter.sap}>
          <th scope="row">{branch.meter.name}</th>
          <td>
            <LinkWord link={linkOf(branch.meter)} />
          </td>
          <td class="r">
            <Num text={String(branch.behind)} />
          </td>
          <td>
            <Worst link={branch.worst} n={branch.bad} />
          </td>
        </tr>
      ))}
      {direct > 0 ? (
        <tr>
          <th scope="row">{T.directOnly}</th>
          <td colSpan={3}>{T.meters(direct)}</td>
        </tr>
      ) : null}
      {tree.loose.length > 0 ? (
        <tr>
          <th scope="row">{T.noBranch}</th>
          <td colSpan={3}>{T.meters(tree.loose.length)}</td>
        </tr>
      ) : null}
    </Table>
  );
}

/** Lets j and k go through the meters that are listed. */
export function useStepping(
  listed: BehindMeter[],
  chosen: number | null,
  onChoose: (sap: number, scroll?: boolean) => void,
): void {
  const step = (by: 1 | -1): void => {
    const at = listed.findIndex((meter) => meter.sap === chosen);
    const next = listed[at < 0 ? (by > 0 ? 0 : listed.length - 1) : at + by];
    if (next) onChoose(next.sap, true);
  };
  useKey("j", () => step(1));
  useKey("k", () => step(-1));
}

/** The tree as a table: a line for each number of hops that folds out to its meters, worst first. */
export function TreeCard({
  loaded,
  chosen,
  onChoose,
}: {
  loaded: Loaded<BehindMeters>;
  chosen: number | null;
  onChoose: (sap: number, scroll?: boolean) => void;
}) {
  const now = useNow(10_000);
  const rows = loaded.data?.rows ?? [];
  const levels = levelsOf(rows);
  const [closed, setClosed] = useState<ReadonlySet<number>>(new Set());
  const [whole, setWhole] = useState<ReadonlySet<number>>(new Set());
  const flip = (set: ReadonlySet<number>, value: number): ReadonlySet<number> => {
    const next = new Set(set);
    if (!next.delete(value)) next.add(value);
    return next;
  };
  const shown = (level: Level): BehindMeter[] => {
    if (closed.has(level.hops)) return [];
    if (whole.has(level.hops)) return level.meters;
    const few = level.meters.slice(0, FEW);
    const other = level.meters.find((meter) => meter.sap === chosen);
    return other && !few.includes(other) ? [...few, other] : few;
  };
  const all = levels.flatMap(shown);
  useStepping(all, chosen, onChoose);
  const choose = (sap: number): void => onChoose(sap);
  return (
    <Card
      id="tree"
      title={T.tree}
      testid="conc-tree"
      flush
      end={rows.length === 0 ? null : <span class="t3">{rows.length}</span>}
    >
      <Load of={loaded} what={T.whatMeters}>
        {(data) =>
          data.rows.length === 0 ? (
            <Empty read={data.as_of !== null} />
          ) : (
            <Table class="tree" testid="conc-tree-table" caption={T.treeCaption} columns={lineColumns(false)}>
              {levels.map((level) => (
                <Fragment key={level.hops}>
                  <tr class="group">
                    <th scope="row">
                      <button
                        type="button"
                        class="fold"
                        aria-expanded={!closed.has(level.hops)}
                        onClick={() => setClosed((old) => flip(old, level.hops))}
                      >
                        <Icon name={closed.has(level.hops) ? "chevron-right" : "chevron-down"} />
                        <span class="vh">{T.levelWord(1)}</span>
                        {T.level(level.hops)}
                      </button>
                    </th>
                    <td class="hide-m hide-n" />
                    <td>
                      <Worst link={level.worst} n={level.counts[level.worst]} />
                    </td>
                    <td class="hide-n" />
                    <td class="hide-n" />
                    <td class="r t2 hide-xs">{T.meters(level.meters.length)}</td>
                    <td class="r hide-n" />
                  </tr>
                  {shown(level).map((meter) => (
                    <MeterLine
                      key={meter.sap}
                      meter={meter}
                      now={now}
                      chosen={meter.sap === chosen}
                      onChoose={choose}
                    />
                  ))}
                  {!closed.has(level.hops) && !whole.has(level.hops) && level.meters.length > FEW ? (
                    <tr>
                      <td colSpan={7}>
                        <button
                          type="button"
                          class="btn ghost sm"
                          onClick={() => setWhole((old) => flip(old, level.hops))}
                          data-testid="conc-tree-more"
                        >
                          {T.showAll(level.meters.length)}
                        </button>
                      </td>
                    </tr>
                  ) : null}
                </Fragment>
              ))}
            </Table>
          )
        }
      </Load>
    </Card>
  );
}

/** The columns of a table of `MeterLine`: one of branches has one more, and less room for the others. */
export function lineColumns(branches: boolean): Column[] {
  const roomy = branches ? "hide-m hide-n" : "hide-n";
  return [
    T.node,
    { text: T.place, class: "hide-m hide-n" },
    T.linkHead,
    ...(branches ? [{ text: T.behindHead, class: "hide-n" }] : []),
    { text: T.sap, class: roomy },
    { text: T.mode, class: roomy },
    { text: T.seen, class: "r hide-xs" },
    { text: T.readHead, class: "r hide-n" },
  ];
}

export function MeterLine({
  meter,
  now,
  chosen,
  onChoose,
  level = 2,
  fold,
  behind,
  below,
}: {
  meter: BehindMeter;
  now: number;
  chosen: boolean;
  onChoose: (sap: number) => void;
  /** How deep it stands in the table. */
  level?: number;
  /** In a table of branches: what folds those behind it away, and how they do. */
  fold?: ComponentChildren;
  behind?: ComponentChildren;
  /** The same where the window has no room for a column. */
  below?: ComponentChildren;
}) {
  const link = linkOf(meter);
  return (
    <tr
      class="pick"
      data-testid="conc-meter"
      data-id={meter.sap}
      data-state={link}
      data-chosen={chosen}
      data-level={level}
      onClick={(event) => {
        if (!(event.target as Element).closest("a, button")) onChoose(meter.sap);
      }}
    >
      <th scope="row">
        <span class={`row ${fold === undefined ? "lvl2" : `in${Math.min(level, 6)}`}`}>
          {fold}
          <span class="vh">{T.levelWord(level)}</span>
          {meter.id === null ? meter.name : <a href={`/meters/${meter.id}`}>{meter.name}</a>}
        </span>
        {below}
      </th>
      <td class="t2 hide-m hide-n clip">{meter.place === "" ? <NoValue /> : meter.place}</td>
      <td>
        <LinkWord link={link} />{" "}
        <span class="t3 hide-n">
          {meter.quality_permille !== null && meter.there ? (
            <Num text={percentOfPermille(meter.quality_permille)} unit="%" />
          ) : null}
        </span>
      </td>
      {behind}
      <td class={`t2 hide-n mono ${behind ? "hide-m" : ""}`}>{hex(meter.sap)}</td>
      <td class={`t2 hide-n ${behind ? "hide-m" : ""}`}>{T.modeShort[meter.mode]}</td>
      <td class="r t2 hide-xs">
        <Stamp at={meter.heard} now={now} />
      </td>
      <td class="r hide-n">
        <ReadShare of={meter.read_today} />
      </td>
    </tr>
  );
}

/** What is known of the meter that was chosen. */
export function ChosenCard({
  meter,
  meters,
  tree,
}: {
  meter: BehindMeter | null;
  meters: BehindMeter[];
  tree: Tree | null;
}) {
  const now = useNow(10_000);
  if (meter === null) {
    return (
      <Card id="node" title={T.chosen} testid="conc-chosen">
        <p class="chosen-none">{T.choose}</p>
      </Card>
    );
  }
  const link = linkOf(meter);
  const way = wayOf(meters, meter)?.map((one) => shortName(one.name)) ?? [];
  const behind = tree ? behindOf(tree, meter.sap) : 0;
  const since = parse(meter.sap_since);
  return (
    <Card
      id="node"
      title={meter.name}
      testid="conc-chosen"
      end={meter.id === null ? null : <a href={`/meters/${meter.id}`}>{T.openMeter}</a>}
    >
      <dl class="kv">
        <Row name={T.linkRow}>
          <LinkWord link={link} />{" "}
          {meter.quality_permille !== null && meter.there ? (
            <span class="t3">{T.frames(percentOfPermille(meter.quality_permille))}</span>
          ) : null}
        </Row>
        <Row name={T.hopsRow}>
          {meter.hops === 0 ? T.direct : way.length > 0 ? T.by(way.length, way) : meter.hops}
        </Row>
        {behind > 0 ? <Row name={T.behindRow}>{T.meters(behind)}</Row> : null}
        <Row name={T.sap}>
          <span class="mono">{hex(meter.sap)}</span>{" "}
          {since === null ? null : (
            <span class="t3" data-testid="conc-sap-since">
              {now - since < HOUR ? T.sapFor : T.sapSince}{" "}
              <Time at={since} now={now} text={now - since < HOUR ? age(now - since) : undefined} />
            </span>
          )}
        </Row>
        <Row name={T.seen}>
          <Stamp at={meter.heard} now={now} />
        </Row>
        {meter.repeated_today === null ? null : (
          <Row name={T.repeatedToday}>
            <Num text={String(meter.repeated_today)} unit={T.framesUnit(meter.repeated_today)} />
          </Row>
        )}
        <Row name={T.mode}>{T.modes[meter.mode]}</Row>
        {meter.mode === "conventional" ? (
          <Row name={T.rowsHeld}>
            <Num text={String(meter.held_rows)} />
          </Row>
        ) : null}
        <Row name={T.stateRow}>
          {meter.state === null ? (
            <Status shape="todo">{T.notEnrolled}</Status>
          ) : (
            <span
              class={`st st-${meter.state === "off" ? "crit" : meter.state === "new" ? "miss" : meter.state}`}
            >
              <StatusShape shape={shapeOf(meter.state)} />
              {meter.state_text}
            </span>
          )}
        </Row>
        <Row name={T.readRow}>
          <ReadShare of={meter.read_today} />
        </Row>
      </dl>
      {meter.place === "" ? null : <p class="t3">{meter.place}</p>}
    </Card>
  );
}
