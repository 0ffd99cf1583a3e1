import { describe, expect, it } from "vitest";
import { timeTicks } from "../../src/lib/scale.ts";
import {
  age,
  clock,
  DAY,
  exact,
  HOUR,
  interval,
  intervalsBetween,
  iso,
  MINUTE,
  parse,
  when,
  Zone,
} from "../../src/lib/time.ts";
import { presetRange, rangeOf, shifted } from "../../src/lib/profile-range.ts";

const zurich = new Zone("Europe/Zurich");
const at = (text: string): number => Date.parse(text);
const QUARTER = 15 * MINUTE;

describe("days on which the clocks change", () => {
  it("have 92, 96 and 100 quarters", () => {
    const quarters = (date: [number, number, number]): number =>
      intervalsBetween(
        zurich.startOfDate(...date),
        zurich.startOfDate(date[0], date[1], date[2] + 1),
        QUARTER,
      );
    expect(quarters([2026, 3, 29])).toBe(92);
    expect(quarters([2026, 10, 25])).toBe(100);
    expect(quarters([2026, 11, 19])).toBe(96);
    expect(quarters([2026, 12, 31])).toBe(96);
  });

  it("begin at local midnight", () => {
    expect(iso(zurich.startOfDate(2026, 3, 29))).toBe("2026-03-28T23:00:00Z");
    expect(iso(zurich.startOfDate(2026, 3, 30))).toBe("2026-03-29T22:00:00Z");
    expect(iso(zurich.startOfDate(2026, 10, 26))).toBe("2026-10-25T23:00:00Z");
    expect(iso(zurich.startOfDay(at("2026-10-25T22:59:59Z")))).toBe("2026-10-24T22:00:00Z");
    expect(iso(zurich.startOfDay(at("2026-10-25T12:00:00Z"), 1))).toBe("2026-10-25T23:00:00Z");
  });

  it("begin where the clocks went forward when midnight does not exist", () => {
    // Santiago puts its clocks forward at midnight: 6 September 2026 begins at 01:00.
    const santiago = new Zone("America/Santiago");
    const start = santiago.startOfDate(2026, 9, 6);
    expect(santiago.local(start)).toMatchObject({ day: 6, hour: 1, minute: 0 });
    expect(santiago.local(start - 1)).toMatchObject({ day: 5, hour: 23, minute: 59 });
  });

  it("name the doubled hour by its zone", () => {
    const first = clock(at("2026-10-25T00:00:00Z"), zurich);
    const second = clock(at("2026-10-25T01:00:00Z"), zurich);
    expect(first.slice(0, 5)).toBe("02:00");
    expect(second.slice(0, 5)).toBe("02:00");
    expect(first).not.toBe(second);
    expect(first.length).toBeGreaterThan(5);
    expect(clock(at("2026-10-24T23:45:00Z"), zurich)).toBe("01:45");
    expect(clock(at("2026-10-25T02:00:00Z"), zurich)).toBe("03:00");
    expect(clock(at("2026-03-29T01:00:00Z"), zurich)).toBe("03:00");
  });

  it("have ticks on the wall clock, none of them twice", () => {
    for (const [month, day] of [
      [3, 29],
      [10, 25],
    ] as const) {
      const from = zurich.startOfDate(2026, month, day);
      const to = zurich.startOfDate(2026, month, day + 1);
      const ticks = timeTicks(from, to, zurich, 9);
      expect(ticks.map((tick) => tick.text)).toEqual([
        "Sun",
        "03:00",
        "06:00",
        "09:00",
        "12:00",
        "15:00",
        "18:00",
        "21:00",
      ]);
      expect(new Set(ticks.map((tick) => tick.at)).size).toBe(ticks.length);
    }
  });
});

