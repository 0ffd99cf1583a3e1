import { describe, expect, it } from "vitest";
import {
  csv,
  csvField,
  duration,
  durationText,
  glance,
  grouped,
  groups,
  kilo,
  kwh,
  percent,
  percentOfPermille,
  register,
  shiftPoint,
} from "../../src/lib/format.ts";

describe("power at a glance", () => {
  it.each([
    [486, "486", "W"],
    [0, "0", "W"],
    [999.4, "999", "W"],
    [999.6, "1.00", "kW"],
    [1840, "1.84", "kW"],
    [14_600, "14.6", "kW"],
    [999_400, "999", "kW"],
    [999_600, "1.00", "MW"],
    [-3120, "\u22123.12", "kW"],
    [-0.2, "0", "W"],
    [4_294_967_295, "4.29", "GW"],
  ])("%d W is %s %s", (watts, text, unit) => {
    expect(glance(watts, "W")).toEqual({ text, unit });
  });
});

describe("how long something took", () => {
  it.each([
    [0, "< 0.1", "ms"],
    [0.04, "< 0.1", "ms"],
    [0.06, "0.1", "ms"],
    [1, "1.0", "ms"],
    [41.7, "41.7", "ms"],
    [99.94, "99.9", "ms"],
    [99.96, "100", "ms"],
    [127.5, "128", "ms"],
    [999.4, "999", "ms"],
    [999.6, "1.00", "s"],
    [60_213, "60.2", "s"],
    [140_000, "140", "s"],
  ])("%d ms is %s %s", (ms, text, unit) => {
    expect(duration(ms)).toEqual({ text, unit });
    expect(durationText(ms)).toBe(`${text} ${unit}`);
  });
});

it("keeps one unit in a column and shows zero as a value", () => {
  expect([0, 90, 310, 14_600, 86_400, 123_456, -3120, -3].map(kilo)).toEqual([
    "0.00",
    "0.09",
    "0.31",
    "14.6",
    "86.4",
    "123",
    "\u22123.12",
    "0.00",
  ]);
});

describe("per cent", () => {
  it("is cut, so that 100.0 means all", () => {
    expect(percent(9996, 10_000)).toBe("99.9");
    expect(percent(9_999_999, 10_000_000)).toBe("99.9");
    expect(percent(10_000, 10_000)).toBe("100.0");
    expect(percent(0, 96)).toBe("0.0");
  });
  it("is no value where nothing was due", () => {
    expect(percent(0, 0)).toBeNull();
  });
  it("is exact from per mille", () => {
    expect([985, 1000, 0, 7, 967].map(percentOfPermille)).toEqual(["98.5", "100.0", "0.0", "0.7", "96.7"]);
  });
});

describe("groups", () => {
  it("start at five digits", () => {
    expect(groups("9671").parts).toEqual(["9671"]);
    expect(groups("18204").parts).toEqual(["18", "204"]);
    expect(groups("\u2212100412.5")).toEqual({ sign: "\u2212", parts: ["100", "412"], rest: ".5" });
    expect(grouped("4294967295")).toBe("4\u2009294\u2009967\u2009295");
  });
});

describe("registers", () => {
  it("are never rounded, also beyond what a double holds", () => {
    expect(register("18204317", "Wh")).toEqual({ text: "18204.317", unit: "kWh" });
    expect(register("18446744073709551615", "Wh")).toEqual({ text: "18446744073709551.615", unit: "kWh" });
    expect(register("0", "Wh")).toEqual({ text: "0.000", unit: "kWh" });
    expect(register("-12", "W")).toEqual({ text: "\u22120.012", unit: "kW" });
    expect(register("231.40", "V")).toEqual({ text: "231.40", unit: "V" });
    expect(register("GWD0000000000009", "")).toEqual({ text: "GWD0000000000009", unit: "" });
  });
  it("move the point in text", () => {
    expect(shiftPoint("1.5", 3)).toBe("0.0015");
    expect(shiftPoint("100", 1)).toBe("10.0");
    expect(shiftPoint("no number", 3)).toBe("no number");
  });
});

it("shows energy to the watt-hour", () => {
  expect([87, 0, 12_345, -4].map(kwh)).toEqual(["0.087", "0.000", "12.345", "\u22120.004"]);
});

describe("CSV", () => {
  it("quotes, and makes formulas text", () => {
    expect(csvField('Lindenweg 14, "flat" 3')).toBe('"Lindenweg 14, ""flat"" 3"');
    expect(csvField("=1+1")).toBe("'=1+1");
    expect(csvField(-3)).toBe("-3");
    expect(csvField(null)).toBe("");
    expect(
      csv([
        ["a", 1],
        [null, "b"],
      ]),
    ).toBe("a,1\r\n,b\r\n");
  });
});
