import { describe, expect, it } from "vitest";
import { breakWherever, clip, locate, runsOfNull } from "../../src/lib/gaps.ts";
import { heartbeat } from "../../src/lib/heartbeat.ts";
import { niceRange, tickDigits, ticks } from "../../src/lib/scale.ts";
import { rowsInView, TALLEST_PX, windowsOf } from "../../src/lib/virtual.ts";

const STEP = 900_000;
const times = [0, 1, 2, 3, 4, 5, 6].map((i) => i * STEP);

describe("gaps", () => {
  it("are runs of intervals without a value; zero is a value", () => {
    expect(runsOfNull(times, [1, null, null, 0, 4, null, 2], STEP)).toEqual([
      { from: STEP, to: 3 * STEP, intervals: 2 },
      { from: 5 * STEP, to: 6 * STEP, intervals: 1 },
    ]);
  });
  it("end where intervals are absent", () => {
    expect(runsOfNull([0, STEP, 5 * STEP], [null, null, null], STEP)).toEqual([
      { from: 0, to: 2 * STEP, intervals: 2 },
      { from: 5 * STEP, to: 6 * STEP, intervals: 1 },
    ]);
  });
  it("are clipped to the range and joined where they touch", () => {
    const spans = [
      { from: 4 * STEP, to: 6 * STEP, intervals: 2 },
      { from: 0, to: 2 * STEP, intervals: 2 },
      { from: 2 * STEP, to: 3 * STEP, intervals: 1 },
      { from: 9 * STEP, to: 10 * STEP, intervals: 1 },
    ];
    expect(clip(spans, STEP, 5 * STEP, STEP)).toEqual([
      { from: STEP, to: 3 * STEP, intervals: 2 },
      { from: 4 * STEP, to: 5 * STEP, intervals: 1 },
    ]);
  });
  it("are found under a position; beyond the last interval nothing is due", () => {
    const values = [1, null, null, 0, 4, 3, 2];
    const spans = runsOfNull(times, values, STEP);
    expect(locate(10, times, values, STEP, spans)).toEqual({ kind: "value", index: 0 });
    expect(locate(1.5 * STEP, times, values, STEP, spans)).toMatchObject({
      kind: "gap",
      span: { intervals: 2 },
    });
    expect(locate(3 * STEP, times, values, STEP, spans)).toEqual({ kind: "value", index: 3 });
    expect(locate(7 * STEP, times, values, STEP, spans)).toEqual({ kind: "none" });
    expect(locate(-1, times, values, STEP, spans)).toEqual({ kind: "none" });
  });
  it("break a live line where samples are lost", () => {
    expect(breakWherever([0, 1000, 5000, 6000], [1, 2, 3, 4], 2500)).toEqual({
      times: [0, 1000, 3000, 5000, 6000],
      values: [1, 2, null, 3, 4],
    });
  });
});

describe("axes", () => {
  it("start at zero and end at a round number", () => {
    expect(niceRange(0, 0.47, 6)).toEqual([0, 0.5]);
    expect(niceRange(0, 2310, 6)).toEqual([0, 2500]);
    expect(niceRange(-620, 480, 6)).toEqual([-750, 500]);
    expect(niceRange(0, 0, 6)).toEqual([0, 1]);
  });
  it("have at most so many lines", () => {
    expect(ticks(0, 0.5, 6)).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5]);
    expect(ticks(96, 100, 6)).toEqual([96, 97, 98, 99, 100]);
    for (const high of [0.001, 0.3, 1, 7, 42, 999, 123_456]) {
      const [low, top] = niceRange(0, high, 6);
      expect(top).toBeGreaterThanOrEqual(high);
      expect(ticks(low, top, 6).length).toBeLessThanOrEqual(6);
    }
    expect([tickDigits([0, 0.25]), tickDigits([0, 5]), tickDigits([0, 0.1])]).toEqual([2, 0, 1]);
  });
});

describe("the heartbeat strip", () => {
  it("has one path a state, and days before enrolment are empty", () => {
    const paths = heartbeat([null, null, 1000, 999, 0, 1000]);
    expect(paths).toMatchObject({ days: 4, bad: 2 });
    expect(paths.full.match(/M/g)?.length).toBe(2);
    expect(paths.partial.match(/M/g)?.length).toBe(1);
    expect(paths.none.match(/M/g)?.length).toBe(1);
  });
  it("ends with today at the right", () => {
    expect(heartbeat([1000]).full).toContain("M117 ");
    expect(heartbeat(Array.from({ length: 30 }, () => 1000)).full.startsWith("M1 ")).toBe(true);
  });
});

describe("a long list", () => {
  it("draws what is in view and some to spare", () => {
    expect(rowsInView(100_412, 34, 0, 900, 8)).toMatchObject({ start: 0, end: 40, height: 3_414_008 });
    expect(rowsInView(100_412, 34, 34_000, 900, 8)).toMatchObject({ start: 992, end: 1040 });
    expect(rowsInView(100_412, 34, 34 * 100_412, 900, 8)).toMatchObject({ end: 100_412 });
    expect(rowsInView(5, 34, -400, 900, 8)).toMatchObject({ start: 0, end: 5 });
    expect(rowsInView(0, 34, 0, 900, 8)).toMatchObject({ start: 0, end: 0, height: 0 });
  });
  it("is never taller than a browser draws", () => {
    const view = rowsInView(1_000_000, 34, 0, 900, 8);
    expect(view.height).toBeLessThanOrEqual(TALLEST_PX);
    expect(view.total).toBe(294_117);
  });
  it("is read in windows", () => {
    expect(windowsOf(0, 35, 200)).toEqual([0]);
    expect(windowsOf(190, 215, 200)).toEqual([0, 1]);
    expect(windowsOf(400, 400, 200)).toEqual([]);
  });
});
