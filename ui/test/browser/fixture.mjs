// A head end of fixed data for the browser tests: the HTTP contract and the policy of the real one, made from a
// seed, with errors, silence and slowness on request. It serves the built interface from a folder.
import { createServer } from "node:http";
import { readFile, stat } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { CampaignFixture } from "./campaign-fixture.mjs";
import { DrillFixture } from "./drill-fixture.mjs";
import { FenceFixture } from "./fence-fixture.mjs";
import { OrderFixture } from "./order-fixture.mjs";
import { OutletFixture } from "./outlet-fixture.mjs";

export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; " +
  "base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
export const TOKEN = "correct-horse-battery-staple";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const QUARTER = 15 * MINUTE;
/** Thursday 19 November 2026, 14:32:08 in Zurich. */
export const START = Date.parse("2026-11-19T13:32:08Z");

function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const STREETS = [
  "Lindenweg",
  "Am Anger",
  "Bachstrasse",
  "Hofmatt",
  "Rebenweg",
  "Talstrasse",
  "Oberdorf",
  "Feldrain",
];
const VIA = ["Direct TCP", "Direct TLS", "Direct HDLC"];

/** The paths that readings of one meter took over SCION. */
const SCION_RUN = {
  first: "2026-11-19T06:15:00Z",
  last: "2026-11-19T13:31:58Z",
  associations: 30,
  sent: {
    hops: "2-ff00:0:211 2>11 2-ff00:0:210 3>1 1-ff00:0:120 10>2 1-ff00:0:111",
    fingerprint: "08a1b9c3d2e4f506",
    verified: true,
  },
  received: null,
  carried: [{ obis: "1-0:99.1.0", from: "2026-11-19T06:00:00Z", to: "2026-11-19T13:30:00Z" }],
};

export class Fixture {
  constructor({ dist, meters = 100 }) {
    this.dist = dist;
    this.count = meters;
    this.booted = Date.now();
    this.sessions = new Set();
    this.failures = 0;
    /** Set by tests: "ok", "error", "slow", "hang", "empty", "busy", "forbidden". */
    this.mode = "ok";
    this.streams = true;
    this.power = true;
    this.powerError = null;
    /** Open streams, each with the topics that it follows. */
    this.openStreams = new Map();
    this.lastEventIds = [];
    /** How long going over from one way of a concentrator to another took. */
    this.took = 3_200;
    /** How often a look at a concentrator was asked for. */
    this.looks = 0;
    /** Whether the outage that is open ended. */
    this.outageOver = false;
    this.eventId = 0;
    this.log = [];
    this.rows = this.makeRows();
    this.outlets = new OutletFixture(() => this.now());
    this.orders = new OrderFixture(() => this.now(), this.rows);
    this.fences = new FenceFixture(() => this.now());
    this.drills = new DrillFixture(
      () => this.now(),
      (id, event) => this.tell(`meter:${id}`, event, { id }),
    );
    this.concentrators = this.makeConcentrators();
    this.orders.pairs = this.concentrators;
    this.campaigns = new CampaignFixture(() => this.now(), this.rows);
    this.server = createServer((request, response) => {
      this.handle(request, response).catch((cause) => {
        response.statusCode = 500;
        response.end(String(cause));
      });
    });
  }

  now() {
    return START + (Date.now() - this.booted);
  }

  async listen() {
    await new Promise((done) => this.server.listen(0, "127.0.0.1", done));
    const { port } = this.server.address();
    this.url = `http://127.0.0.1:${port}`;
    this.port = port;
    return this.url;
  }

  /** Ends all connections and stops listening, as a head end that went away. */
  async vanish() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  async comeBack() {
    await new Promise((done) => this.server.listen(this.port, "127.0.0.1", done));
  }

  close() {
    for (const stream of this.openStreams.keys()) stream.end();
    this.server.closeAllConnections();
    this.server.close();
  }

  makeRows() {
    const rnd = random(7);
    const rows = [];
    for (let i = 0; i < this.count; i += 1) {
      const kind = i < 8 ? ["crit", "off", "warn", "warn", "miss", "pend", "new", "miss"][i] : "ok";
      const texts = {
        crit: "Cover open",
        off: "Silent 42 min",
        warn: i === 2 ? "Late 6 h" : "Voltage low",
        miss: i === 4 ? "Gap 12 Nov" : "Gap 8 Nov",
        pend: "Order waits",
        new: "New",
        ok: "Read",
      };
      const ago =
        { off: 42 * MINUTE, warn: i === 2 ? 6.2 * HOUR : 12 * MINUTE, crit: 41 * MINUTE }[kind] ??
        rnd() * 14 * MINUTE;
      const days = Array.from({ length: 30 }, (_, d) => {
        if (kind === "new") return d < 29 ? null : 0;
        if (i > 60 && d < 6) return null;
        if (kind === "off" && d === 29) return 0;
        if (kind === "miss" && d === 22) return 0;
        return rnd() < (kind === "warn" ? 0.22 : 0.02) ? Math.floor(300 + rnd() * 680) : 1000;
      });
      const due = days.filter((d) => d !== null);
      const none = kind === "off" || kind === "crit" || kind === "new";
      rows.push({
        id: `m_01jd8k${i.toString(36).padStart(6, "0")}`,
        name: `GWD${String(i + 1).padStart(13, "0")}`,
        place:
          i === 4
            ? "Schulgasse 1, school with a long name, main distribution, basement"
            : `${STREETS[i % 8]} ${1 + ((i * 7) % 60)}${i % 3 === 0 ? `, flat ${1 + (i % 9)}` : ""}`,
        feeder: `F${1 + (i % 9)}`,
        phase: i % 5 === 0 ? "L123" : `L${1 + (i % 3)}`,
        via: VIA[i % 3],
        state: kind,
        state_text: texts[kind],
        power_w: none
          ? null
          : i === 10
            ? -3120
            : i === 11
              ? 0
              : i === 12
                ? 86_400
                : Math.round(60 + rnd() ** 3 * 4800),
        ago: kind === "new" ? null : ago,
        days,
        read_permille: due.length === 0 ? null : Math.floor(due.reduce((a, b) => a + b, 0) / due.length),
      });
    }
    return rows;
  }

