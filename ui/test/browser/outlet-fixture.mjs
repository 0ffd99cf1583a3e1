// Outlet meters of the fixture: four of them, with a gap, a warning, one away and one never seen.
const MINUTE = 60_000;
const SECTION = 10 * MINUTE;
/** Their civil time is an hour ahead of UTC. */
const AHEAD = 3_600_000;

const NAMES = ["Fridge", "Kettle", "Router", "Heater"];
const METERS = [
  { id: 2, place: "Mühlegasse 7", state: "off", state_text: "No connection", connected: false, missing: 31 },
  {
    id: 1,
    place: "Lindenweg 14, flat 3",
    state: "warn",
    state_text: "Outlet 002 warned",
    connected: true,
    missing: 4,
  },
  { id: 4, place: "Am Bach 2", state: "new", state_text: "Not seen yet", connected: false, missing: 0 },
  { id: 3, place: "Seestrasse 120", state: "ok", state_text: "Connected", connected: true, missing: 0 },
];

const iso = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");
const dayOf = (ms) => iso(ms + AHEAD).slice(0, 10);

export class OutletFixture {
  constructor(now) {
    this.now = now;
    this.orders = [];
    this.ordered = new Map();
    this.costs = new Map([
      [1, { t: "2026-11-18T09:12:00Z", month: 11, day_start: 8, day_end: 14, total_cost: 18 }],
    ]);
    /** Sections that were asked for again: those of the gap come then. */
    this.asked = false;
    this.preview = true;
    /** Meters beside those above, all alike. */
    this.more = 0;
  }

  meter(id) {
    return METERS.find((meter) => meter.id === id);
  }

  watts(outlet, at) {
    const wave = Math.sin(at / 7_000_000 + outlet) + Math.sin(at / 2_300_000);
    const base = [88, 0, 9, 640][outlet - 1] ?? 20;
    const kettle = outlet === 2 && Math.floor(at / SECTION) % 37 === 5 ? 2_060 : 0;
    return Math.max(0, Math.round(base + base * 0.2 * wave + kettle));
  }

  /** The gap of meter 1: four sections of today. */
  missing(id, number) {
    return id === 1 && !this.asked && number >= 52 && number <= 55;
  }

  row(meter) {
    const seen = meter.state !== "new";
    return {
      ...meter,
      outlets: 4,
      missing: meter.id === 1 && this.asked ? 0 : meter.missing,
      last_heard: meter.connected ? iso(this.now() - 2 * MINUTE) : null,
      power_w: seen ? 742 : null,
      power_at: seen ? iso(Math.floor(this.now() / SECTION) * SECTION) : null,
      days: Array.from({ length: 30 }, (_, i) =>
        !seen || i < 12 ? null : meter.id === 2 && i === 28 ? 820 : i === 29 && meter.id === 1 ? 960 : 1000,
      ),
      read_permille: seen ? (meter.id === 2 ? 978 : meter.id === 1 ? 998 : 1000) : null,
    };
  }

  detail(meter) {
    const seen = meter.state !== "new";
    const newest = Math.floor(this.now() / SECTION) * SECTION - SECTION;
    const ids = METERS.map((one) => one.id).sort();
    const at = ids.indexOf(meter.id);
    return {
      id: meter.id,
      place: meter.place,
      state: meter.state,
      state_text: meter.state_text,
      connected: meter.connected,
      connected_since: iso(this.now() - 95 * MINUTE),
      last_heard: meter.connected ? iso(this.now() - 2 * MINUTE) : null,
      expected_from: "2026-11-07T23:00:00Z",
      utc_offset_min: 60,
      today: dayOf(this.now()),
      keeps_days: 60,
      missing: this.row(meter).missing,
      days: [],
      outlets: NAMES.map((name, i) => {
        const order = this.ordered.get(`${meter.id}/${i + 1}`) ?? null;
        const first = meter.id === 1 && i === 3 && !order;
        return {
          number: i + 1,
          name,
          ordered: first ? "off" : (order?.to ?? null),
          ordered_at: first ? "2026-11-19T07:02:00Z" : (order?.at ?? null),
          agrees: first ? true : null,
          section: seen ? iso(newest) : null,
          volts: seen ? 230 : null,
          milliamperes: seen ? (first ? 0 : Math.round(this.watts(i + 1, newest) / 0.23)) : null,
          watts: seen ? (first ? 0 : this.watts(i + 1, newest)) : null,
          warned_at: meter.id === 1 && i === 1 ? iso(this.now() - 20 * MINUTE) : null,
        };
      }),
      refused: meter.id === 2 ? 2 : 0,
      refused_text: meter.id === 2 ? "its time lies ahead, or before the meter was enrolled" : null,
      cost: this.costs.get(meter.id) ?? null,
      warnings: meter.id === 1 ? 7 : 0,
      previous: ids[at - 1] ?? null,
      next: ids[at + 1] ?? null,
    };
  }

