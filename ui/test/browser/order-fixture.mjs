// Orders to meters of the fixture: one of each end, and those that the tests give, which go on with each look.
const iso = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
const SECOND = 1_000;

const ENDS = [
  ["disconnect", "done", "The meter answered: success.", { output: false, control: "open" }],
  ["connect", "unconfirmed", "The meter answered: success.", { output: false, control: "ready" }],
  [
    "disconnect",
    "refused",
    "The meter did not do it: read-write-denied.",
    { output: true, control: "closed" },
  ],
  [
    "disconnect",
    "unknown",
    "The link was lost. Whether the meter did it is not known, and it is not sent again by itself.",
    null,
  ],
  ["text", "done", "The meter answered: success.", { text: "Work on the line, Thursday 8:00 to 9:30" }],
  ["connect", "not_sent", "Nothing answers at its address. Nothing was sent.", null],
  ["disconnect", "stopped", "Stopped by operator before it was sent. Nothing was sent.", null],
  ["read", "done", "The meter answered: 14 registers, clock and breaker.", null],
];

export class OrderFixture {
  constructor(now, rows) {
    this.now = now;
    this.rows = rows;
    /** The concentrators that may be told to hand over, with the pairs that they tell of. */
    this.pairs = [];
    /** Seconds for which an order to switch may be stopped. */
    this.armed = 120;
    /** How orders of the tests end. */
    this.end = "done";
    this.why = null;
    this.all = [];
    ENDS.forEach(([kind, state, answer, read], i) => {
      const at = now() - (i + 2) * 47 * 60 * SECOND;
      const row = rows[i * 3];
      if (!row) return; // A fleet as small as that had fewer orders; a home has none.
      const order = this.make(row, kind, at);
      const sent = state !== "not_sent" && state !== "stopped";
      Object.assign(order, {
        number: ENDS.length - i,
        state,
        answer,
        text: read?.text ?? "",
        reason: kind === "read" ? "" : "Moved out on 20 November, case 88-204",
        sent: sent ? iso(at + 120 * SECOND) : null,
        due: iso(at + 120 * SECOND),
        read_back: read && { output: null, control: null, text: null, ...read, at: iso(at + 122 * SECOND) },
        ended: iso(at + 122 * SECOND),
      });
      this.all.push(order);
    });
  }

  make(row, kind, at) {
    return {
      number: this.all.length + 1,
      meter: row.id,
      name: row.name,
      place: row.place,
      t: iso(at),
      who: "operator",
      kind,
      text: "",
      reason: "",
      state: "waiting",
      due: iso(at),
      sent: null,
      answer: null,
      read_back: null,
      ended: null,
    };
  }

  /** Lets an order go on by one state: armed until its time, then sent, then its end. */
  step(order) {
    const now = this.now();
    if (order.ended !== null) return;
    if (order.state === "armed" && now < Date.parse(order.due)) return;
    if (order.sent === null) {
      order.state = "sent";
      order.sent = iso(now);
      return;
    }
    const open = order.kind === "disconnect";
    const same = this.end === "done";
    order.state = this.end;
    order.ended = iso(now);
    order.answer =
      this.end === "unknown"
        ? "The link was lost. Whether the meter did it is not known, and it is not sent again by itself."
        : "The meter answered: success.";
    if (this.end === "unknown" || order.kind === "read") return;
    if (order.kind === "switchover") {
      const one = this.pairs.find((it) => it.id === order.meter);
      if (same) one.switched = true;
      order.answer = "The concentrator answered: success.";
      order.read_back = { output: null, control: null, text: same ? order.text : order.name, at: iso(now) };
      return;
    }
    order.read_back =
      order.kind === "text"
        ? { output: null, control: null, text: order.text, at: iso(now) }
        : {
            output: open ? !same : same,
            control: open === same ? "open" : "closed",
            text: null,
            at: iso(now),
          };
  }