  row(r) {
    const { ago, ...rest } = r;
    const at = ago === null ? null : new Date(START - ago).toISOString();
    return { ...rest, power_at: rest.power_w === null ? null : at, last_read: at };
  }

  fleet() {
    const perDay = 96 * this.count;
    const rnd = random(3);
    const days = Array.from({ length: 30 }, (_, i) => {
      const date = new Date(START - (29 - i) * DAY).toISOString().slice(0, 10);
      const share = i === 18 ? 0.974 : i === 19 ? 0.981 : 0.9905 + rnd() * 0.008;
      const expected = i < 2 ? 0 : i === 29 ? Math.floor((58 / 96) * perDay) : perDay;
      return { date, received: Math.floor(expected * (i === 29 ? 0.987 : share)), expected };
    });
    const sum = (key) => days.reduce((a, d) => a + d[key], 0);
    return {
      as_of: new Date(this.now()).toISOString(),
      meters: this.count,
      read_today: { received: days[29].received, expected: days[29].expected },
      read_30d: { received: sum("received"), expected: sum("expected"), days_under_target: 2 },
      target_permille: 985,
      late: 2,
      silent: 1,
      alarms_open: 3,
      alarms_critical: 1,
      queue: 214,
      meter_days_per_s: 2140,
      days,
      needs: [
        {
          state: "crit",
          title: `${this.rows[0].name} has its cover open`,
          detail: "Lindenweg 1, flat 1",
          since: new Date(START - 41 * MINUTE).toISOString(),
          href: `/meters/${this.rows[0].id}`,
        },
        {
          state: "off",
          title: `${this.rows[1].name} is silent`,
          detail: "Am Anger 8, feeder F2",
          since: new Date(START - 42 * MINUTE).toISOString(),
          href: `/meters/${this.rows[1].id}`,
        },
        {
          state: "warn",
          title: `${this.rows[2].name} is late`,
          detail: "No reading since 08:20",
          since: new Date(START - 6.2 * HOUR).toISOString(),
          href: `/meters/${this.rows[2].id}`,
        },
      ],
      feeders: ["F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9"],
    };
  }

  emptyFleet() {
    return {
      as_of: new Date(this.now()).toISOString(),
      meters: 0,
      read_today: { received: 0, expected: 0 },
      read_30d: { received: 0, expected: 0, days_under_target: 0 },
      target_permille: 985,
      late: 0,
      silent: 0,
      alarms_open: 0,
      alarms_critical: 0,
      queue: 0,
      meter_days_per_s: null,
      days: this.fleet().days.map((d) => ({ date: d.date, received: 0, expected: 0 })),
      needs: [],
      feeders: [],
    };
  }

  meters(search) {
    if (this.mode === "empty") return { total: 0, offset: 0, rows: [] };
    const q = (search.get("q") ?? "").toLowerCase();
    const state = search.get("state") ?? "all";
    const feeder = search.get("feeder") ?? "";
    const states = { late: ["warn"], alarms: ["crit"], silent: ["off"], gap: ["miss"], new: ["new"] };
    let rows = this.rows.filter(
      (r) =>
        (q === "" || r.name.toLowerCase().includes(q) || r.place.toLowerCase().includes(q)) &&
        (feeder === "" || r.feeder === feeder) &&
        (state === "all" || (states[state] ?? []).includes(r.state)),
    );
    const sort = search.get("sort") ?? "state";
    const key = {
      state: (r) => r.state === "ok",
      meter: (r) => r.name,
      place: (r) => r.place,
      feeder: (r) => r.feeder,
      power: (r) => r.power_w ?? -1e9,
      last_read: (r) => r.ago ?? 1e12,
      read: (r) => r.read_permille ?? -1,
    }[sort];
    const down = search.get("dir") === "desc" ? -1 : 1;
    rows = [...rows].sort((a, b) => (key(a) < key(b) ? -down : key(a) > key(b) ? down : 0));
    const offset = Number(search.get("offset") ?? 0);
    const limit = Math.min(500, Number(search.get("limit") ?? 200));
    return { total: rows.length, offset, rows: rows.slice(offset, offset + limit).map((r) => this.row(r)) };
  }

  watts(row, at) {
    const second = Math.floor(at / 1000);
    const step = Math.floor(second / 70) % 2 === 0 ? 0 : 520;
    return Math.round((row.power_w ?? 0) + step + 18 * Math.sin(second / 7) + 9 * Math.sin(second * 1.7));
  }

  powerOf(row, at = this.now()) {
    if (row.power_w === null) return { w: null, l1_w: null, l2_w: null, l3_w: null, at: null };
    const w = this.watts(row, at);
    const three = row.phase === "L123";
    const l1 = three ? Math.round(w * 0.61) : row.phase === "L1" ? w : null;
    const l2 = three ? Math.round(w * 0.22) : row.phase === "L2" ? w : null;
    return {
      w,
      l1_w: l1,
      l2_w: l2,
      l3_w: three ? w - l1 - l2 : row.phase === "L3" ? w : null,
      at: new Date(at).toISOString(),
    };
  }

