import { describe, expect, it } from "vitest";
import type { DrillReading, DrillTimeline } from "../../src/lib/drill-api.ts";
import { fateOf, isLink, lengthOf, letter, stretches, ticks } from "../../src/lib/drill.ts";

const reading = (due_ms: number, more: Partial<DrillReading> = {}): DrillReading => ({
  due_ms,
  asked_ms: due_ms,
  latency_ms: 10,
  path: 0,
  sent: 1,
  anew: false,
  why: null,
  ...more,
});

const timeline = (readings: DrillReading[]): DrillTimeline => ({
  every_ms: 100,
  link: null,
  to: null,
  cut_ms: null,
  mended_ms: null,
  anew_ms: null,
  paths: [],
  readings,
});

describe("readings in a few lines", () => {
  it("are parted where path or fate change, and where an association was made", () => {
    const rows = stretches(
      timeline([
        reading(0),
        reading(100, { latency_ms: 30 }),
        reading(200, { latency_ms: 180, path: 1, sent: 2 }),
        reading(300, { latency_ms: 101, path: 1 }),
        reading(400, { path: 1 }),
        reading(500, { latency_ms: null, path: null, why: "No answer." }),
        reading(600, { path: 1, anew: true }),
        reading(700, { path: 1 }),
      ]),
    );
    expect(rows.map(({ from, to, count, path, fate }) => [from, to, count, path, fate])).toEqual([
      [0, 100, 2, 0, "usual"],
      [200, 200, 1, 1, "repeated"],
      [300, 300, 1, 1, "late"],
      [400, 400, 1, 1, "usual"],
      [500, 500, 1, null, "lost"],
      [600, 600, 1, 1, "usual"],
      [700, 700, 1, 1, "usual"],
    ]);
    expect(rows[0]?.worst).toBe(30);
    expect(rows[4]?.worst).toBeNull();
    expect(rows[5]?.anew).toBe(true);
    expect(stretches(timeline([]))).toEqual([]);
  });
  it("one that was repeated and lost is lost", () => {
    expect(fateOf(reading(0, { latency_ms: null, sent: 3 }), 100)).toBe("lost");
  });
});

describe("the picture", () => {
  it("is as long as its last answer, and a second at least", () => {
    expect(lengthOf(timeline([]))).toBe(1_000);
    expect(lengthOf(timeline([reading(0), reading(5_000, { latency_ms: 700 })]))).toBe(5_700);
    expect(lengthOf(timeline([reading(0)]), 9_000)).toBe(9_000);
    expect(lengthOf({ ...timeline([reading(0)]), mended_ms: 7_000 })).toBe(7_000);
  });
  it("has at most eleven ticks", () => {
    for (const length of [1_000, 9_100, 11_000, 66_000, 140_000]) {
      const all = ticks(length);
      expect(all.length, String(length)).toBeLessThanOrEqual(11);
      expect(all[0]).toBe(0);
      expect(all.at(-1)).toBeLessThanOrEqual(length);
    }
  });
  it("knows a link by either end, from either side, and no other one", () => {
    const ends: [string, string] = ["1-ff00:0:110#1", "2-ff00:0:210#1"];
    expect(isLink("2-ff00:0:210 1>1 1-ff00:0:110", ends)).toBe(true);
    expect(isLink("1-ff00:0:110 1>1 2-ff00:0:210", ends)).toBe(true);
    expect(isLink("2-ff00:0:210 10>1 2-ff00:0:211", ends)).toBe(false);
    expect(isLink("2-ff00:0:210 11>10 1-ff00:0:110", ends)).toBe(false);
  });
  it("names paths by letters, each by its own", () => {
    expect([0, 1, 25, 26, 27, 51, 52, 701, 702].map(letter)).toEqual([
      "A",
      "B",
      "Z",
      "AA",
      "AB",
      "AZ",
      "BA",
      "ZZ",
      "AAA",
    ]);
  });
});
