import { describe, expect, it } from "vitest";
import { EventParser } from "../../src/lib/event-stream.ts";
import { freshness, HIDDEN_MS, LiveMachine, OFFLINE_MS, OPEN_MS, retryDelayMs } from "../../src/lib/live.ts";

const PERIOD = 10_000;

function running(): LiveMachine {
  const machine = new LiveMachine(PERIOD);
  expect(machine.start(0)).toBe("open");
  machine.opened(100);
  machine.event(200);
  return machine;
}

describe("the live state", () => {
  it("is connecting, then live", () => {
    const machine = new LiveMachine(PERIOD);
    machine.start(0);
    expect(machine.view(500).state).toBe("connecting");
    machine.opened(600);
    expect(machine.view(700).state).toBe("connecting");
    machine.event(800);
    expect(machine.view(900)).toMatchObject({ state: "live", last: 800 });
  });

  it("is stale after two and a half periods and offline after 30 s", () => {
    const machine = running();
    expect(machine.view(200 + 25_000).state).toBe("live");
    expect(machine.view(200 + 25_001).state).toBe("stale");
    expect(machine.view(200 + OFFLINE_MS).state).toBe("offline");
    expect(machine.dead(200 + OFFLINE_MS)).toBe(true);
  });

  it("is stale at once when the stream breaks, and live again with the next event", () => {
    const machine = running();
    machine.failed(1_000, 0.5);
    expect(machine.view(1_001)).toMatchObject({ state: "stale", retryAt: 2_000 });
    expect(machine.tick(1_999)).toBe("none");
    expect(machine.tick(2_000)).toBe("open");
    expect(machine.tick(2_001)).toBe("none");
    machine.opened(2_100);
    expect(machine.view(2_200).state).toBe("stale");
    machine.event(2_300);
    expect(machine.view(2_400)).toMatchObject({ state: "live", retryAt: null });
  });

  it("retries after 1, 2, 4 … 30 s with jitter", () => {
    expect([0, 1, 2, 3, 4, 5, 6, 50].map((n) => retryDelayMs(n, 0.5))).toEqual([
      1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
    ]);
    expect(retryDelayMs(0, 0)).toBe(800);
    expect(retryDelayMs(0, 1)).toBe(1_200);
    const machine = running();
    let now = 1_000;
    const waits: number[] = [];
    for (let i = 0; i < 7; i += 1) {
      machine.failed(now, 0.5);
      const due = machine.view(now).retryAt ?? 0;
      waits.push(due - now);
      now = due;
      expect(machine.tick(now)).toBe("open");
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  it("starts again with a short pause after a good event", () => {
    const machine = running();
    machine.failed(1_000, 0.5);
    machine.failed(2_000, 0.5);
    machine.opened(4_000);
    machine.event(4_100);
    machine.failed(5_000, 0.5);
    expect(machine.view(5_000).retryAt).toBe(6_000);
  });

  it("tries at once when asked, unless the stream is open", () => {
    const machine = running();
    expect(machine.tryNow(900)).toBe("none");
    machine.failed(1_000, 0.5);
    expect(machine.tryNow(1_100)).toBe("open");
    expect(machine.view(1_100).retryAt).toBeNull();
    expect(machine.tryNow(1_200)).toBe("open");
    machine.opened(1_300);
    expect(machine.tryNow(1_400)).toBe("none");
  });

  it("gives up on a head end that does not answer", () => {
    const machine = running();
    machine.failed(1_000, 0.5);
    expect(machine.tick(2_000)).toBe("open");
    expect(machine.dead(2_000 + OPEN_MS - 1)).toBe(false);
    expect(machine.dead(2_000 + OPEN_MS)).toBe(true);
    machine.failed(2_000 + OPEN_MS, 0.5);
    expect(machine.dead(2_000 + OPEN_MS)).toBe(false);
    expect(machine.view(2_000 + OPEN_MS).retryAt).toBe(2_000 + OPEN_MS + 2_000);
  });

  it("is offline for good when refused, until somebody tries", () => {
    const machine = running();
    machine.refuse(1_000);
    expect(machine.view(1_001)).toMatchObject({ state: "offline", refused: true, retryAt: null });
    expect(machine.tick(90_000)).toBe("none");
    expect(machine.tryNow(90_001)).toBe("open");
  });

  it("closes when hidden for 60 s and opens when seen again", () => {
    const machine = running();
    machine.hidden(1_000);
    expect(machine.tick(1_000 + HIDDEN_MS - 1)).toBe("none");
    expect(machine.tick(1_000 + HIDDEN_MS)).toBe("close");
    machine.failed(1_000 + HIDDEN_MS, 0.5);
    expect(machine.tick(300_000)).toBe("none");
    expect(machine.shown(300_000)).toBe("open");
    expect(machine.shown(300_001)).toBe("none");
  });

  it("does not close when hidden for less", () => {
    const machine = running();
    machine.hidden(1_000);
    expect(machine.shown(20_000)).toBe("none");
    machine.event(30_000);
    expect(machine.tick(40_000)).toBe("none");
  });

  it("tells the freshness of one meter's values", () => {
    expect(freshness(null, 0, 1_000)).toBe("connecting");
    expect(freshness(0, 2_500, 1_000)).toBe("live");
    expect(freshness(0, 2_501, 1_000)).toBe("stale");
    expect(freshness(0, 30_000, 1_000)).toBe("offline");
  });
});

describe("the event parser", () => {
  it("takes events in any pieces", () => {
    const text = 'id: 7\nevent: power\ndata: {"w":1}\n\n: ping\n\nid: 8\r\ndata: a\r\ndata: b\r\n\r\n';
    for (let size = 1; size <= text.length; size += 1) {
      const parser = new EventParser();
      const events = [];
      for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)));
      expect(events).toEqual([
        { type: "power", data: '{"w":1}', id: "7" },
        { type: "message", data: "a\nb", id: "8" },
      ]);
      expect(parser.lastId).toBe("8");
    }
  });
  it("ignores comments, unknown fields and events without data", () => {
    const parser = new EventParser();
    expect(parser.push(":x\nfoo: bar\nevent: row\n\ndata\n\n")).toEqual([
      { type: "message", data: "", id: null },
    ]);
  });
  it("gives up on an endless line or event", () => {
    expect(() => new EventParser().push("x".repeat((1 << 20) + 1))).toThrow();
    const parser = new EventParser();
    expect(() => {
      for (let i = 0; i < 3000; i += 1) parser.push(`data: ${"y".repeat(1000)}\n`);
    }).toThrow();
  });
});