  meter(row) {
    const at = this.rows.indexOf(row);
    const seen = this.row(row);
    const off = row.state === "off" || row.state === "new";
    return {
      id: row.id,
      name: row.name,
      place: row.place,
      feeder: row.feeder,
      phase: row.phase,
      via: row.via,
      concentrator: at === 12 ? { id: "m_0000c017", name: "GWD1DC0000000017" } : null,
      endpoint:
        at === 10 ? "scion://[1-ff00:0:111,10.0.11.1]:4059?daemon=10.0.21.1:30255" : "tcp://127.0.0.1:14059",
      system_title: `4757440000${String(at + 1).padStart(6, "0")}`,
      state: row.state,
      state_text: row.state_text,
      last_read: row.state === "ok" ? new Date(this.now() - 4000).toISOString() : seen.last_read,
      enrolled: "2026-08-30T08:12:00Z",
      breaker:
        row.state === "new"
          ? { state: null, at: null }
          : { state: at === 3 ? "open" : at === 5 ? "ready" : "closed", at: "2026-11-19T13:31:58Z" },
      clock:
        row.state === "new"
          ? { offset_s: null, at: null, zone: "UTC+1" }
          : { offset_s: -0.8, at: "2026-11-19T13:31:58Z", zone: "UTC+1" },
      firmware: row.state === "new" ? null : "3.2.1",
      protection: { suite: 0, mode: "authenticated encryption" },
      key_age_days: row.state === "new" ? null : 81,
      counter: { used: 48213, of: 4294967295 },
      gaps:
        row.state === "new"
          ? { intervals: 0, oldest: null }
          : { intervals: 13, oldest: "2026-11-18T09:30:00Z" },
      power: off ? { w: null, l1_w: null, l2_w: null, l3_w: null, at: null } : this.powerOf(row),
      path: {
        hops: at === 12 ? ["Head end", "GWD1DC0000000017", "Meter"] : ["Head end", "Meter"],
        rtt_ms: off ? null : 18.4,
        scion: at === 10 ? SCION_RUN : null,
      },
      previous: this.rows[at - 1]?.id ?? null,
      next: this.rows[at + 1]?.id ?? null,
    };
  }

  /** Starts of local days in Zurich, for day steps; the two changes of 2026 are named. */
  localDay(ms) {
    const summer = ms >= Date.parse("2026-03-29T01:00:00Z") && ms < Date.parse("2026-10-25T01:00:00Z");
    const offset = summer ? 2 * HOUR : HOUR;
    return Math.floor((ms + offset) / DAY) * DAY - offset;
  }

  profile(row, search) {
    const from = Date.parse(search.get("from"));
    const to = Date.parse(search.get("to"));
    const step = { "15m": QUARTER, "1h": HOUR, "1d": DAY }[search.get("step") ?? "15m"];
    if (step === QUARTER && to - from > 40 * DAY + HOUR) return null;
    const enrolled = Date.parse("2026-08-30T08:15:00Z");
    const gapFrom = Date.parse("2026-11-18T09:30:00Z");
    const gapTo = Date.parse("2026-11-18T12:45:00Z");
    const now = this.now();
    const base = (row.power_w ?? 300) % 400;
    const intervals = [];
    const starts = [];
    if (step === DAY) {
      for (let d = this.localDay(from + HOUR); d < to; d = this.localDay(d + DAY + 2 * HOUR)) starts.push(d);
    } else for (let s = from; s < to; s += step) starts.push(s);
    for (const start of starts) {
      const end = start + step;
      if (start < enrolled || (step === DAY ? start + QUARTER : end) > now || row.state === "new") continue;
      const missing = step === DAY ? false : end > gapFrom && start < gapTo;
      const hour = ((start + HOUR) % DAY) / HOUR;
      const bump = (h, w, a) => a * Math.exp(-(((hour - h) / w) ** 2));
      const wiggle = 14 * Math.sin(start / QUARTER) + 11 * Math.sin((start / QUARTER) * 2.7);
      let wh =
        (70 + base / 20 + bump(7.4, 1.4, 160) + bump(19, 2.4, 290) + bump(13.6, 1, 60) + wiggle) *
        (step / QUARTER);
      if (step === DAY) wh = 9600 + 2200 * Math.sin(start / DAY) + 900 * Math.sin(start / DAY / 3);
      const solar = this.rows.indexOf(row) === 10 ? Math.max(0, bump(12.5, 2.4, 620)) * (step / QUARTER) : 0;
      const clockSet = step === QUARTER && start === Date.parse("2026-11-17T05:15:00Z");
      intervals.push({
        t: new Date(start).toISOString(),
        import_wh: missing ? null : Math.max(0, Math.round(wh - solar * 0.2)),
        export_wh: missing ? null : Math.round(solar),
        status: clockSet ? ["clock_adjusted"] : [],
      });
    }
    const gap = gapFrom < to && gapTo > from && row.state !== "new";
    return {
      from: new Date(from).toISOString(),
      to: new Date(to).toISOString(),
      step_s: step / 1000,
      now: new Date(now).toISOString(),
      channels: [
        { key: "import_wh", obis: "1-0:1.8.0", name: "Energy used", unit: "Wh" },
        { key: "export_wh", obis: "1-0:2.8.0", name: "Energy delivered", unit: "Wh" },
      ],
      intervals,
      gaps: gap
        ? [
            {
              from: new Date(gapFrom).toISOString(),
              to: new Date(gapTo).toISOString(),
              intervals: 13,
              held_by_meter: true,
            },
          ]
        : [],
    };
  }

  registers(row) {
    if (row.state === "new") return { read_at: null, rows: [] };
    const at = "2026-11-19T13:31:58Z";
    const r = (obis, name, text, unit, scaler, since) => ({
      obis,
      name,
      value: Number(text),
      text,
      unit,
      scaler,
      at,
      counter: /:\d+\.8\./.test(obis),
      since_yesterday: since,
    });
    return {
      read_at: at,
      rows: [
        r("1-0:1.8.0", "Energy used", "27875359", "Wh", 0, 6024),
        r("1-0:1.8.1", "Energy used, day", "18204317", "Wh", 0, 4118),
        r("1-0:1.8.2", "Energy used, night", "9671042", "Wh", 0, 1906),
        r("1-0:2.8.0", "Energy delivered", "0", "Wh", 0, null),
        r("1-0:32.7.0", "Voltage L1", "231.4", "V", -1, null),
        r("1-0:1.6.0", "Highest power this month", "6820", "W", 0, null),
        r("1-0:31.7.0", "Current L1", "4.92", "A", -2, null),
        {
          obis: "0-0:96.1.0",
          name: "Serial number",
          value: null,
          text: "GWD0000000000009",
          unit: "",
          scaler: 0,
          at,
          counter: false,
          since_yesterday: null,
        },
      ],
    };
  }

