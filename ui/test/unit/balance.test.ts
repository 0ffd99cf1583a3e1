import { describe, expect, it } from "vitest";
import { lossBars, lossText } from "../../src/lib/balance.ts";
import type { BalancePoint } from "../../src/lib/types.ts";

const FROM = Date.parse("2026-11-20T12:00:00Z");
const TO = Date.parse("2026-11-21T12:00:00Z");

function point(slot: number, rest: Partial<BalancePoint>): BalancePoint {
  return {
    t: new Date(FROM + slot * 900_000).toISOString(),
    supplied_wh: 1000,
    metered_wh: 970,
    meters: 4,
    weight: "weighed",
    ...rest,
  };
}

describe("a loss", () => {
  it("is cut to a tenth, and below zero has a minus sign", () => {
    expect([0, 9, 30, 184, 1000].map(lossText)).toEqual(["0.0", "0.9", "3.0", "18.4", "100.0"]);
    expect(lossText(-42)).toBe("\u22124.2");
  });

  it("is over only above the line, and what does not count has no height", () => {
    const bars = lossBars(
      [
        point(1, {}),
        point(2, { metered_wh: 920 }),
        point(3, { metered_wh: 700 }),
        point(4, { weight: "incomplete", metered_wh: 0 }),
        point(5, { weight: "unmetered", supplied_wh: null }),
        point(6, { metered_wh: 1100 }),
      ],
      FROM,
      TO,
      8,
    );
    expect(bars.even.match(/M/g)?.length).toBe(3);
    expect(bars.over.match(/M/g)?.length).toBe(1);
    expect(bars.open.match(/M/g)?.length).toBe(2);
    // The first interval stands at the left edge; more metered than supplied hangs below zero.
    expect(bars.even.startsWith("M0.00 ")).toBe(true);
    expect(bars.even).toMatch(new RegExp(`M10\\.00 ${bars.zero}\\.00h`));
  });

  it("of all that was supplied is cut to the picture, and what is outside the span is left out", () => {
    const bars = lossBars([point(2, { metered_wh: 0 }), point(0, {}), point(97, {})], FROM, TO, 8);
    expect(bars.over).toMatch(/^M2\.00 0\.00h/);
    expect(bars.even).toBe("");
  });
});