describe("ticks", () => {
  it("show days bold over two days", () => {
    const to = zurich.startOfDate(2026, 11, 20);
    const ticks = timeTicks(zurich.startOfDate(2026, 11, 18), to, zurich, 9);
    expect(ticks.filter((tick) => tick.strong).map((tick) => tick.text)).toEqual(["Wed 18", "Thu 19"]);
    expect(ticks.filter((tick) => !tick.strong).map((tick) => tick.text)).toEqual([
      "06:00",
      "12:00",
      "18:00",
      "06:00",
      "12:00",
      "18:00",
    ]);
  });
  it("show minutes over three minutes", () => {
    const end = at("2026-11-19T13:32:08Z");
    expect(timeTicks(end - 3 * MINUTE, end, zurich, 6).map((tick) => tick.text)).toEqual([
      "14:30",
      "14:31",
      "14:32",
    ]);
  });
  it("show months over a year", () => {
    const ticks = timeTicks(zurich.startOfDate(2025, 11, 20), zurich.startOfDate(2026, 11, 20), zurich, 12);
    expect(ticks.length).toBe(12);
    expect(ticks[1]).toMatchObject({ text: "2026", strong: true });
  });
});

describe("words", () => {
  it("name an interval by both ends", () => {
    const start = at("2026-11-19T09:30:00Z");
    expect(interval(start, start + QUARTER, zurich)).toBe("Thu 19 Nov, 10:30–10:45");
    expect(interval(zurich.startOfDate(2026, 11, 19), zurich.startOfDate(2026, 11, 20), zurich)).toBe(
      "Thu 19 Nov 2026",
    );
    expect(interval(at("2026-11-18T22:45:00Z"), at("2026-11-18T23:00:00Z"), zurich)).toBe(
      "Wed 18 Nov, 23:45–00:00",
    );
  });
  it("tell an age", () => {
    expect([4_000, 59_999, 41 * MINUTE, 6.2 * HOUR, 11.5 * HOUR, DAY, 3.4 * DAY, -5].map(age)).toEqual([
      "4 s",
      "59 s",
      "41 min",
      "6 h 12 min",
      "11 h",
      "1 day",
      "3 days",
      "0 s",
    ]);
  });
  it("are relative up to an hour, then a clock time, then a date", () => {
    const now = at("2026-11-19T13:32:08Z");
    expect(when(now - 22 * MINUTE, now, zurich)).toBe("22 min");
    expect(when(at("2026-11-19T05:12:00Z"), now, zurich)).toBe("today 06:12");
    expect(when(at("2026-11-18T12:41:00Z"), now, zurich)).toBe("yesterday 13:41");
    expect(when(at("2026-11-12T12:00:00Z"), now, zurich)).toBe("12 Nov");
    expect(when(at("2025-11-12T12:00:00Z"), now, zurich)).toBe("12 Nov 2025");
  });
  it("give the exact time with its zone", () => {
    expect(exact(at("2026-11-19T13:32:08Z"), zurich)).toMatch(/^Thu 19 Nov 2026, 14:32:08 \S+$/);
  });
  it("are UTC for an unknown zone, and no time stays none", () => {
    expect(new Zone("Mars/Olympus").name).toBe("UTC");
    expect(parse(null)).toBeNull();
    expect(parse("soon")).toBeNull();
  });
});

describe("ranges of a profile", () => {
  const now = at("2026-11-19T13:32:08Z");
  it("end with the local day", () => {
    const range = presetRange("2d", now, zurich);
    expect([iso(range.from), iso(range.to), range.step]).toEqual([
      "2026-11-17T23:00:00Z",
      "2026-11-19T23:00:00Z",
      "15m",
    ]);
  });
  it("keep whole local days over a change of the clocks", () => {
    const back = presetRange("week", at("2026-10-27T12:00:00Z"), zurich);
    expect(back.to - back.from).toBe(7 * DAY + HOUR);
    const moved = shifted(back, -1, zurich);
    expect(iso(moved.to)).toBe("2026-10-20T22:00:00Z");
    expect(iso(moved.from)).toBe("2026-10-13T22:00:00Z");
  });
  it("come from the query string, and nonsense gives the last two days", () => {
    const asked = rangeOf(
      new URLSearchParams("from=2026-11-01T23:00:00Z&to=2026-11-03T23:00:00Z&step=1h"),
      now,
      zurich,
    );
    expect(asked).toMatchObject({ step: "1h", preset: "2d", follows: false });
    expect(rangeOf(new URLSearchParams("from=x&to=2026-11-03T23:00:00Z"), now, zurich)).toMatchObject({
      preset: "2d",
      follows: true,
    });
    expect(rangeOf(new URLSearchParams("range=year&step=15m"), now, zurich).step).toBe("1d");
  });
});