  events(row, search) {
    if (row.state === "new") return { total: 0, rows: [] };
    const all = [
      {
        at: "2026-11-19T05:12:00Z",
        state: "warn",
        title: "Voltage low on L2",
        detail: "206 V for 3 min",
        code: 38,
        source: "meter",
      },
      {
        at: "2026-11-18T12:41:00Z",
        state: "info",
        title: "Link back",
        detail: "after 3 h 13 min",
        code: null,
        source: "headend",
      },
      {
        at: "2026-11-18T09:28:00Z",
        state: "warn",
        title: "Link lost",
        detail: "from 10:28 to 13:41",
        code: null,
        source: "headend",
      },
      {
        at: "2026-11-17T05:15:00Z",
        state: "info",
        title: "Clock set",
        detail: "by 1.9 s",
        code: 4,
        source: "meter",
      },
      {
        at: "2026-11-12T22:03:10Z",
        state: "crit",
        title: "Cover opened",
        detail: "",
        code: 44,
        source: "meter",
      },
    ];
    for (let i = 0; i < 120; i += 1) {
      all.push({
        at: new Date(Date.parse("2026-11-12T20:00:00Z") - i * 5.3 * HOUR).toISOString(),
        state: i % 9 === 0 ? "warn" : "info",
        title: i % 9 === 0 ? "Voltage low on L1" : "Clock set",
        detail: i % 9 === 0 ? "209 V for 2 min" : `by ${(0.4 + (i % 7) / 5).toFixed(1)} s`,
        code: i % 9 === 0 ? 37 : 4,
        source: "meter",
      });
    }
    const before = search.get("before");
    const rest = before ? all.filter((e) => e.at < before) : all;
    return { total: all.length, rows: rest.slice(0, Math.min(500, Number(search.get("limit") ?? 50))) };
  }

  /** Meters behind a concentrator: seeded, with links of each kind. */
  makeBehind(number, count, medium) {
    const rnd = random(number * 31);
    const hopsMax = medium === "ip" ? 0 : 2;
    return Array.from({ length: count }, (_, i) => {
      const row = i < 60 && number === 1 ? this.rows[i] : undefined;
      const hops = hopsMax === 0 ? 0 : Math.min(3, Math.floor(rnd() * (hopsMax + 1.08)));
      const there = medium === "ip" || i % 23 !== 7;
      const quality =
        medium === "ip" ? null : Math.floor(1000 - rnd() ** 3 * 330 - hops * 40 - (i % 19 === 4 ? 300 : 0));
      const conventional = i % 3 !== 0;
      return {
        name: row?.name ?? `GWD${String(number * 10_000 + i + 1).padStart(13, "0")}`,
        sap: 256 + i,
        sap_since: i % 5 === 2 ? null : new Date(START - (30 + i) * DAY).toISOString(),
        id: row?.id ?? null,
        place: row?.place ?? "",
        feeder: row?.feeder ?? "",
        phase: row?.phase ?? "",
        state: row?.state === "pend" ? "warn" : (row?.state ?? null),
        state_text: row?.state_text ?? "",
        segment: there ? 0 : null,
        there,
        heard: new Date(START - (there ? 4_000 + rnd() * 200_000 : 42 * MINUTE)).toISOString(),
        hops,
        quality_permille: quality,
        behind: null,
        repeated_today: quality === null ? null : i === 4 ? 214 : i % 7,
        mode: conventional ? "conventional" : "direct",
        has_keys: true,
        held_rows: conventional ? Math.floor(rnd() * 300) : 0,
        read_today: row ? { received: there ? 58 : 41, expected: 58 } : null,
      };
    });
  }

  /** Makes a concentrator's line one with switches: four next to it, a dozen behind these, the rest behind both. */
  plantTree(one) {
    one.medium = "prime";
    one.meters.forEach((meter, i) => {
      const before = i < 4 ? null : i < 16 || i % 5 === 0 ? i % 4 : 4 + (i % 12);
      const through = before === null || i % 29 === 20 ? null : one.meters[before];
      meter.behind = through?.sap ?? 0;
      meter.hops = through ? through.hops + 1 : 0;
      // Behind whoever is silent nobody is heard.
      if (through && !through.there) Object.assign(meter, { there: false, segment: null });
      const yesterday = new Date(START - DAY).toISOString();
      if (meter.hops === 2 && !meter.there) meter.heard = yesterday;
      // Of some it is not told through whom they are reached; who never came has no hops either.
      if (i % 97 !== 60) return;
      Object.assign(meter, { behind: null, hops: i % 2, there: false, segment: null });
      if (meter.hops === 0) meter.heard = null;
    });
  }

  makeConcentrators() {
    const made = [
      ["m_0000c017", "GWD1DC0000000017", "s-fsk", 318, "warn", "14 meters silent"],
      ["m_0000c018", "GWD1DC0000000018", "ip", 50, "ok", "Answers"],
      ["m_0000c019", "GWD1DC0000000019", "g3", 96, "off", "Silent 42 min"],
      ["m_0000c020", "GWD1DC0000000020", "", 0, "new", "New"],
    ];
    return made.map(([id, name, medium, count, state, state_text], i) => {
      const one = { id, name, medium, state, state_text, meters: this.makeBehind(i + 1, count, medium) };
      one.pairState = ["ready", "none", "away", null][i];
      one.pair = () => this.pairOf(one);
      return one;
    });
  }

