import { Fragment } from "preact";
import { useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Icon } from "../../components/icons.tsx";
import { Num } from "../../components/number.tsx";
import { Table } from "../../components/table.tsx";
import type { Branch, Tree } from "../../lib/branches.ts";
import { useNow } from "../../lib/hooks.ts";
import { byNeed } from "../../lib/segment.ts";
import type { BehindMeter } from "../../lib/types.ts";
import { concentrators as T } from "../../texts/concentrators.en.ts";
import { BranchWorst, MeterLine, useStepping } from "./meters.tsx";

/** Meters of a branch that are listed before more are asked for. */
const FEW = 6;
/** So many meters that only the worst branch of each level is open at first. */
const MANY = 40;

/** Those of whom it is not told through whom they are reached, as a branch of their own. */
const LOOSE = -1;

/** A line of the table: a meter, or the offer of more of those beside it. */
type Line = { branch: Branch; open: boolean } | { more: number; of: number; level: number };

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
  const holds = (branch: Branch): boolean =>
    branch.children.some((child) => child.meter.sap === chosen || holds(child));
  const isOpen = (branch: Branch, index: number): boolean =>
    flipped.get(branch.meter.sap) ?? (index === 0 || count <= MANY || holds(branch));
  const lines = (branches: Branch[], of: number, level: number): Line[] => {
    const few = whole.has(of) || branches.length <= FEW + 1 ? branches : branches.slice(0, FEW);
    const other = branches.find((branch) => branch.meter.sap === chosen || holds(branch));
    const shown = other && !few.includes(other) ? [...few, other] : few;
    const all = shown.flatMap((branch): Line[] => {
      const open = branch.behind > 0 && isOpen(branch, branches.indexOf(branch));
      const below = open ? lines(branch.children, branch.meter.sap, level + 1) : [];
      return [{ branch, open }, ...below];
    });
    return shown.length < branches.length ? [...all, { more: branches.length, of, level }] : all;
  };
  const all = lines(tree.branches, 0, 1);
  const loose = [...tree.loose].sort(byNeed);
  const listed = whole.has(LOOSE) ? loose : loose.slice(0, FEW);
  const meters: BehindMeter[] = [
    ...all.flatMap((line) => ("branch" in line ? [line.branch.meter] : [])),
    ...listed,
  ];
  useStepping(meters, chosen, onChoose);
  const choose = (sap: number): void => onChoose(sap);
  const more = (of: number, n: number) => (
    <tr key={`more${of}`}>
      <td colSpan={8}>
        <button
          type="button"
          class="btn ghost sm"
          onClick={() => setWhole((old) => new Set(old).add(of))}
          data-testid="conc-tree-more"
        >
          {T.showAll(n)}
        </button>
      </td>
    </tr>
  );
  return (
    <Card id="tree" title={T.branches} testid="conc-tree" flush end={<span class="t3">{count}</span>}>
      <Table
        class="tree"
        testid="conc-tree-table"
        caption={T.treeCaption}
        columns={[
          T.node,
          { text: T.place, class: "hide-m hide-n" },
          T.linkHead,
          { text: T.behindHead, class: "hide-n" },
          { text: T.sap, class: "hide-m hide-n" },
          { text: T.mode, class: "hide-m hide-n" },
          { text: T.seen, class: "r hide-xs" },
          { text: T.readHead, class: "r hide-n" },
        ]}
      >
        {all.map((line) => {
          if ("more" in line) return more(line.of, line.more);
          const { branch, open } = line;
          const { sap, name } = branch.meter;
          return (
            <MeterLine
              key={sap}
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
              behind={
                <td class="t2 hide-n">
                  {branch.behind === 0 ? (
                    <span class="t3">{T.leaf}</span>
                  ) : (
                    <>
                      <Num text={String(branch.behind)} />, <BranchWorst branch={branch} />
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
                key={meter.sap}
                meter={meter}
                now={now}
                chosen={meter.sap === chosen}
                onChoose={choose}
                level={1}
                fold={<span class="hand" />}
                behind={<td class="t2 hide-n">{T.level(meter.hops)}</td>}
              />
            ))}
            {listed.length < loose.length ? more(LOOSE, loose.length) : null}
          </Fragment>
        ) : null}
      </Table>
    </Card>
  );
}