  /** Answers a request under /orders or /meters/ID/orders: [status, body]. */
  answer(method, path, search, body, empty) {
    const refuse = (status, code, message) => [status, { error: { code, message } }];
    const limit = Number(search.get("limit") ?? 50);
    const before = Number(search.get("before") ?? Number.MAX_SAFE_INTEGER);
    const page = (all) => {
      for (const order of all) this.step(order);
      const rows = all.filter((order) => order.number < before).slice(0, limit);
      return [200, { total: all.length, rows: rows.map((row) => ({ ...row })) }];
    };
    if (path === "/orders") return page(empty ? [] : this.all);
    const [, number, stop] = /^\/orders\/(\d+)(\/stop)?$/.exec(path) ?? [];
    if (number !== undefined) {
      const order = this.all.find((one) => one.number === Number(number));
      if (!order) return refuse(404, "no_such_order", "No order has this number.");
      if (stop === undefined) this.step(order);
      else if (order.state !== "armed") return refuse(409, "not_armed", "It cannot be stopped any more.");
      else {
        order.state = "stopped";
        order.answer = "Stopped by operator before it was sent. Nothing was sent.";
        order.ended = iso(this.now());
      }
      return [200, { ...order }];
    }
    const [, pair] = /^\/concentrators\/([a-z0-9_]+)\/switchover$/.exec(path) ?? [];
    if (pair !== undefined) return this.switchover(method, pair, body, refuse);
    const [, id, part] = /^\/meters\/([a-z0-9_]+)\/orders(?:\/(dry-run))?$/.exec(path) ?? [];
    const row = this.rows.find((one) => one.id === id);
    if (!row) return refuse(404, "no_such_meter", "No meter has this address.");
    const kind = body?.kind ?? search.get("kind");
    const switches = kind === "connect" || kind === "disconnect";
    if (part === "dry-run") {
      return [
        200,
        {
          as_of: iso(this.now()),
          name: row.name,
          place: row.place,
          confirm: row.place,
          possible: this.why === null,
          why_not: this.why,
          steps: [
            "Write the order into the journal",
            ...(switches ? [`Wait ${this.armed} s, in which anybody may stop it`] : []),
            "Associate with the meter as client 1",
            switches
              ? `Invoke method ${kind === "connect" ? 2 : 1}, remote_${kind}, of Disconnect control, 0-0:96.3.10.255`
              : "Write the text into Consumer message, 0-0:96.13.0.255",
            "Read back output and control state",
          ],
          client: 1,
          last_read: iso(this.now() - 11 * 60 * SECOND),
          failing: null,
          breaker: "closed",
          breaker_at: iso(this.now() - 11 * 60 * SECOND),
          draws_w: row.power_w,
          draws_at: iso(this.now() - 3 * SECOND),
          armed_s: switches ? this.armed : 0,
          second_person: false,
          disconnections: 1,
          disconnections_max: 10,
        },
      ];
    }
    if (method === "POST") {
      if (kind !== "read" && (body.reason ?? "").length < 10)
        return refuse(400, "bad_request", "A reason has 10 to 200 characters.");
      if (switches && body.confirm !== row.place)
        return refuse(400, "bad_request", "This is not the meter's place. Nothing was sent.");
      const order = this.make(row, kind, this.now());
      order.reason = body.reason ?? "";
      order.text = body.text ?? "";
      if (switches && this.armed > 0) {
        order.state = "armed";
        order.due = iso(this.now() + this.armed * SECOND);
      }
      this.all.unshift(order);
      return [202, { ...order }];
    }
    return page(this.all.filter((order) => order.meter === id));
  }
  /** Answers what is asked of handing over: what it would mean, and the order. */
  switchover(method, id, body, refuse) {
    const one = this.pairs.find((it) => it.id === id);
    if (!one) return refuse(404, "no_such_concentrator", "No concentrator has this address.");
    const pair = one.pair();
    const why_not =
      this.why ??
      (pair?.state === "ready"
        ? null
        : pair?.state === "away"
          ? "The other one is away: it would not go on."
          : "It works alone: no other concentrator stands by for it.");
    const peer = pair?.peer ?? "";
    if (method === "POST") {
      if ((body.reason ?? "").length < 10)
        return refuse(400, "bad_request", "A reason has 10 to 200 characters.");
      if (body.confirm !== one.name)
        return refuse(400, "bad_request", "This is not the concentrator's name. Nothing was sent.");
      if (why_not !== null)
        return refuse(409, "no_standby", "The other one could not go on now. Look again.");
      const order = this.make({ id, name: one.name, place: "" }, "switchover", this.now());
      Object.assign(order, { reason: body.reason, text: peer });
      if (this.armed > 0) {
        order.state = "armed";
        order.due = iso(this.now() + this.armed * SECOND);
      }
      this.all.unshift(order);
      return [202, { ...order }];
    }
    return [
      200,
      {
        as_of: iso(this.now()),
        name: one.name,
        confirm: one.name,
        possible: why_not === null,
        why_not,
        steps: [
          "Write the order into the journal",
          ...(this.armed > 0 ? [`Wait ${this.armed} s, in which anybody may stop it`] : []),
          "Associate with the concentrator as client 1, and read 0-0:128.0.14.255",
          `Write ${peer} and epoch ${pair?.epoch ?? 0} into it, if both are as they were`,
          "Read back who has the segments",
        ],
        peer,
        told: iso(this.now() - 4 * SECOND),
        in_step: pair?.state === "ready",
        behind_ms: pair?.behind_ms ?? null,
        meters: one.meters.filter((it) => it.there).length,
        waiting: 4,
        armed_s: this.armed,
        second_person: false,
      },
    ];
  }
}