  /** What one says of the other of its pair: in step, none, away since it took over, not told. */
  pairOf(one) {
    const state = one.switched ? "standby" : one.pairState;
    if (state === null) return null;
    const alone = state === "none";
    const held = alone || state === "standby" ? 0 : 1;
    return {
      state,
      peer: alone ? "" : "GWD1DC0000000021",
      peer_id: null,
      mode: "standby",
      epoch: alone ? 0 : 5,
      held,
      held_there: state === "standby" ? 1 : 0,
      segments: alone ? 0 : 1,
      behind_ms: alone ? null : state === "ready" ? 3_120 : 42 * MINUTE,
      taken: held === 1 ? new Date(START - 42 * MINUTE).toISOString() : null,
      takeovers: state === "away" ? 1 : 0,
    };
  }

  concentratorRow(one) {
    const known = one.state !== "new";
    const rows = one.meters;
    const there = rows.filter((row) => row.there).length;
    return {
      id: one.id,
      name: one.name,
      endpoint: "tcp://192.0.2.17:4059",
      via: "TCP",
      state: one.state,
      state_text: one.state === "warn" ? `${rows.length - there} meters silent` : one.state_text,
      as_of: known
        ? new Date(one.state === "off" ? START - 42 * MINUTE : this.now() - 4_000).toISOString()
        : null,
      rtt_ms: known ? 48.2 : null,
      media: known ? [one.medium] : [],
      meters: known ? rows.length : null,
      there: known ? there : null,
      enrolled: rows.filter((row) => row.id !== null).length,
      read_today: known ? { received: 3290, expected: 3480 } : { received: 0, expected: 0 },
      collected: known ? rows.filter((row) => row.mode === "conventional").length : null,
      held_rows: known ? rows.reduce((sum, row) => sum + row.held_rows, 0) : null,
      firmware: known ? "gridward-concentrator 0.1.0" : null,
      pair: one.pair(),
      ...this.told(one),
    };
  }

  /** What its notices and sums come to, in a row. */
  told(one) {
    const open = this.outagesOf(one).filter((it) => it.ended === null);
    const [worst] = this.branches(one);
    return {
      outages: open.length,
      meters_out: open.reduce((sum, it) => sum + it.out, 0),
      out_since: open[0]?.began ?? null,
      balance: worst
        ? {
            state: worst.state,
            state_text: worst.state_text,
            feeder: worst.feeder,
            phase: worst.phase,
            loss_permille: worst.loss_permille,
          }
        : null,
    };
  }

  /** Outages: one that is not over and many that are; none elsewhere. */
  outagesOf(one) {
    const at = this.concentrators.indexOf(one);
    if (at !== 0 || this.mode === "empty") return [];
    const of = (number, beganAgo, lasted, meters, out, sites) => ({
      number,
      began: new Date(START - beganAgo).toISOString(),
      ended: lasted === null ? null : new Date(START - beganAgo + lasted).toISOString(),
      meters,
      out,
      sites,
      first: one.meters.slice(number % 7, (number % 7) + Math.min(meters, 50)).map((meter, i) => ({
        name: meter.name,
        id: meter.id,
        place: meter.place,
        out: i < out,
      })),
    });
    const open = of(41, 42 * MINUTE, null, 64, this.outageOver ? 0 : 14, [
      "F2 L1",
      "F2 L3",
      "F3 L1",
      "F4 L2",
    ]);
    if (this.outageOver) open.ended = new Date(this.now()).toISOString();
    const past = Array.from({ length: 8 }, (_, i) =>
      of(40 - i, (i + 1) * 31 * HOUR, (7 + i * 13) * MINUTE, i === 2 ? 1 : 12 + i, 0, ["F2 L1"]),
    );
    return [open, ...past];
  }

  noticesOf(one) {
    if (this.concentrators.indexOf(one) !== 0 || this.mode === "empty") return [];
    const kinds = [
      [1, "warn", "Meters fell silent", "", 64],
      [4, "warn", "More was supplied than metered", "F2 L2: 3090 Wh supplied, 2210 Wh metered", null],
      [2, "ok", "Meters are there again", "", 12],
      [8, "warn", "A phase is overloaded", "F2 L1, 104.2 A", null],
      [9, "ok", "A phase is no longer overloaded", "F2 L1, 91.0 A", null],
      [6, "crit", "A phase is gone", "F3 L2", null],
      [14, "info", "The clock was set", "by -3 s", null],
    ];
    return Array.from({ length: 23 }, (_, i) => {
      const [code, state, title, detail, meters] = kinds[i % kinds.length];
      const at = new Date(START - 42 * MINUTE - i * 5 * HOUR).toISOString();
      return { number: 41 - i, at, code, state, title, detail, meters };
    });
  }

