import { describe, expect, it } from "vitest";
import type { Wan, WanWay } from "../../src/lib/types.ts";
import { isMissed, runsOver, wayName } from "../../src/lib/wan.ts";

function way(name: string, state: WanWay["state"], of = ""): WanWay {
  return {
    name,
    place: `192.0.2.17:${name.length}`,
    dialled: false,
    class: of,
    connections: 0,
    state,
    gained: null,
    lost: null,
    heard: null,
  };
}

const wan = (current: number | null, ...ways: WanWay[]): Wan => ({ ways, current, change: null });
const missed = (of: Wan): boolean[] => of.ways.map((_, at) => isMissed(of, at));

describe("ways of a concentrator", () => {
  it("are missed where they are down, in use or not", () => {
    expect(missed(wan(0, way("A", "up"), way("B", "down"), way("C", "down", "control")))).toEqual([
      false,
      true,
      true,
    ]);
  });

  it("are missed where nobody comes over them and one behind is in use", () => {
    for (const state of ["quiet", "new"] as const) {
      expect(missed(wan(1, way("A", state), way("B", "up"), way("C", state)))).toEqual([true, false, false]);
      expect(missed(wan(1, way("A", state, "control"), way("B", "up")))).toEqual([false, false]);
      expect(missed(wan(null, way("A", state), way("B", state)))).toEqual([false, false]);
    }
  });

  it("are not missed where there are none", () => {
    expect(isMissed(wan(null), 0)).toBe(false);
    expect(isMissed(wan(1, way("A", "up"), way("B", "up")), 0)).toBe(false);
  });

  it("are told to be in use where they can be told apart", () => {
    expect(runsOver(wan(1, way("A", "down"), way("B", "up")))?.name).toBe("B");
    expect(runsOver(wan(0, way("", "up"), way("", "up")))).not.toBe(null);
    expect(runsOver(wan(0, way("", "up"), way("", "up", "control")))).toBe(null);
    expect(runsOver(wan(0, way("A", "quiet"), way("B", "up")))).toBe(null);
    expect(runsOver(wan(null, way("A", "new"), way("B", "new")))).toBe(null);
  });

  it("have the name that people gave them, or their place", () => {
    expect([way("Fibre", "up"), way("", "up")].map(wayName)).toEqual(["Fibre", "192.0.2.17:0"]);
  });
});
