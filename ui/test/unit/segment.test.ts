import { describe, expect, it } from "vitest";
import { byNeed, COLUMNS_MAX, layOut, levelsOf, linkOf, shortName, WIDTH } from "../../src/lib/segment.ts";
import { meter } from "./behind.ts";

describe("links", () => {
  it("have a word at each end of each span", () => {
    const words = [1000, 900, 899, 700, 699, 0].map((quality) => linkOf(meter(1, 0, quality)));
    expect(words).toEqual(["good", "good", "fair", "fair", "poor", "poor"]);
  });

  it("of a medium that does not tell are there, and whoever is not there is silent whatever was heard", () => {
    expect(linkOf(meter(1, 0, null))).toBe("up");
    expect(linkOf(meter(1, 0, 1000, false))).toBe("silent");
  });

  it("are sorted worst first, then by SAP", () => {
    const all = [meter(4, 0, 950), meter(3, 0, 950), meter(2, 0, 650), meter(1, 0, 990, false)];
    expect(all.sort(byNeed).map((one) => one.sap)).toEqual([1, 2, 3, 4]);
  });

  it("are named by the last figures", () => {
    expect(shortName("GWD0000000000042")).toBe("0042");
    expect(shortName("M7")).toBe("M7");
  });
});

describe("the picture", () => {
  const many = Array.from({ length: 1200 }, (_, i) => meter(256 + i, i % 3, 1000 - (i % 400)));

  it("counts each meter once, named or as a mark", () => {
    for (const all of [many, many.slice(0, 50), many.slice(0, 9), many.slice(0, 1)]) {
      const picture = layOut(levelsOf(all));
      const shown = picture.columns.reduce(
        (sum, column) =>
          sum + column.nodes.length + (column.rest?.marks.length ?? 0) + (column.rest?.more ?? 0),
        0,
      );
      expect(shown).toBe(all.length);
      expect(picture.named).toBeLessThanOrEqual(10 * picture.columns.length);
    }
  });

  it("stays inside its frame, and nothing stands on anything else", () => {
    for (const deep of [0, 1, 2, 3]) {
      const picture = layOut(levelsOf(many.map((one) => ({ ...one, hops: one.sap % (deep + 1) }))));
      for (const column of picture.columns) {
        for (const node of column.nodes) {
          expect(node.x + 98).toBeLessThanOrEqual(WIDTH);
          expect(node.y + 11).toBeLessThan(picture.height);
        }
        for (const mark of column.rest?.marks ?? []) {
          expect(mark.x + 4).toBeLessThanOrEqual(WIDTH);
          expect(mark.y + 4).toBeLessThanOrEqual(picture.height);
          expect(column.nodes.some((node) => mark.y < node.y + 11 && mark.x < node.x + 98)).toBe(false);
        }
      }
    }
  });

  it("puts what is further away than fits into the last column", () => {
    const far = Array.from({ length: 8 }, (_, i) => meter(256 + i, i, 950));
    const picture = layOut(levelsOf(far));
    expect(picture.columns.length).toBe(COLUMNS_MAX);
    expect(picture.columns.at(-1)?.level.meters.length).toBe(8 - COLUMNS_MAX + 1);
    expect(picture.columns.at(-1)?.level.hops).toBe(COLUMNS_MAX - 1);
  });

  it("of nobody is a concentrator alone", () => {
    expect(layOut(levelsOf([])).columns).toEqual([]);
  });
});