  usage(meter, outlet, date) {
    const from = Date.parse(`${date}T00:00:00Z`) - AHEAD;
    const seen = meter.state !== "new";
    const sections = Array.from({ length: 144 }, (_, i) => {
      const t = from + i * SECTION;
      const today = date === dayOf(this.now());
      const state =
        t < Date.parse("2026-11-07T23:00:00Z")
          ? "before"
          : t + SECTION + 2 * MINUTE > this.now()
            ? "not_due"
            : !seen || (today && this.missing(meter.id, i + 1))
              ? "missing"
              : "read";
      const watts = state === "read" ? this.watts(outlet, t) : null;
      return {
        number: i + 1,
        t: iso(t),
        state,
        volts: watts === null ? null : 230,
        milliamperes: watts === null ? null : Math.round(watts / 0.23),
        watts,
      };
    });
    const of = (state) => sections.filter((section) => section.state === state).length;
    return {
      outlet,
      date,
      from: iso(from),
      received: of("read"),
      missing: of("missing"),
      energy_wh:
        of("read") === 0 ? null : Math.round(sections.reduce((sum, one) => sum + (one.watts ?? 0), 0) / 6),
      sections,
    };
  }

  write(kind, what, reason, outcome) {
    const number = this.orders.length + 1;
    const t = iso(this.now());
    this.orders.unshift({ number, t, kind, what, reason, outcome, ended: t });
    return { number, outcome };
  }

  /** Answers a request under /outlet-meters: [status, body]. */
  answer(method, path, search, body) {
    if (path === "/outlet-meters") {
      const rows = METERS.map((meter) => this.row(meter));
      for (let id = 5; id < 5 + this.more; id += 1) {
        rows.push(this.row({ ...METERS[3], id, place: `Seestrasse ${id}` }));
      }
      return [200, { served: true, utc_offset_min: 60, rows }];
    }
    const [, id, part] = /^\/outlet-meters\/(\d+)(?:\/(\w+))?$/.exec(path) ?? [];
    const meter = this.meter(Number(id));
    if (!meter) return [404, { error: { code: "no_such_meter", message: "No meter has this address." } }];
    const refuse = (status, code, message) => [status, { error: { code, message } }];
    const waits = meter.connected ? "sent" : "waits";
    if (method === "POST" && part === "switch") {
      if (body.reason.length < 10) return refuse(400, "bad_request", "A reason has 10 to 200 characters.");
      for (const { number, on } of body.outlets) {
        this.ordered.set(`${meter.id}/${number}`, { to: on ? "on" : "off", at: iso(this.now()) });
      }
      const [{ number, on }] = body.outlets;
      return [200, this.write("switch", `outlet 00${number} ${on ? "on" : "off"}`, body.reason, waits)];
    }
    if (method === "POST" && part === "breaker") {
      if (body.place !== meter.place) return refuse(400, "bad_request", "This is not the meter's place.");
      if (this.orders.some((order) => order.kind === "open") && body.action === "open") {
        return refuse(
          409,
          "too_many_openings",
          "As many breakers were opened within the hour as are allowed. Nothing was sent.",
        );
      }
      return [200, this.write(body.action, "breaker", body.reason, "sent")];
    }
    if (method === "POST" && part === "costs") {
      const { month, day_start, day_end, total_cost } = body;
      if (day_end > 30) return refuse(400, "bad_request", "A month has days from a first one to a last one.");
      this.costs.set(meter.id, { t: iso(this.now()), month, day_start, day_end, total_cost });
      return [200, this.write("cost", `${total_cost}`, "", waits)];
    }
    if (method === "POST" && part === "requests") {
      this.asked = true;
      const what = `outlet 00${body.outlet}, ${body.date}, sections ${body.first} to ${body.last}`;
      return [200, this.write("request", what, "", "sent")];
    }
    switch (part) {
      case undefined:
        return [200, this.detail(meter)];
      case "usage":
        return [200, this.usage(meter, Number(search.get("outlet")), search.get("date"))];
      case "warnings": {
        const rows = Array.from({ length: meter.id === 1 ? 5 : 0 }, (_, i) => ({
          t: iso(this.now() - (20 + i * 370) * MINUTE),
          outlet: 2,
          name: "Kettle",
          report: 1,
        }));
        return [200, { total: meter.id === 1 ? 7 : 0, rows }];
      }
      case "orders": {
        const earlier = {
          number: 0,
          t: "2026-11-19T07:02:00Z",
          kind: "switch",
          what: "outlet 004 off",
          reason: "The heater of flat 3 is faulty, case 88-204",
          outcome: "sent",
          ended: "2026-11-19T07:02:00Z",
        };
        return [200, { rows: meter.id === 1 ? [...this.orders, earlier] : this.orders }];
      }
      case "breaker":
        return [
          200,
          {
            as_of: iso(this.now()),
            place: meter.place,
            confirm: meter.place || String(meter.id),
            possible: meter.connected,
            why_not: meter.connected
              ? null
              : "The meter is not connected, and an order to a breaker does not wait.",
            draws_w: meter.state === "new" ? null : 742,
            draws_section:
              meter.state === "new" ? null : iso(Math.floor(this.now() / SECTION) * SECTION - SECTION),
            outlets: NAMES.map((name, i) => ({
              number: i + 1,
              name,
              watts: meter.state === "new" ? null : this.watts(i + 1, this.now()),
            })),
          },
        ];
      default:
        return refuse(404, "no_such_path", "The API has nothing here.");
    }
  }
}
