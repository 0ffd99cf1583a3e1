import { Fragment } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Icon } from "../../components/icons.tsx";
import { NoValue, Num } from "../../components/number.tsx";
import { Table } from "../../components/table.tsx";
import { firstOf, pathTo, type Branch, type Tree } from "../../lib/branches.ts";
import { useNow } from "../../lib/hooks.ts";
import { linkOf } from "../../lib/segment.ts";
import type { BehindMeter } from "../../lib/types.ts";
import { concentrators as T } from "../../texts/concentrators.en.ts";
import { lineColumns, MeterLine, Worst, useStepping } from "./meters.tsx";

/** Meters of a branch that are listed before more are asked for. */
const FEW = 6;
/** So many meters that only the worst branch of each level is open at first. */
const MANY = 40;

/** Those of whom it is not told through whom they are reached, as a branch of their own. */
const LOOSE = -1;

/** A line of the table: a meter, or the offer of more of those beside it. */
type Line = { branch: Branch; open: boolean } | { more: number; of: number; level: number; name: string };

/** The meters by the repeater that they are behind, each branch folding away. */
export function BranchCard({
  tree,
  count,
  chosen,
  onChoose,
}: {
  tree: Tree;
  count: number;
  chosen: number | null;
  onChoose: (sap: number, scroll?: boolean) => void;
}) {
  const now = useNow(10_000);
  const [flipped, setFlipped] = useState<ReadonlyMap<number, boolean>>(new Map());
  const [whole, setWhole] = useState<ReadonlySet<number>>(new Set());
  // What is open at first is settled once: a later look that puts another first moves nothing under the pointer.
  const [small] = useState(count <= MANY);
  const [first] = useState(() => new Set(firstOf(tree.branches)));
  const path = new Set(pathTo(tree.branches, chosen));
  // Whoever is chosen comes into view, and stays in view when another is.
  useEffect(() => {
    const above = [...path].slice(0, -1);
    if (above.length > 0) setFlipped((old) => new Map([...old, ...above.map((sap) => [sap, true] as const)]));
  }, [chosen]);
  const isOpen = (sap: number): boolean => flipped.get(sap) ?? (small || first.has(sap));
  const lines = (branches: Branch[], of: number, level: number, name: string): Line[] => {
    const bad = branches.find(
      ({ behind, meter }) => behind === 0 && ["poor", "silent"].includes(linkOf(meter)),
    );
    const shown =
      whole.has(of) || branches.length <= FEW + 1
        ? branches
        : branches.filter((branch, i) => {
            const { sap } = branch.meter;
            return i < FEW || branch === bad || path.has(sap) || flipped.has(sap);
          });
    const all = shown.flatMap((branch): Line[] => {
      const { meter, behind, children } = branch;
      const open = behind > 0 && isOpen(meter.sap);
      return [{ branch, open }, ...(open ? lines(children, meter.sap, level + 1, meter.name) : [])];
    });
    return shown.length < branches.length ? [...all, { more: branches.length, of, level, name }] : all;
  };
  const all = lines(tree.branches, 0, 1, "");
  const { loose } = tree;
  const listed = whole.has(LOOSE) ? loose : loose.filter(({ sap }, i) => i < FEW || sap === chosen);
  const meters: BehindMeter[] = [
    ...all.flatMap((line) => ("branch" in line ? [line.branch.meter] : [])),
    ...listed,
  ];
  useStepping(meters, chosen, onChoose);
  const choose = (sap: number): void => onChoose(sap);
  const more = (of: number, n: number, level: number, label: string | undefined) => (
    <tr key={`more${of}`}>
      <td colSpan={8}>
        <span class={`row in${Math.min(level, 6)}`}>
          <button
            type="button"
            class="btn ghost sm"
            aria-label={label}
            onClick={() => setWhole((old) => new Set(old).add(of))}
            data-testid="conc-tree-more"
          >
            {T.showAll(n)}
          </button>
        </span>
      </td>
    </tr>
  );
  return (
    <Card id="tree" title={T.branches} testid="conc-tree" flush end={<span class="t3">{count}</span>}>
      <Table class="tree" testid="conc-tree-table" caption={T.treeCaption} columns={lineColumns(true)}>
        {all.map((line) => {
          if ("more" in line) {
            const { more: n, name, level } = line;
            return more(line.of, n, level, name === "" ? undefined : T.showAllBehind(n, name));
          }
          const { branch, open } = line;
          const { sap, name } = branch.meter;
          return (
            <MeterLine
              key={name}
              meter={branch.meter}
              now={now}
              chosen={sap === chosen}
              onChoose={choose}
              level={branch.depth + 1}
              fold={
                branch.behind === 0 ? (
                  <span class="hand" />
                ) : (
                  <button
                    type="button"
                    class="hand"
                    aria-expanded={open}
                    aria-label={T.fold(name, branch.behind)}
                    onClick={() => setFlipped((old) => new Map(old).set(sap, !open))}
                    data-testid="conc-fold"
                    data-id={sap}
                  >
                    <Icon name={open ? "chevron-down" : "chevron-right"} />
                  </button>
                )
              }
              below={
                branch.behind === 0 ? null : (
                  <span
                    class={`row in${Math.min(branch.depth + 1, 6)} only-narrow t2`}
                    data-testid="conc-below"
                  >
                    <span class="hand" />
                    <span>
                      {T.behind(branch.behind)}, <Worst link={branch.worst} n={branch.bad} />
                    </span>
                  </span>
                )
              }
              behind={
                <td class="t2 hide-n">
                  {branch.behind === 0 ? (
                    <span class="t3">{T.leaf}</span>
                  ) : (
                    <>
                      <Num text={String(branch.behind)} />, <Worst link={branch.worst} n={branch.bad} />
                    </>
                  )}
                </td>
              }
            />
          );
        })}
        {loose.length > 0 ? (
          <Fragment>
            <tr class="group">
              <th scope="row" colSpan={8}>
                {T.noBranch}
              </th>
            </tr>
            {listed.map((meter) => (
              <MeterLine
                key={meter.name}
                meter={meter}
                now={now}
                chosen={meter.sap === chosen}
                onChoose={choose}
                level={1}
                fold={<span class="hand" />}
                behind={<td class="t2 hide-n">{meter.hops > 0 ? T.level(meter.hops) : <NoValue />}</td>}
              />
            ))}
            {listed.length < loose.length ? more(LOOSE, loose.length, 1, T.showAllLoose(loose.length)) : null}
          </Fragment>
        ) : null}
      </Table>
    </Card>
  );
}
