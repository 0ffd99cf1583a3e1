import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  add,
  compared,
  dayHours,
  downloadRange,
  energy,
  joined,
  hasHistory,
  sentence,
  sinceWords,
  nowView,
  periodOf,
  sampleOf,
  total,
  untilWords,
  type Sample,
} from "../../src/home/model.ts";
import type { History, HomeState } from "../../src/home/types.ts";
import { HOUR, Zone } from "../../src/lib/time.ts";
import { en } from "../../src/texts/home.en.ts";

/** The answers that the gateway's own tests hold to be right. */
function answer<T>(name: string): T {
  const path = new URL(`../../../crates/homegate/tests/fixtures/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, "utf8")) as T;
}

const zone = new Zone("Europe/Zurich");
const now = Date.parse("2026-11-19T13:32:08Z");
const told = answer<HomeState>("state");
const sample = (at: number, w = 400, seen = at): Sample => ({ w, at, seen, costPerHour: null });

describe("power now", () => {
  const last = told.power ? sampleOf(told.power) : null;

  it("is what is young, and nothing else", () => {
    expect(nowView(told, last, "live", now, 7_000)).toEqual({ kind: "live", cause: null });
    expect(nowView(told, last, "live", now + 14_000, 7_000).kind).toBe("live");
    expect(nowView(told, last, "live", now + 15_000, 7_000)).toEqual({ kind: "old", cause: "meter" });
  });

  it("is old as soon as the gateway does not answer, the link is down or the meter is silent", () => {
    expect(nowView(told, last, "offline", now, 7_000)).toEqual({ kind: "old", cause: "offline" });
    const down = { ...told, link: { ...told.link, open: false } };
    expect(nowView(down, last, "live", now, 7_000)).toEqual({ kind: "old", cause: "link" });
    const silent = { ...told, meter: { ...told.meter, state: "silent" as const } };
    expect(nowView(silent, last, "live", now, 7_000)).toEqual({ kind: "old", cause: "meter" });
  });

  it("blames nobody while the page connects, and still calls nothing old now", () => {
    expect(nowView(told, last, "connecting", now + 86_400_000, 7_000)).toEqual({ kind: "old", cause: null });
    expect(nowView(null, null, "connecting", now, 7_000)).toEqual({ kind: "never", cause: null });
  });

  it("has the period that is configured, else the one that is seen", () => {
    expect(periodOf(told, [])).toBe(7_000);
    const pushed = { ...told, link: { ...told.link, interval_s: null } };
    expect(periodOf(pushed, [])).toBe(10_000);
    expect(
      periodOf(
        pushed,
        [0, 2_500, 5_000, 30_000].map((at) => sample(at)),
      ),
    ).toBe(2_500);
  });
});

describe("samples", () => {
  it("come in order, once, and are bounded", () => {
    const first = add([], [sample(1_000), sample(2_000)]);
    expect(add(first, [sample(2_000), sample(1_500)])).toBe(first);
    let many: Sample[] = [];
    for (let i = 0; i < 3_000; i += 1) many = add(many, [sample(i * 1_000)]);
    expect(many.length).toBeLessThanOrEqual(661);
    expect(many.at(-1)?.at).toBe(2_999_000);
  });

  it("begin anew after the clock was set back", () => {
    expect(add([sample(500_000)], [sample(100_000)])).toEqual([sample(100_000)]);
  });

  it("join what the gateway has in memory with what came since, and keep when that was received", () => {
    const raw = answer<History>("history-raw");
    const end = Date.parse(raw.intervals.at(-1)?.t ?? "");
    const newest = sample(end + 7_000, 470, end + 9_000);
    const all = joined(raw, [sample(end - 7_000), newest]);
    expect(all.length).toBe(raw.intervals.length + 1);
    expect(all.at(-1)).toEqual(newest);
    expect(all.every((one, i) => i === 0 || one.at > (all[i - 1]?.at ?? 0))).toBe(true);
  });
});

describe("hours of a day", () => {
  const intervals = ["history-1h-yesterday", "history-1h"].flatMap((name) => answer<History>(name).intervals);
  const history = { ...answer<History>("history-1h"), intervals };

  it("have gaps where no reading came, and never a zero there", () => {
    const day = dayHours(history, now, zone);
    expect(day.times.length).toBe(24);
    expect(day.used.slice(10, 13)).toEqual([0.3, null, 0.52]);
    expect(day.used.slice(15)).toEqual(Array(9).fill(null));
    expect(day.gaps).toEqual([
      { from: Date.parse("2026-11-19T10:00:00Z"), to: Date.parse("2026-11-19T11:00:00Z"), intervals: 1 },
    ]);
    expect(day.yesterday[0]).toBe(0.22);
    expect(day.yesterday.filter((value) => value === null)).toEqual([]);
    expect(day.given.every((value) => value === null)).toBe(true);
  });

  it("show a silence that lasts up to the present, and none beyond it", () => {
    const silent = { ...history, gaps: [{ from: "2026-11-19T13:05:00Z", to: null }] };
    expect(dayHours(silent, now, zone).gaps.at(-1)?.to).toBe(now);
    const short = { ...history, gaps: [{ from: "2026-11-19T13:25:00Z", to: null }] };
    expect(dayHours(short, now, zone).gaps.length).toBe(1);
  });

  it("are 23 or 25 on days on which the clocks change, each beside the same hour of the day before", () => {
    const at = (text: string) => Date.parse(text);
    const flat = (from: string, hours: number): History["intervals"] =>
      Array.from({ length: hours }, (_, i) => ({
        t: new Date(at(from) + i * HOUR).toISOString(),
        delivered_wh: zone.local(at(from) + i * HOUR).hour * 100,
        received_wh: null,
        w: null,
        readings: 1,
        partial: false,
      }));
    const spring = dayHours(
      { ...history, gaps: [], intervals: flat("2027-03-26T23:00:00Z", 47) },
      at("2027-03-28T20:00:00Z"),
      zone,
    );
    expect(spring.times.length).toBe(23);
    expect(spring.yesterday).toEqual(spring.used);
    const autumn = dayHours(
      { ...history, gaps: [], intervals: flat("2026-10-23T22:00:00Z", 49) },
      at("2026-10-25T22:30:00Z"),
      zone,
    );
    expect(autumn.times.length).toBe(25);
    expect(autumn.yesterday).toEqual(autumn.used);
  });

  it("are empty without history", () => {
    const day = dayHours(null, now, zone);
    expect(day.used.every((value) => value === null)).toBe(true);
    expect(day.gaps).toEqual([]);
  });
});

describe("figures", () => {
  it("are energy at a glance", () => {
    expect([0, 4, 480, 4_800, 96_400, 999_949, 1_240_000, -2_210].map((wh) => energy(wh))).toEqual([
      "0.00",
      "0.00",
      "0.48",
      "4.8",
      "96.4",
      "999.9",
      "1240",
      "\u22122.2",
    ]);
  });

  it("keep registers as exact as the meter tells them", () => {
    expect([27_875_300, 27_875_359, 4_000, 0].map(total)).toEqual(["27875.3", "27875.359", "4.0", "0.0"]);
  });

  it("say how a day differs only as far as one sees it", () => {
    expect(compared(4_800, 5_300)).toEqual({ than: "less", text: "0.5" });
    expect(compared(4_800, 4_830)).toEqual({ than: "same", text: "0.0" });
    expect(compared(480, 300)).toEqual({ than: "more", text: "0.18" });
  });

  it("are downloaded for this month and the one before", () => {
    expect(new Date(downloadRange(now, zone).from).toISOString()).toBe("2026-09-30T22:00:00.000Z");
    expect(new Date(downloadRange(Date.parse("2027-01-03T00:00:00Z"), zone).from).toISOString()).toBe(
      "2026-11-30T23:00:00.000Z",
    );
  });

  it("tell what an hour costs", () => {
    expect(en.now.cost(0.14, "CHF")).toBe("About 14 cents an hour");
    expect(en.now.cost(0.012, "EUR")).toBe("About 1 cent an hour");
    expect(en.now.cost(0.001, "EUR")).toBe("Less than a cent an hour");
    expect(en.now.cost(1.237, "CHF")).toBe("About 1.24 CHF an hour");
    expect(en.now.cost(2.5, "SEK")).toBe("About 2.50 SEK an hour");
  });

  it("name past and coming times by as much as is needed", () => {
    const at = (text: string): number => Date.parse(text);
    expect(sinceWords(at("2026-11-19T13:20:00Z"), now, zone)).toBe("14:20");
    expect(sinceWords(at("2026-11-18T22:59:00Z"), now, zone)).toBe("yesterday 23:59");
    expect(sinceWords(at("2026-11-02T13:20:00Z"), now, zone)).toBe("2 Nov, 14:20");
    expect(untilWords(at("2026-11-20T05:00:00Z"), now, zone)).toBe("06:00");
    expect(untilWords(at("2026-11-23T05:00:00Z"), now, zone)).toBe("Mon 06:00");
  });

  it("have a whole hour, or are too young to be taken along by the hour", () => {
    const hour = answer<History>("history-1h");
    expect(hasHistory(told, null)).toBe(true);
    const young = { ...told, last_month: null };
    expect(hasHistory(young, hour)).toBe(true);
    expect(hasHistory(young, { ...hour, intervals: hour.intervals.slice(-1) })).toBe(false);
    expect(hasHistory(young, null)).toBe(false);
  });

  it("come with reasons as sentences", () => {
    expect(sentence("the port was closed")).toBe("The port was closed.");
    expect(sentence("/dev/ttyUSB0 is not there: plug it in.")).toBe("/dev/ttyUSB0 is not there: plug it in.");
  });

  it("name days in order", () => {
    const days = [1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 31].map((day) => en.month.compared.less("1", day));
    expect(days.map((text) => text.replace(/^.* /, ""))).toEqual(
      "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 23rd 31st".split(" "),
    );
  });
});
