// A home gateway of fixed data for the browser tests: the answers that the gateway's own tests hold to be right
// (crates/homegate/tests/fixtures), on a clock that runs, with silence and absence on request.
import { readFileSync } from "node:fs";
import { Fixture, POLICY, START } from "./fixture.mjs";

export const USER = "home";
export const PASSWORD = "correct-horse-battery-staple";
const answers = new URL("../../../crates/homegate/tests/fixtures/", import.meta.url);
const answer = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, answers), "utf8"));
const text = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");

export class HomeFixture extends Fixture {
  /** `state` and `session` name answers; `change` may alter the state. */
  constructor({ dist, state = "state", session = "session", change = (one) => one }) {
    super({ dist, meters: 0 });
    this.answer = answer(session);
    this.told = change(answer(state));
    this.raw =
      state === "state-first-start" ? { ...answer("history-raw"), intervals: [] } : answer("history-raw");
    this.hours = ["history-1h-yesterday", "history-1h"].flatMap((name) => answer(name).intervals);
    this.hourGaps = answer("history-1h").gaps;
    /** How the days before were: some days have none. */
    this.days = { today: true, yesterday: this.told.yesterday !== null };
    this.giving = this.told.today?.received_wh > 0;
    this.quick = 1_000;
  }

  /** The state at the present: what answers goes on, what is silent does not. */
  state() {
    const state = structuredClone(this.told);
    state.now = text(this.now());
    if (state.power) {
      const at = text(this.now() - 2_000);
      state.power.at = at;
      state.power.received = at;
      state.meter.last = at;
    }
    return state;
  }

  session() {
    return { ...this.answer, now: text(this.now()) };
  }

  signedIn(request) {
    const cookie = /gridward_home=([a-z0-9]+)/.exec(request.headers.cookie ?? "")?.[1];
    return cookie !== undefined && this.sessions.has(cookie);
  }

  history(search) {
    const from = Date.parse(search.get("from"));
    const to = Date.parse(search.get("to"));
    const now = this.now();
    const within = (one) => Date.parse(one.t) >= from && Date.parse(one.t) < to;
    const head = { from: search.get("from"), to: search.get("to"), now: text(now), step: search.get("step") };
    if (head.step === "raw") {
      // Where the meter is silent, its last readings are those of the time before.
      const end = this.told.power === null ? Date.parse(this.told.meter.last ?? text(START)) : START;
      const scale = this.giving ? -3 : 1;
      const intervals = this.raw.intervals.map((one) => ({
        ...one,
        t: text(Date.parse(one.t) - START + end),
        w: one.w * scale + (this.giving && one.w > 1000 ? 5_000 : 0),
      }));
      return { ...head, intervals: intervals.filter(within), gaps: [] };
    }
    const today = Date.parse("2026-11-18T23:00:00Z");
    const intervals = this.hours
      .filter(within)
      .filter((one) => (Date.parse(one.t) < today ? this.days.yesterday : this.days.today))
      .map((one, i) => ({
        ...one,
        received_wh: this.giving
          ? ([0, 0, 0, 0, 180, 420, 610, 540, 330, 130][i % 24 < 7 ? 0 : (i % 24) - 7] ?? 0)
          : null,
      }));
    return { ...head, intervals, gaps: this.days.today ? this.hourGaps : [] };
  }

  async handle(request, response) {
    const url = new URL(request.url, "http://fixture");
    this.log.push(`${request.method} ${request.url}`);
    response.setHeader("x-content-type-options", "nosniff");
    response.setHeader("referrer-policy", "no-referrer");
    response.setHeader("content-security-policy", POLICY);
    const isApi = url.pathname.startsWith("/api/") || url.pathname.startsWith("/espi/");
    if (!isApi) return this.file(url.pathname, response);
    if (this.mode === "hang") return undefined;
    const path = url.pathname.replace(/^\/api\/v1/, "");

    if (path === "/session" && request.method === "POST") {
      let body = "";
      for await (const piece of request) body += piece;
      const { user, password } = JSON.parse(body);
      if (this.failures >= 10) return this.json(response, 429, answer("error-429"), { "retry-after": "42" });
      if (user !== USER || password !== PASSWORD) {
        this.failures += 1;
        return this.problem(response, 401, "wrong_credential", "");
      }
      const id = Math.random().toString(36).slice(2);
      this.sessions.add(id);
      return this.json(response, 200, this.session(), {
        "set-cookie": `gridward_home=${id}; HttpOnly; SameSite=Strict; Path=/`,
      });
    }
    if (!this.signedIn(request)) return this.json(response, 401, answer("error-401"));
    if (path === "/session" && request.method === "DELETE") {
      this.sessions.clear();
      response.writeHead(204);
      return response.end();
    }
    if (path === "/session") return this.json(response, 200, this.session());
    if (path === "/state") return this.json(response, 200, this.state());
    if (path === "/live") return this.live(request, response);
    if (path === "/history") {
      if (url.searchParams.get("step") !== "raw" && !this.answer.history)
        return this.json(response, 404, answer("error-no-history"));
      return this.json(response, 200, this.history(url.searchParams));
    }
    if (path === "/download.csv" || url.pathname.startsWith("/espi/")) {
      response.writeHead(200, {
        "content-type": path === "/download.csv" ? "text/csv" : "application/atom+xml",
        "content-disposition": "attachment",
      });
      return response.end("as asked");
    }
    return this.problem(response, 404, "no_such_path", "");
  }

  live(request, response) {
    this.lastEventIds.push(request.headers["last-event-id"] ?? null);
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    this.openStreams.set(response, "");
    const send = (event, data) => {
      this.eventId += 1;
      response.write(`id: ${this.eventId}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    };
    send("state", this.state());
    const power = setInterval(() => {
      if (this.power && this.told.power) send("power", this.state().power);
    }, this.quick);
    const state = setInterval(() => send("state", this.state()), 5_000);
    response.on("close", () => {
      clearInterval(power);
      clearInterval(state);
      this.openStreams.delete(response);
    });
  }

  /** The stream tells a change at once. */
  tell(change) {
    this.told = change(structuredClone(this.told));
    for (const stream of this.openStreams.keys()) {
      this.eventId += 1;
      stream.write(`id: ${this.eventId}\nevent: state\ndata: ${JSON.stringify(this.state())}\n\n`);
    }
  }
}

if (process.argv[1] && import.meta.url.endsWith(process.argv[1].split("/").at(-1))) {
  const dist = new URL("../../dist-home", import.meta.url).pathname;
  const fixture = new HomeFixture({ dist, ...(process.env.STATE ? { state: process.env.STATE } : {}) });
  console.log(`${await fixture.listen()} ${USER} ${PASSWORD}`);
}
