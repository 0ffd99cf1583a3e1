import { describe, expect, it } from "vitest";
import type { FencePath } from "../../src/lib/fence-api.ts";
import { crossed, keepsOut, picture, tidy, toggled } from "../../src/lib/fence.ts";

const path = (hops: string, more: Partial<FencePath> = {}): FencePath => ({
  hops,
  ases: hops.split(" ").filter((_, i) => i % 2 === 0),
  fingerprint: hops,
  latency_ms: null,
  active: false,
  refused: null,
  ...more,
});

const PATHS = [
  path("2-1 1>10 2-2 1>2 1-3 1>1 1-9", { active: true }),
  path("2-1 2>11 2-2 1>2 1-3 1>1 1-9"),
  path("2-1 1>10 2-2 2>1 3-5 2>3 1-3 1>1 1-9", { refused: "3 is denied" }),
];

describe("a quick change of a fence", () => {
  it("comes before all other entries, and goes as it came", () => {
    expect(toggled("", "3")).toBe("- 3 +");
    expect(toggled("+ 1 -", "1-ff00:0:110")).toBe("- 1-ff00:0:110 + 1 -");
    for (const fence of ["+", "- 4 +", "+ 1 + 2 -"])
      expect(toggled(toggled(fence, "3"), "3"), fence).toBe(fence);
  });
  it("takes no other place for its own", () => {
    expect(keepsOut("- 3-ff00:0:310 +", "3")).toBe(false);
    expect(keepsOut("- 33 +", "3")).toBe(false);
    expect(keepsOut("-  3\n+", "3")).toBe(true);
  });
  it("loses nothing of what is no fence yet", () => {
    expect(toggled("1 2", "3")).toContain("1 2");
    expect(tidy(" -  3 \n + ")).toBe("- 3 +");
  });
});

describe("what can be kept out of", () => {
  it("is no end and no end's domain, most crossed first", () => {
    expect(crossed(PATHS, 8)).toEqual({ domains: ["3"], ases: ["1-3", "2-2", "3-5"] });
    expect(crossed(PATHS, 1).ases).toEqual(["1-3"]);
    expect(crossed([], 8)).toEqual({ domains: [], ases: [] });
  });
});

describe("the picture", () => {
  const drawn = picture(PATHS);
  it("has each AS once, as far out as its longest way", () => {
    expect(drawn.nodes.map(({ as, column }) => [as, column])).toEqual([
      ["2-1", 0],
      ["2-2", 1],
      ["3-5", 2],
      ["1-3", 3],
      ["1-9", 4],
    ]);
    expect(drawn.nodes.filter((node) => node.out).map((node) => node.as)).toEqual(["3-5"]);
    expect(drawn.nodes.filter((node) => node.end).map((node) => node.as)).toEqual(["2-1", "1-9"]);
  });
  it("has each link once, by the best path that takes it, those beside each other bent apart", () => {
    const of = (id: string) => drawn.edges.find((edge) => edge.id === id);
    expect(drawn.edges.length).toBe(6);
    expect([of("2-1 1>10 2-2")?.state, of("2-1 2>11 2-2")?.state]).toEqual(["on", "in"]);
    expect([of("2-1 1>10 2-2")?.bend, of("2-1 2>11 2-2")?.bend]).toEqual([-0.5, 0.5]);
    expect(of("1-3 1>1 1-9")).toMatchObject({ state: "on", bend: 0 });
    expect(of("3-5 2>3 1-3")?.state).toBe("out");
    expect(drawn.edges.at(-1)?.state).toBe("on");
  });
  it("is empty where there are no paths", () => {
    expect(picture([])).toMatchObject({ columns: 0, nodes: [], edges: [] });
  });
});
