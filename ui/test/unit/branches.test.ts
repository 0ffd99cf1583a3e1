import { describe, expect, it } from "vitest";
import { behindOf, firstOf, layOutTree, pathTo, treeOf, wayOf, type Branch } from "../../src/lib/branches.ts";
import { COLUMNS_MAX, WIDTH } from "../../src/lib/segment.ts";
import type { BehindMeter } from "../../src/lib/types.ts";
import { meter } from "./behind.ts";

function at(sap: number, behind: number | null, quality: number | null = 950, there = true): BehindMeter {
  return { ...meter(sap, 0, quality, there), behind };
}

/** Four next to the concentrator, each other behind the one with a third of its place. */
function street(count: number): BehindMeter[] {
  return Array.from({ length: count }, (_, i) =>
    at(256 + i, i < 4 ? 0 : 256 + Math.floor(i / 3), 1000 - ((i * 37) % 400), i % 23 !== 7),
  );
}

describe("branches", () => {
  it("are not there where nobody is told to be behind anybody", () => {
    expect(treeOf([])).toBe(null);
    expect(treeOf([at(256, null), at(257, null)])).toBe(null);
    // Of 256 it is not told through whom it is reached itself.
    expect(treeOf([at(256, null), at(257, 256)])).toBe(null);
  });

  it("hold whoever is behind, near or far, and tell the worst of those", () => {
    const tree = treeOf([
      at(1, 0, 990),
      at(2, 1, 800),
      at(3, 2, 400),
      at(4, 2, 500),
      at(5, 0, 300),
      at(6, 9),
    ]);
    expect(tree?.branches.map((one) => [one.meter.sap, one.behind, one.worst, one.bad])).toEqual([
      [1, 3, "poor", 2],
      [5, 0, "up", 0],
    ]);
    expect(tree?.branches[0]?.children[0]?.children.map((one) => one.meter.sap)).toEqual([3, 4]);
    expect(tree?.loose.map((one) => one.sap)).toEqual([6]);
    expect([1, 2, 3, 6].map((sap) => (tree ? behindOf(tree, sap) : -1))).toEqual([3, 2, 0, 0]);
  });

  it("come worst first, and repeaters before those behind whom nobody is", () => {
    const tree = treeOf([at(1, 0), at(2, 1, 900), at(3, 0), at(4, 3, 100), at(5, 0, 0, false)]);
    expect(tree?.branches.map((one) => one.meter.sap)).toEqual([3, 1, 5]);
  });

  it("leave out ways that lead nowhere, in however wide a circle", () => {
    const tree = treeOf([at(1, 0), at(2, 3), at(3, 2), at(4, 4), at(5, 2)]);
    expect(tree?.branches.map((one) => one.meter.sap)).toEqual([1]);
    expect(tree?.loose.map((one) => one.sap)).toEqual([2, 3, 4, 5]);
  });

  it("end where two meters are told with one SAP, of whom one is behind the other", () => {
    const [a, b] = [at(5, 5), { ...at(5, 0), name: "B" }];
    const tree = treeOf([a, b, at(6, 5), at(0, 0)]);
    const names = (branches: Branch[]): string[] =>
      branches.flatMap((one) => [one.meter.name, ...names(one.children)]);
    const all = [a, b, at(6, 5), at(0, 0)].map((one) => one.name);
    expect(names(tree?.branches ?? []).sort()).toEqual(all.sort());
    expect(tree?.loose).toEqual([]);
    const picture = tree ? layOutTree(tree) : null;
    expect(picture?.named).toBe(4);
  });

  it("have beside them whoever is heard directly on a medium that tells of none", () => {
    const far = { ...at(5, null), hops: 2 };
    const tree = treeOf([at(1, 0), at(2, 1), at(3, null), at(4, null, 950, false), far]);
    expect(tree?.branches.map((one) => one.meter.sap)).toEqual([1, 3]);
    // Worst first; they have lines of the picture that are left over.
    expect(tree?.loose.map((one) => one.sap)).toEqual([4, 5]);
    expect(tree ? layOutTree(tree).named : 0).toBe(5);
  });

  it("lead to a meter, and tell which repeaters come first", () => {
    const tree = treeOf([
      at(1, 0),
      at(2, 1),
      at(3, 2),
      at(4, 0, 100),
      at(5, 4),
      at(6, 1),
      at(7, null, 1, false),
    ]);
    const branches = tree?.branches ?? [];
    expect([3, 6, 4, 7, null].map((sap) => pathTo(branches, sap))).toEqual([[1, 2, 3], [1, 6], [4], [], []]);
    expect(firstOf(branches)).toEqual([4, 2]);
  });
});

