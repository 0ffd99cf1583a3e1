import { describe, expect, it } from "vitest";
import { powerLine } from "../../src/components/chart/power.ts";

describe("a line of power", () => {
  it("is in kW as soon as one value that is shown is a kilowatt, delivered or drawn", () => {
    const times = [1, 2, 3];
    const small = powerLine(times, [400, null, -999], [400, -999]);
    expect([small.unit, small.series[0]?.values]).toEqual(["W", [400, null, -999]]);
    const large = powerLine(times, [400, null, -1000], [400, -1000]);
    expect([large.unit, large.series[0]?.values]).toEqual(["kW", [0.4, null, -1]]);
    expect(large.yText(-1.5, 1)).toBe("\u22121.5");
    expect(large.yText(0, 1)).toBe("0");
    expect(large.yRange).toBeUndefined();
  });

  it("has a bare axis without any value", () => {
    const none = powerLine([5], [null], []);
    expect([none.unit, none.yText(0.5, 1), none.yRange]).toEqual(["", "", [0, 1]]);
  });
});