  /** The phases of feeders, those that need somebody first. */
  branches(one) {
    const at = this.concentrators.indexOf(one);
    if (at > 0 || this.mode === "empty") return [];
    const rnd = random(91);
    const from = START - DAY;
    const of = (feeder, phase, state, state_text, meters, told, loss) => {
      const points = Array.from({ length: 96 }, (_, i) => {
        const supplied = Math.round(2400 + 900 * Math.sin(i / 12) + 200 * rnd());
        const lost = loss(i);
        return {
          t: new Date(from + (i + 1) * QUARTER).toISOString(),
          supplied_wh: lost === null && told === meters ? null : supplied,
          metered_wh: Math.round(supplied * (1 - (lost ?? 0.5))),
          meters: lost === null ? told : meters,
          weight: lost !== null ? "weighed" : told < meters ? "incomplete" : "unmetered",
        };
      });
      const weighed = points.filter((point) => point.weight === "weighed");
      const sum = (key) =>
        weighed.length === 0 ? null : weighed.reduce((all, point) => all + point[key], 0);
      const [supplied_wh, metered_wh] = [sum("supplied_wh"), sum("metered_wh")];
      return {
        feeder,
        phase,
        state,
        state_text,
        supplied_wh,
        metered_wh,
        loss_permille:
          supplied_wh === null ? null : Math.trunc(((supplied_wh - metered_wh) * 1000) / supplied_wh),
        meters,
        told,
        weighed: weighed.length,
        incomplete: points.filter((point) => point.weight === "incomplete").length,
        unmetered: points.filter((point) => point.weight === "unmetered").length,
        fed_back: 0,
        points,
      };
    };
    const stolen = of("F2", "L2", "warn", "", 38, 38, (i) => 0.03 + 0.02 * rnd() + (i > 61 ? 0.24 : 0));
    stolen.state_text = `${(stolen.loss_permille / 10).toFixed(1)} % lost`;
    const elsewhere = of("F3", "L1", "warn", "", 21, 21, () => -0.05 + 0.02 * rnd());
    elsewhere.state_text = `${(-elsewhere.loss_permille / 10).toFixed(1)} % more metered than supplied`;
    return [
      stolen,
      elsewhere,
      of("F3", "L2", "miss", "17 of 24 meters told", 24, 17, () => null),
      of("F2", "L1", "ok", "Loss in range", 41, 41, (i) => (i > 30 && i < 38 ? null : 0.02 + 0.03 * rnd())),
      of("F2", "L3", "ok", "Loss in range", 33, 33, () => 0.01 + 0.03 * rnd()),
    ];
  }

  /** Ways to head ends, one of them cut; one without a name; not told by those that are older. */
  wanOf(at) {
    if (at > 2) return null;
    const time = (ago) => new Date(START - ago).toISOString();
    const way = (name, port, state, of = {}) => ({
      name,
      place: `192.0.2.17:${port}`,
      dialled: false,
      class: "",
      connections: state === "up" ? 1 : 0,
      state,
      gained: state === "new" ? null : time(state === "up" ? 42 * MINUTE : 3 * DAY),
      lost: state === "quiet" || state === "down" ? time(42 * MINUTE) : null,
      heard: state === "new" ? null : time(state === "up" ? 4_000 : 42 * MINUTE),
      ...of,
    });
    if (at === 1) return { ways: [way("", 4059, "up")], current: 0, change: null };
    // It is silent itself: what it said last was well.
    if (at === 2) {
      const last = { heard: time(42 * MINUTE) };
      return {
        ways: [way("Fibre", 4059, "up", last), way("LTE", 4060, "up", last)],
        current: 0,
        change: null,
      };
    }
    return {
      ways: [
        way("Fibre", 4059, this.fibre ?? "down", { dialled: true }),
        way("LTE", 4060, "up"),
        way("Orders", 4061, "quiet", { class: "control" }),
      ],
      current: this.fibre === "up" ? 0 : 1,
      change: { from: 0, to: 1, at: time(42 * MINUTE - 3_200), took_ms: this.took },
    };
  }

  concentrator(one) {
    const row = this.concentratorRow(one);
    const at = this.concentrators.indexOf(one);
    const known = one.state !== "new";
    return {
      row,
      system_title: `4757440000DC00${17 + at}`,
      serial: known ? one.name : null,
      place: at === 0 ? "Substation Lindenweg" : "",
      feeders: at === 0 ? ["F2", "F3"] : at === 2 ? ["F1", "F2", "F3", "F4"] : [],
      failing: one.state === "off" ? "It did not answer in time: check the way to it." : null,
      failing_since: one.state === "off" ? new Date(START - 41 * MINUTE).toISOString() : null,
      clock_offset_s: known ? (at === 1 ? 3 : 0) : null,
      sap_changes: known ? row.meters : null,
      port: known ? 4059 : null,
      every_s: 60,
      segments: known
        ? [
            {
              number: 0,
              medium: one.medium,
              open: true,
              waiting: at === 0 ? 4 : 0,
              there: row.there,
              bit_rate: { "s-fsk": 2_400, g3: 6_474 }[one.medium] ?? null,
            },
          ]
        : [],
      ways: [
        {
          endpoint: row.endpoint,
          carries: "all",
          state: !known ? "new" : one.state === "off" ? "down" : "up",
          since: known ? new Date(START - 42 * MINUTE).toISOString() : null,
          tried: known ? new Date(this.now() - 4_000).toISOString() : null,
          rtt_ms: row.rtt_ms,
        },
        ...(at === 0
          ? [
              {
                endpoint: "tcp://192.0.2.17:4061",
                carries: "orders",
                state: "down",
                since: new Date(START - 42 * MINUTE).toISOString(),
                tried: new Date(START - 2 * MINUTE).toISOString(),
                rtt_ms: 51.4,
              },
            ]
          : []),
      ],
      connections: known
        ? [
            { peer: "192.0.2.1:41822", dialled: false, since: new Date(START - 3 * HOUR).toISOString() },
            { peer: "198.51.100.7:4059", dialled: true, since: new Date(START - 42 * MINUTE).toISOString() },
          ]
        : [],
      wan: this.wanOf(at),
      metering: known
        ? [
            {
              feeder: "F2",
              voltage_mv: [231_400, 229_800, 230_600],
              current_ma: [84_200, 91_700, 77_300],
              energy_wh: [182_043_170, 196_710_420, 171_553_120],
            },
          ]
        : [],
      forwarded: known
        ? {
            down: 48_213,
            up: 47_988,
            unknown: 0,
            full: 0,
            expired: 12,
            unasked: 3,
            nobody: 0,
            unfit: 0,
            conflicts: 0,
          }
        : null,
      collection: known
        ? { rounds: 7_412, failed: 31, held_octets: 91_204, dropped: 0, keep_days: at === 0 ? 60 : null }
        : null,
      target_permille: 985,
      notices: at === 0 ? ["Meters fell silent", "More was supplied than metered"] : [],
      previous: this.concentrators[at - 1]?.id ?? null,
      next: this.concentrators[at + 1]?.id ?? null,
    };
  }

