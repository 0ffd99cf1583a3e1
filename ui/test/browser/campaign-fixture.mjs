import { createHash } from "node:crypto";

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
const SETTINGS = {
  passes: 2,
  parallel: 4,
  tries: 5,
  retry_s: 60,
  rings: [10, 100, 1000],
  soak_s: 600,
  failures_permille: 50,
  pace_ms: 50,
  broadcast_from: 1,
  line: null,
};

const bad = (message) => [400, { error: { code: "bad_request", message } }];

/** An image that the fixture takes: the first octets, and what it calls itself behind them. */
export const firmware = (identifier, octets = 4096) =>
  Buffer.concat([Buffer.from(`GWFW ${identifier}\n`), Buffer.alloc(octets, 0x5a)]);

const REASONS = ["unreachable", "refused", "not_verified", "not_activated", "lost"];

export class CampaignFixture {
  constructor(now, rows) {
    this.now = now;
    this.start = now();
    this.stopped = new Set();
    this.resumed = new Set();
    /** What was asked for as a plan and begun, as it came. */
    this.planned = [];
    /** So old is what is looked at. */
    this.lookedAgo = 0;
    this.begun = [];
    this.rows = rows;
    this.images = [
      this.image(firmware("Gridward 2.1"), 21, "verified", 3 * HOUR, [6, 7]),
      this.image(firmware("Gridward 2.0"), 20, "unchecked", 72 * HOUR, []),
      this.image(firmware("Other 9"), 9, "refused", 200 * HOUR, []),
    ];
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

  image(octets, version, signature, ago, campaigns) {
    return {
      id: createHash("sha256").update(octets).digest("hex"),
      model: "smr5",
      identifier: octets.toString("latin1").slice(5).split("\n")[0],
      version,
      length: octets.length,
      uploaded: iso(this.now() - ago),
      signature,
      campaigns,
    };
  }

  /** Keeps what was brought, or says why not. */
  upload(octets) {
    if (octets.subarray(0, 4).toString() !== "GWFW")
      return bad("The image: this is no firmware image of format 1. Nothing was kept.");
    const image = this.image(octets, 22, "verified", 0, []);
    const known = this.images.find((one) => one.id === image.id);
    if (known) return [200, known];
    this.images.unshift(image);
    return [201, image];
  }

  /** What a body would come to: every tenth meter has no keys, and one is in a campaign. */
  plan(body) {
    const image = this.images.find((one) => one.id === body.image_id);
    if (!image) return bad("The head end keeps no image with this hash.");
    const named = this.rows.filter(
      (row) =>
        (body.meters ?? [row.name]).includes(row.name) &&
        (body.feeder ?? row.feeder) === row.feeder &&
        `${row.name}\n${row.place}`.toLowerCase().includes((body.q ?? "").toLowerCase()),
    );
    const reason = (row) => {
      const i = this.rows.indexOf(row);
      if (i % 10 === 9) return "no_keys";
      if (i === 13) return "in_campaign";
      if (i % 10 === 4) return "runs_it";
      return row.state === "off" && body.skip.includes("silent") ? "silent" : null;
    };
    const meter = (row) => ({
      id: row.id,
      name: row.name,
      place: row.place,
      firmware:
        reason(row) === "runs_it" ? image.identifier : reason(row) === "no_keys" ? null : "Gridward 1.9",
      reason: reason(row),
      campaign: reason(row) === "in_campaign" ? 7 : null,
    });
    const part = named.filter((row) => reason(row) === null);
    const out = named.filter((row) => reason(row) !== null);
    const reasons = ["no_keys", "runs_it", "in_campaign", "silent"];
    let before = 0;
    const rings = body.settings.rings.map((permille) => {
      const upTo = Math.ceil((part.length * permille) / 1000);
      const meters = upTo - before;
      before = upTo;
      return { permille, meters };
    });
    const line = body.settings.line !== undefined;
    const { model, identifier, version, length } = image;
    const mark = JSON.stringify([body.image_id, body.settings, part.map((row) => row.id)]);
    return [
      200,
      {
        as_of: iso(this.now() - this.lookedAgo),
        plan: createHash("sha256").update(mark).digest("hex"),
        name: identifier,
        image: { model, identifier, version, length },
        image_id: image.id,
        settings: { ...SETTINGS, ...body.settings, line: body.settings.line ?? null },
        chosen: named.length,
        meters: part.length,
        out: reasons
          .map((name) => ({ reason: name, meters: out.filter((row) => reason(row) === name).length }))
          .filter((it) => it.meters > 0),
        left_out: out.map(meter),
        silent: part.filter((row) => row.state === "off").length,
        unknown_version: Math.min(3, part.length),
        rings: part.length === 0 ? [] : rings,
        first: part.slice(0, Math.min(20, rings[0]?.meters ?? 0)).map(meter),
        shared: Math.max(0, part.length - 2),
        alone: Math.min(2, part.length),
        groups: [
          { endpoint: "tcp://192.0.2.9:4059", meters: part.length - 2, shares: true },
          { endpoint: "tcp://192.0.2.11:4059", meters: 2, shares: false },
        ]
          .filter((group) => group.meters > 0)
          .map((group) => ({ ...group, blocks: 3226, bound: line ? BOUND : null })),
        allowed_s: line ? BOUND.bound_s * BOUND.factor : null,
        soak_s: body.settings.soak_s * (body.settings.rings.length - 1),
        line_pace_ms: line ? 610 : null,
      },
    ];
  }

  /** Begins what was planned and nothing else. */
  begin(body) {
    const [status, plan] = this.plan(body);
    if (status !== 200) return [status, plan];
    if ((body.reason ?? "").length < 10) return bad("A reason has 10 to 200 characters.");
    if (body.confirm !== plan.image.identifier) return bad("This is not what the image calls itself.");
    if (body.plan !== plan.plan)
      return [409, { error: { code: "plan_changed", message: "It would come to something else now." } }];
    this.begun.push(body);
    const id = Math.max(...this.all.map((one) => one.id)) + 1;
    const [first] = this.all;
    this.all.unshift({
      ...first,
      id,
      name: plan.name,
      why: body.reason,
      members: first.members
        .slice(0, plan.meters)
        .map((member) => ({ ...member, step: "waiting", tries: 0 })),
    });
    return [201, { id }];
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
    const row = this.row(one);
    const { counts } = row;
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
        ...SETTINGS,
        pace_ms: one.line ? 610 : 50,
        line: one.line ? { medium: "s-fsk", credit: 0, hops: 0, loss_permille: 50 } : null,
      },
      reason: one.why ?? null,
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
  answer(method, path, query, empty, body) {
    if (path === "/images") {
      if (method === "POST") return this.upload(body);
      return [200, { most: 32, rows: empty ? [] : this.images }];
    }
    const image = /^\/images\/([0-9a-f]{64})$/.exec(path);
    if (image && method === "DELETE") {
      this.images = this.images.filter((one) => one.id !== image[1]);
      return [204, null];
    }
    if (path === "/campaigns/plan" && method === "POST") {
      this.planned.push(JSON.parse(body.toString()));
      return this.plan(this.planned.at(-1));
    }
    if (path === "/campaigns" && method === "POST") return this.begin(JSON.parse(body.toString()));
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