describe("a way", () => {
  it("names those who repeat, the nearest to the concentrator first", () => {
    const all = [at(1, 0), at(2, 1), at(3, 2), at(4, 5), at(5, 4), at(6, null), at(7, 6), at(8, 99)];
    const ways = all.map((one) => wayOf(all, one)?.map((it) => it.sap) ?? null);
    expect(ways).toEqual([[], [1], [1, 2], null, null, null, null, null]);
  });
});

describe("the picture of branches", () => {
  const pictures = [1, 3, 9, 50, 318, 1200].map((count) => {
    const tree = treeOf(street(count));
    if (!tree) throw new Error("no tree");
    return { count, tree, picture: layOutTree(tree) };
  });

  it("counts each meter once, named or as a mark", () => {
    for (const { count, picture } of pictures) {
      const shown = picture.columns.reduce(
        (sum, column) =>
          sum + column.nodes.length + (column.rest?.marks.length ?? 0) + (column.rest?.more ?? 0),
        0,
      );
      expect(shown).toBe(count);
      expect(picture.columns.length).toBeLessThanOrEqual(COLUMNS_MAX);
    }
  });

  it("draws a line to each that is named, from the one it is behind", () => {
    for (const { picture } of pictures) {
      const nodes = picture.columns.flatMap((column) => column.nodes);
      expect(picture.lines?.length).toBe(nodes.length);
      for (const node of nodes) {
        const line = picture.lines?.find((one) => one.x2 === node.x - 6 && one.y2 === node.y);
        const before = nodes.find((one) => one.meter.sap === node.meter.behind);
        expect(before === undefined).toBe(node.meter.behind === 0);
        if (before) expect([line?.x1, line?.y1]).toEqual([before.x + 10 + (before.cap ?? 0), before.y]);
      }
    }
  });

  it("stays inside its frame, and nothing stands on anything else", () => {
    for (const { picture } of pictures) {
      const [first, second] = picture.columns;
      const step = first && second ? second.x - first.x : WIDTH;
      for (const column of picture.columns) {
        for (const [i, node] of column.nodes.entries()) {
          expect(node.x + 10 + (node.cap ?? 0)).toBeLessThanOrEqual(Math.min(WIDTH, column.x + step - 6));
          expect(node.y - 11).toBeGreaterThan(14);
          const next = column.nodes[i + 1];
          if (next) expect(next.y - node.y).toBeGreaterThanOrEqual(22);
        }
        for (const mark of column.rest?.marks ?? []) {
          expect(mark.x + 4).toBeLessThanOrEqual(WIDTH);
          expect(mark.y + 4).toBeLessThanOrEqual(picture.height);
          expect(column.nodes.every((node) => mark.y - 20 > node.y + 11)).toBe(true);
        }
      }
    }
  });

  it("shows three levels of a branch, and puts what is deeper into the last column", () => {
    const deep = Array.from({ length: 9 }, (_, i) => at(1 + i, i));
    const tree = treeOf(deep);
    const picture = tree ? layOutTree(tree) : null;
    expect(picture?.columns.map((column) => column.nodes.map((node) => node.meter.sap))).toEqual([
      [1],
      [2],
      [3],
      [4],
    ]);
    expect(picture?.columns.at(-1)?.rest?.count).toBe(5);
    const depth = (branch: Branch): number => 1 + Math.max(0, ...branch.children.map(depth));
    expect(Math.max(...(tree?.branches.map(depth) ?? []))).toBe(9);
  });
});
