// Campaigns of the fixture: one that broadcasts, one that activates with failures, one that was stopped by
// failures, one that was stopped, one that is done, and one without any broadcast.
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const iso = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");

const BOUND = {
  blocks: 3226,
  pass_s: 1967.4,
  passes_s: 3934.8,
  rounds_s: 11520.2,
  repair_s: 1869.6,
  alone_s: 442.6,
  bound_s: 17767.2,
  factor: 1.3,
  unicast_s: 3_542_400.5,
};

const IMAGE = { model: "smr5", identifier: "Gridward 2.1", version: 21, length: 262_290 };
const KINDS = [
  {
    id: 7,
    name: "Winter image, street by street",
    phase: "broadcasting",
    state: "run",
    text: "Broadcasting, 61 %",
    meters: 1200,
    steps: (i) => (i < 14 ? "waiting" : "receiving"),
    ring: null,
    line: true,
    sent: 3946,
    began: 41 * MINUTE,
  },
  {
    id: 6,
    name: "Gridward 2.1, Bachstrasse",
    phase: "activating",
    state: "run",
    text: "Waiting before ring 3 of 3",
    meters: 240,
    steps: (i) => (i < 24 ? (i === 3 ? "failed" : i === 9 ? "failed" : "active") : "verified"),
    ring: 2,
    soaks: true,
    line: true,
    sent: 9676,
    began: 9 * HOUR,
    taken: 24_100,
  },
  {
    id: 5,
    name: "Gridward 2.0, all meters of the town and of the villages around it in one go",
    phase: "stopped_by_failures",
    state: "crit",
    text: "Stopped by failures",
    meters: 240,
    steps: (i) => (i < 3 ? "failed" : i < 200 ? "verified" : i < 230 ? "asked" : "failed"),
    ring: 0,
    line: false,
    sent: 7012,
    began: 30 * HOUR,
    taken: 20_100,
    ended: 22 * HOUR,
  },
  {
    id: 4,
    name: "Gridward 1.9",
    phase: "stopped",
    state: "pend",
    text: "Stopped",
    meters: 60,
    steps: (i) => (i < 20 ? "active" : "verified"),
    ring: 1,
    line: false,
    sent: 6452,
    began: 50 * HOUR,
    taken: 9_100,
    ended: 46 * HOUR,
  },
  {
    id: 3,
    name: "Gridward 1.8",
    phase: "done",
    state: "ok",
    text: "Done",
    meters: 60,
    steps: () => "active",
    ring: 2,
    line: false,
    alone: true,
    ended: 90 * HOUR,
  },
];
const REASONS = ["unreachable", "refused", "not_verified", "not_activated", "lost"];

export class CampaignFixture {
  constructor(now, rows) {
    this.now = now;
    this.start = now();
    this.stopped = new Set();
    this.resumed = new Set();
    // Without meters there is nothing to bring images to.
    this.all = (rows.length === 0 ? [] : KINDS).map((kind) => ({
      ...kind,
      members: Array.from({ length: kind.meters }, (_, i) => {
        const row = rows[i % rows.length];
        const step = kind.steps(i);
        const ring = i < kind.meters * 0.01 ? 0 : i < kind.meters * 0.1 ? 1 : 2;
        const broke = step === "receiving" && i % 97 === 20;
        return {
          id: row.id,
          name: i < rows.length ? row.name : `${row.name.slice(0, -4)}${String(i).padStart(4, "0")}`,
          place: row.place,
          endpoint: "tcp://192.0.2.9:4059",
          ring,
          step,
          reason: step === "failed" ? REASONS[i % 5] : null,
          tries: step === "failed" ? 5 : broke ? 2 : 0,
          next_try: broke ? iso(this.start + 4 * MINUTE) : null,
          told: step === "active" || (step === "failed" && i % 5 > 2),
          busy: step === "receiving" && i === 15,
          bitmaps: step === "verified" || step === "active" ? [1, i % 3 === 0 ? 1 : 0] : [0, 0],
        };
      }),
    }));
  }

  counts(members) {
    const counts = { meters: members.length };
    for (const step of ["waiting", "receiving", "asked", "verified", "active", "failed"])
      counts[step] = members.filter((it) => it.step === step).length;
    return counts;
  }

  /** How one stands, after what was ordered. */
  standing(one) {
    if (this.stopped.has(one.id)) return { phase: "stopped", state: "pend", state_text: "Stopped" };
    if (this.resumed.has(one.id))
      return { phase: "activating", state: "run", state_text: `Activating ring ${one.ring + 1} of 3` };
    return { phase: one.phase, state: one.state, state_text: one.text };
  }