  json(response, status, body, headers = {}) {
    response.writeHead(status, {
      "content-type": "application/json",
      "cache-control": "no-store",
      ...headers,
    });
    response.end(JSON.stringify(body));
  }

  problem(response, status, code, message, headers) {
    this.json(response, status, { error: { code, message } }, headers);
  }

  signedIn(request) {
    if (request.headers.authorization === `Bearer ${TOKEN}`) return true;
    const cookie = /gridward_session=([a-z0-9]+)/.exec(request.headers.cookie ?? "")?.[1];
    return cookie !== undefined && this.sessions.has(cookie);
  }

  async handle(request, response) {
    const url = new URL(request.url, "http://fixture");
    this.log.push(`${request.method} ${request.url}`);
    response.setHeader("x-content-type-options", "nosniff");
    response.setHeader("referrer-policy", "no-referrer");
    response.setHeader("content-security-policy", POLICY);
    if (!url.pathname.startsWith("/api/")) return this.file(url.pathname, response);
    const path = url.pathname.replace(/^\/api\/v1/, "");

    if (path === "/session" && request.method === "POST") {
      let body = "";
      for await (const piece of request) body += piece;
      if (this.failures >= 10)
        return this.problem(response, 429, "too_many", "Wait a minute.", { "retry-after": "42" });
      if (JSON.parse(body).token !== TOKEN) {
        this.failures += 1;
        return this.problem(response, 401, "wrong_token", "This token does not open this head end.");
      }
      const id = Math.random().toString(36).slice(2);
      this.sessions.add(id);
      return this.json(response, 200, this.session(), {
        "set-cookie": `gridward_session=${id}; HttpOnly; SameSite=Strict; Path=/`,
      });
    }
    if (!this.signedIn(request)) return this.problem(response, 401, "signed_out", "Sign in first.");
    if (path === "/session" && request.method === "DELETE") {
      this.sessions.clear();
      response.writeHead(204);
      return response.end();
    }
    if (path === "/session") return this.json(response, 200, this.session());
    if (path === "/stream") return this.stream(request, response, url.searchParams.get("topics") ?? "");

    if (this.mode === "error") return this.problem(response, 500, "store_failed", "");
    if (this.mode === "busy") return this.problem(response, 503, "busy", "", { "retry-after": "10" });
    if (this.mode === "forbidden") return this.problem(response, 403, "forbidden", "");
    if (this.mode === "slow") await new Promise((done) => setTimeout(done, 4500));
    if (this.mode === "hang") return undefined;

    if (path === "/fleet")
      return this.json(response, 200, this.mode === "empty" ? this.emptyFleet() : this.fleet());
    if (path === "/meters") return this.json(response, 200, this.meters(url.searchParams));
    if (path === "/find") return this.find(response, (url.searchParams.get("q") ?? "").toLowerCase());
    if (path.startsWith("/outlet-meters")) {
      let body = "";
      for await (const piece of request) body += piece;
      const answer = this.outlets.answer(
        request.method,
        path,
        url.searchParams,
        body === "" ? null : JSON.parse(body),
      );
      return this.json(response, ...answer);
    }
    if (/^\/(?:orders|meters\/[a-z0-9_]+\/orders|concentrators\/[a-z0-9_]+\/switchover)(?:\/|$)/.test(path)) {
      let body = "";
      for await (const piece of request) body += piece;
      const given = body === "" ? null : JSON.parse(body);
      const empty = this.mode === "empty";
      return this.json(response, ...this.orders.answer(request.method, path, url.searchParams, given, empty));
    }
    const fenced =
      /^\/meters\/([a-z0-9_]+)\/(paths|fence|fence\/preview|drill|drill\/links|drill\/stop)$/.exec(path);
    const fencedRow = fenced ? this.rows.find((one) => one.id === fenced[1]) : undefined;
    if (fencedRow) {
      let body = "";
      for await (const piece of request) body += piece;
      const given = body === "" ? null : JSON.parse(body);
      const over = this.rows.indexOf(fencedRow) === 10;
      const answers = fenced[2].startsWith("drill") ? this.drills : this.fences;
      return this.json(response, ...answers.answer(request.method, fenced[2], url.searchParams, given, over));
    }
    if (path.startsWith("/campaigns") || path.startsWith("/images")) {
      const empty = this.mode === "empty";
      const pieces = [];
      for await (const piece of request) pieces.push(piece);
      const body = Buffer.concat(pieces);
      const [status, answer] = this.campaigns.answer(request.method, path, url.searchParams, empty, body);
      if (status === 204) {
        response.writeHead(204);
        return response.end();
      }
      return this.json(response, status, answer);
    }
    if (path === "/concentrators") {
      const q = (url.searchParams.get("q") ?? "").toLowerCase();
      const all = this.mode === "empty" ? [] : this.concentrators;
      const rows = all.filter((one) => one.name.toLowerCase().includes(q));
      const found = rows.map((one) => this.concentratorRow(one));
      return this.json(response, 200, { total: rows.length, offset: 0, rows: found });
    }
    const behind = /^\/concentrators\/([a-z0-9_]+)(?:\/(meters|look|outages|notices|balance))?$/.exec(path);
    if (behind) {
      const one = this.concentrators.find((it) => it.id === behind[1]);
      if (!one)
        return this.problem(response, 404, "no_such_concentrator", "No concentrator has this address.");
      if (behind[2] === "look") {
        this.looks += 1;
        response.writeHead(202);
        return response.end();
      }
      const limit = Number(url.searchParams.get("limit") ?? 20);
      const page = (all) => ({ total: all.length, offset: 0, rows: all.slice(0, limit) });
      if (behind[2] === "outages") {
        const all = this.outagesOf(one);
        const { outages: open, meters_out } = this.told(one);
        return this.json(response, 200, { ...page(all), open, meters_out });
      }
      if (behind[2] === "notices") return this.json(response, 200, page(this.noticesOf(one)));
      if (behind[2] === "balance") {
        const rows = this.branches(one);
        return this.json(response, 200, {
          from: new Date(START - DAY).toISOString(),
          to: new Date(START).toISOString(),
          loss_percent: 8,
          excess_percent: 2,
          least_wh: 50,
          run: 4,
          total: rows.length,
          offset: 0,
          rows,
        });
      }
      if (behind[2] !== "meters") return this.json(response, 200, this.concentrator(one));
      const { as_of } = this.concentratorRow(one);
      return this.json(response, 200, { as_of, total: one.meters.length, offset: 0, rows: one.meters });
    }
    const match = /^\/meters\/([a-z0-9_]+)(?:\/(profile|profile\.csv|registers|events))?$/.exec(path);
    const row = match ? this.rows.find((r) => r.id === match[1]) : undefined;
    if (!row) return this.problem(response, 404, "unknown_meter", "There is no meter with this id.");
    switch (match[2]) {
      case undefined:
        return this.json(response, 200, this.meter(row));
      case "registers":
        return this.json(response, 200, this.registers(row));
      case "events":
        return this.json(response, 200, this.events(row, url.searchParams));
      default: {
        const profile = this.profile(row, url.searchParams);
        if (!profile)
          return this.problem(response, 400, "range_too_long", "Ask for at most 40 days at 15 minutes.");
        if (match[2] === "profile") return this.json(response, 200, profile);
        response.writeHead(200, { "content-type": "text/csv", "content-disposition": "attachment" });
        return response.end(
          profile.intervals.map((i) => `${i.t},${i.import_wh ?? ""},${i.export_wh ?? ""}`).join("\r\n"),
        );
      }
    }
  }

