import { describe, expect, it } from "vitest";
import { NEW_DRAFT, readDraft, readNames, readRings } from "../../src/lib/campaign-draft.ts";

describe("rings", () => {
  it("rise in per cent to all meters", () => {
    expect(readRings("1, 10, 100")).toEqual([10, 100, 1000]);
    expect(readRings("1,10,100")).toEqual([10, 100, 1000]);
    expect(readRings("0.5% 100%")).toEqual([5, 1000]);
    expect(readRings("100")).toEqual([1000]);
  });
  it("are none where they do not", () => {
    for (const text of ["", "1, 10", "10, 5, 100", "0, 100", "100, 100", "a, 100", "1, 10, 200"])
      expect(readRings(text), text).toBeNull();
    expect(readRings("1 2 3 4 5 6 7 8 9 10 100")).toBeNull();
  });
});

describe("a list of names", () => {
  it("has each once, however they stand", () => {
    expect(readNames(" GWD1,GWD2\nGWD1;GWD3 ")).toEqual(["GWD1", "GWD2", "GWD3"]);
    expect(readNames(" \n")).toEqual([]);
  });
});

describe("a draft", () => {
  it("asks for all meters, in three rings", () => {
    const { body, faults } = readDraft({ ...NEW_DRAFT, image: "ab" });
    expect(faults).toEqual([]);
    expect(body).toEqual({
      image_id: "ab",
      skip: ["silent"],
      settings: { rings: [10, 100, 1000], soak_s: 600, failures_permille: 50 },
    });
  });
  it("says in its own words whom it is for and what the line is like", () => {
    const line = { medium: "s-fsk", hops: "2", loss: "2.5" };
    const draft = { ...NEW_DRAFT, image: "ab", skipSilent: false, skipAlone: true, ...line };
    const of = (more: object) => readDraft({ ...draft, ...more }).body;
    expect(of({ who: "filter", q: " Bach ", feeder: "F2", list: "X" })).toMatchObject({
      q: "Bach",
      feeder: "F2",
      skip: ["no_broadcast_key"],
    });
    expect(of({ who: "list", list: "A B", q: "x" })).not.toHaveProperty("q");
    expect(of({ who: "list", list: "A B" }).meters).toEqual(["A", "B"]);
    expect(of({ who: "endpoint", endpoint: "tcp://h:1" }).endpoint).toBe("tcp://h:1");
    expect(of({}).settings.line).toEqual({ medium: "s-fsk", credit: 2, hops: 0, loss_permille: 25 });
    expect(of({ medium: "g3" }).settings.line).toEqual({
      medium: "g3",
      credit: 0,
      hops: 2,
      loss_permille: 25,
    });
  });
  it("names the fields that stand in the way", () => {
    const of = (more: object) => readDraft({ ...NEW_DRAFT, ...more }).faults;
    expect(of({ who: "list" })).toEqual(["list"]);
    expect(of({ who: "endpoint" })).toEqual(["endpoint"]);
    expect(of({ rings: "1", soak: "x", failures: "101" })).toEqual(["rings", "soak", "failures"]);
    // Without a line nothing of it stands in the way.
    expect(of({ hops: "9", loss: "60" })).toEqual([]);
    expect(of({ medium: "s-fsk", hops: "8", loss: "60" })).toEqual(["hops", "loss"]);
    expect(of({ medium: "prime", hops: "8", loss: "50" })).toEqual([]);
  });
});