  row(one) {
    const ended = one.ended === undefined || this.resumed.has(one.id) ? null : iso(this.start - one.ended);
    return {
      id: one.id,
      name: one.name,
      created: iso(this.start - (one.began ?? 96 * HOUR) - 80 * MINUTE),
      ended: this.stopped.has(one.id) ? iso(this.start) : ended,
      ...this.standing(one),
      image: { ...IMAGE, identifier: one.id > 5 ? "Gridward 2.1" : "Gridward 2.0", version: one.id + 14 },
      counts: this.counts(one.members),
    };
  }

  view(one) {
    const { counts, ...row } = this.row(one);
    const ringState = (i) => {
      if (row.phase === "done" || (one.ring !== null && i < one.ring)) return "done";
      if (one.ring !== i) return "todo";
      if (row.state !== "run") return "stopped";
      return one.soaks ? "soaking" : "run";
    };
    const failed = one.members.filter((it) => it.step === "failed");
    const reasons = REASONS.map((reason) => ({
      reason,
      meters: failed.filter((it) => it.reason === reason).length,
      counts: reason !== "unreachable",
    }));
    const groups = one.alone
      ? []
      : [
          {
            endpoint: "tcp://192.0.2.9:4059 tcp://192.0.2.10:4059",
            phase: one.phase === "broadcasting" ? "broadcasting" : "done",
            meters: one.meters - 12,
            blocks_sent: one.sent,
            blocks_blind: 6452,
            began: iso(this.start - one.began),
            taken_s: one.taken ?? null,
            bound: one.line ? BOUND : null,
          },
          {
            endpoint: "dial://GWD1DC0000000021",
            phase: one.phase === "broadcasting" ? "initiating" : "done",
            meters: 12,
            blocks_sent: 0,
            blocks_blind: 0,
            began: null,
            taken_s: null,
            bound: null,
          },
        ];
    return {
      ...row,
      settings: {
        passes: 2,
        parallel: 4,
        tries: 5,
        retry_s: 60,
        rings: [10, 100, 1000],
        soak_s: 600,
        failures_permille: 50,
        pace_ms: one.line ? 610 : 50,
        broadcast_from: 1,
        line: one.line ? { medium: "s-fsk", credit: 0, hops: 0, loss_permille: 50 } : null,
      },
      progress: {
        ...counts,
        ring: one.ring,
        rings: [10, 100, 1000].map((permille, i) => ({
          permille,
          state: ringState(i),
          begins: ringState(i) === "soaking" ? iso(this.start + 7 * MINUTE) : null,
          counts: this.counts(one.members.filter((it) => it.ring === i)),
        })),
        blocks_sent: groups.reduce((sum, group) => sum + group.blocks_sent, 0),
        blocks_blind: groups.reduce((sum, group) => sum + group.blocks_blind, 0),
        rounds:
          one.phase === "broadcasting"
            ? [
                { meters: 0, reads: 0, most_of_one: 0 },
                { meters: 0, reads: 0, most_of_one: 0 },
              ]
            : [
                { meters: one.meters, reads: one.meters + 3, most_of_one: 2 },
                { meters: 88, reads: 88, most_of_one: 1 },
              ],
        groups,
      },
      reasons: reasons.filter((it) => it.meters > 0),
      failed: failed.map(({ name, reason }) => ({ name, reason })),
    };
  }

  meters(one, query) {
    const step = query.get("step") ?? "all";
    const ring = query.get("ring");
    const q = (query.get("q") ?? "").toLowerCase();
    const order = (it) => (it.step === "failed" ? 0 : it.tries > 0 ? 1 : 2);
    const all = one.members
      .filter((it) => step === "all" || it.step === step)
      .filter((it) => ring === null || it.ring === Number(ring))
      .filter((it) => it.name.toLowerCase().includes(q) || it.place.toLowerCase().includes(q))
      .toSorted((a, b) => order(a) - order(b));
    const [offset, limit] = [Number(query.get("offset") ?? 0), Number(query.get("limit") ?? 100)];
    return { total: all.length, offset, rows: all.slice(offset, offset + limit) };
  }

  /** Status and body of an answer. */
  answer(method, path, query, empty) {
    if (path === "/campaigns") {
      const rows = empty ? [] : this.all.map((one) => this.row(one));
      return [200, { total: rows.length, offset: 0, rows: rows.slice(0, Number(query.get("limit") ?? 20)) }];
    }
    const match = /^\/campaigns\/(\d+)(?:\/(meters|stop|resume))?$/.exec(path);
    const one = match ? this.all.find((it) => it.id === Number(match[1])) : undefined;
    if (!one) return [404, { error: { code: "no_such_campaign", message: "No campaign has this number." } }];
    if (match[2] === "meters") return [200, this.meters(one, query)];
    if (match[2] === "stop" && method === "POST") this.stopped.add(one.id);
    if (match[2] === "resume" && method === "POST") {
      this.stopped.delete(one.id);
      this.resumed.add(one.id);
    }
    return [200, this.view(one)];
  }
}