  session() {
    return {
      site: "Lindenfeld Energy",
      zone: "Europe/Zurich",
      version: "0.1.0",
      user: "operator",
      now: new Date(this.now()).toISOString(),
    };
  }

  find(response, q) {
    const hits = this.rows
      .filter((r) => r.name.toLowerCase().includes(q) || r.place.toLowerCase().includes(q))
      .slice(0, 8)
      .map((r) => ({ title: r.name, detail: r.place, href: `/meters/${r.id}` }));
    this.json(response, 200, { groups: hits.length ? [{ name: "Meters", hits }] : [] });
  }

  write(response, event, data) {
    this.eventId += 1;
    response.write(`id: ${this.eventId}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** Tells all who follow a topic. */
  tell(topic, event, data) {
    for (const [response, topics] of this.openStreams)
      if (topics.split(",").includes(topic)) this.write(response, event, data);
  }

  stream(request, response, topics) {
    if (!this.streams) return this.problem(response, 503, "busy", "");
    const asked = /meter:([a-z0-9_]+)/.exec(topics)?.[1];
    if (asked !== undefined && !this.rows.some((r) => r.id === asked)) {
      return this.problem(response, 404, "no_such_meter", "No meter has this address.");
    }
    this.lastEventIds.push(request.headers["last-event-id"] ?? null);
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    this.openStreams.set(response, topics);
    const meter = /meter:([a-z0-9_]+)/.exec(topics)?.[1];
    const row = this.rows.find((r) => r.id === meter);
    const send = (event, data) => this.write(response, event, data);
    const fleet = () => {
      const f = this.mode === "empty" ? this.emptyFleet() : this.fleet();
      const { as_of, read_today, late, silent, queue, meter_days_per_s, alarms_open } = f;
      send("fleet", { as_of, read_today, late, silent, queue, meter_days_per_s, alarms_open });
    };
    fleet();
    // The last three minutes at once, so that a picture has a line; the real one sends what it still has.
    if (row && row.power_w !== null && this.power && !this.powerError) {
      for (let back = 170; back > 0; back -= 1) {
        if (back > 60 && back < 72) continue;
        const at = this.now() - back * 1000;
        send("power", { id: row.id, ...this.powerOf(row, at) });
      }
    }
    const second = setInterval(() => {
      if (!row) return;
      if (this.powerError || row.power_w === null) {
        send("power_error", {
          id: row.id,
          at: new Date(this.now()).toISOString(),
          reason: this.powerError ?? "the meter does not answer",
        });
      } else if (this.power) send("power", { id: row.id, ...this.powerOf(row) });
    }, 1000);
    const two = setInterval(fleet, 2000);
    const five = setInterval(() => {
      if (topics.includes("campaigns"))
        for (const one of this.campaigns.all.slice(0, 2)) send("campaign", this.campaigns.row(one));
      if (topics.includes("concentrators"))
        for (const one of this.concentrators.slice(0, 2)) send("concentrator", this.concentratorRow(one));
    }, 5000);
    response.on("close", () => {
      clearInterval(second);
      clearInterval(two);
      clearInterval(five);
      this.openStreams.delete(response);
    });
  }

  async file(pathname, response) {
    const clean = normalize(pathname).replace(/^(\.\.[/\\])+/, "");
    let path = join(this.dist, clean);
    const found =
      extname(clean) !== "" &&
      (await stat(path).then(
        (s) => s.isFile(),
        () => false,
      ));
    if (!found && extname(clean) !== "") {
      response.statusCode = 404;
      return response.end("not found");
    }
    if (!found) path = join(this.dist, "index.html");
    response.writeHead(200, {
      "content-type": TYPES[extname(path)] ?? "application/octet-stream",
      "cache-control": clean.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache",
    });
    response.end(await readFile(path));
  }
}

if (process.argv[1] && import.meta.url.endsWith(process.argv[1].split("/").at(-1))) {
  const fixture = new Fixture({
    dist: new URL("../../dist", import.meta.url).pathname,
    meters: Number(process.env.METERS ?? 100),
  });
  console.log(`${await fixture.listen()} token ${TOKEN}`);
}
