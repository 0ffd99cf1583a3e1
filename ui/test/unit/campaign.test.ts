import { describe, expect, it } from "vitest";
import { perCent, share, span } from "../../src/lib/campaign.ts";

describe("how long something takes", () => {
  it("has the unit that fits", () => {
    expect([0.61, 9.96, 42.4, 59.6].map(span)).toEqual(["0.6 s", "10 s", "42 s", "60 s"]);
    expect([600, 3_570, 7_200, 17_767].map(span)).toEqual(["10 min", "1 h", "2 h", "4 h 56 min"]);
    expect([171_000, 3_542_400].map(span)).toEqual(["47 h 30 min", "41 days"]);
  });
});

describe("thousandths", () => {
  it("are written without a zero behind the point", () => {
    expect([5, 10, 1_000].map(perCent)).toEqual(["0.5", "1", "100"]);
  });
});

describe("a share", () => {
  it("is cut, so that 100 means all, and is nothing of nothing", () => {
    expect(share(999, 1_000)).toBe("99");
    expect(share(1_000, 1_000)).toBe("100");
    expect(share(5, 0)).toBe("0");
  });
});
