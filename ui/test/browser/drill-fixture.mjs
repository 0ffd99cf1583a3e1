// Drills of the fixture's one meter over SCION: what the control of a simulated network tells, and readings that are
// made up: steady, late by what a failover takes, and on another path. A test says how far a drill is.
const iso = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");

const EVERY = 100;
const LEAD = 2_000;
const TAIL = 2_000;
const HEAD = "2-ff00:0:211";
const LINKS = [
  { link: `${HEAD}#1`, to: "2-ff00:0:210#10", latency_ms: 1, in_use: true, leaves: 3 },
  { link: `${HEAD}#2`, to: "2-ff00:0:210#11", latency_ms: 1, in_use: false, leaves: 3 },
  { link: "1-ff00:0:110#1", to: "2-ff00:0:210#1", latency_ms: 5, in_use: false, leaves: 4 },
  { link: "1-ff00:0:120#1", to: "2-ff00:0:210#3", latency_ms: 7, in_use: true, leaves: 4 },
];
const PATHS = [
  {
    hops: `${HEAD} 1>10 2-ff00:0:210 3>1 1-ff00:0:120 10>2 1-ff00:0:111`,
    fingerprint: "28a1b9c3d2e4f506",
  },
  {
    hops: `${HEAD} 2>11 2-ff00:0:210 1>2 1-ff00:0:110 10>1 1-ff00:0:111`,
    fingerprint: "18a1b9c3d2e4f506",
  },
];
const FAILED = "The meter refuses the connection. Nothing was cut.";
const NO_CONTROL =
  "No control of a simulated network is configured (headend.scion, drill_control): links of real networks are not " +
  "cut from here.";

/** What readings went through up to `until`, in milliseconds since the first. */
function line(drill, until) {
  const cut = LEAD;
  const mended = cut + drill.mend_after_s * 1_000;
  const anew = mended + TAIL;
  const end = Math.min(until, anew + TAIL);
  const found = drill.how === "silent" ? 212.4 : 41.7;
  const readings = [];
  for (let due = 0; due < end; due += EVERY) {
    const out = due >= cut && due < cut + found;
    const reading = {
      due_ms: due,
      asked_ms: due,
      latency_ms: 12 + ((due / EVERY) % 5) * 0.7,
      path: due < cut || due >= anew ? 0 : 1,
      sent: 1,
      anew: due === anew,
      why: null,
    };
    if (out) {
      reading.asked_ms = due === cut ? due : cut + Math.round(found);
      reading.latency_ms = Math.round((cut + found - due) * 10) / 10;
      reading.sent = due === cut ? 2 : 1;
    }
    // One that nobody answered, so that the page has such a one too.
    if (drill.loses && due === cut + 1_000)
      Object.assign(reading, { latency_ms: null, path: null, why: "The meter did not answer." });
    readings.push(reading);
  }
  const past = (at) => (until >= at ? at : null);
  const was = past(cut) !== null;
  return {
    every_ms: EVERY,
    link: was ? (LINKS.find((one) => one.link === drill.link)?.link ?? LINKS[0].link) : null,
    to: was ? (LINKS.find((one) => one.link === drill.link)?.to ?? LINKS[0].to) : null,
    cut_ms: past(cut),
    mended_ms: past(mended),
    anew_ms: past(anew),
    paths: readings.some((one) => one.path === 1) ? PATHS : PATHS.slice(0, readings.length > 0 ? 1 : 0),
    readings,
  };
}

function summary(drill, told) {
  const moved = told.readings.some((one) => one.path === 1);
  const back = told.anew_ms !== null && told.readings.some((one) => one.due_ms >= told.anew_ms);
  return {
    readings: told.readings.length,
    lost: told.readings.filter((one) => one.latency_ms === null).length,
    retried: told.readings.filter((one) => one.sent > 1).length,
    usual_ms: told.readings.length > 0 ? 13.4 : null,
    gap_ms: moved ? (drill.how === "silent" ? 298.2 : 127.5) : told.readings.length > 1 ? 102.8 : null,
    gap_from_ms: moved ? 1_914.2 : told.readings.length > 1 ? 112 : null,
    from: told.readings.length > 0 ? 0 : null,
    to: moved ? 1 : null,
    moved_ms: moved ? (drill.how === "silent" ? 212.4 : 41.7) : null,
    back_ms: back ? told.anew_ms + 12.4 : null,
  };
}

export class DrillFixture {
  constructor(now, tell) {
    this.now = now;
    /** Tells who follows a meter. */
    this.tell = tell;
    this.configured = true;
    this.reachable = true;
    this.links = LINKS.map((one) => ({ ...one, down: false }));
    /** The newest first, each with how far it is: milliseconds since its first reading. */
    this.drills = [];
    /** What was asked for, as it was sent. */
    this.posts = [];
    this.stops = 0;
    /** What the stop of a drill is refused with: [status, code, message]. */
    this.stopFails = null;
    /** Whether a drill that begins has failed before it is looked at. */
    this.failsAtOnce = false;
  }

  /** Lets the newest drill be so far; without a time it ends as it should. */
  go(meter, state, until = Number.POSITIVE_INFINITY, answer = null) {
    const drill = this.drills[0];
    Object.assign(drill, { state, until, answer });
    if (answer !== null) drill.ended = iso(this.now());
    this.tell(meter, "drill");
  }

  view(drill, whole) {
    const { until, loses: _, ...said } = drill;
    const told = line(drill, until);
    return { ...said, summary: summary(drill, told), timeline: whole ? told : null };
  }

  /** Answers a request for `drill`, `drill/links` or `drill/stop` of a meter: [status, body]. */
  answer(method, what, search, body, over) {
    const refuse = (code, message) => [409, { error: { code, message } }];
    const idle = this.drills.every((one) => one.ended !== null);
    if (what === "drill" && method === "GET") {
      const asked = search.get("number");
      const shown = asked === null ? this.drills[0] : this.drills.find((one) => one.number === Number(asked));
      return [
        200,
        {
          why_not: this.configured ? null : NO_CONTROL,
          shown: shown === undefined ? null : this.view(shown, true),
          drills: this.drills.map((one) => this.view(one, false)),
        },
      ];
    }
    if (what === "drill/stop") {
      if (this.stopFails !== null) {
        const [status, code, message] = this.stopFails;
        return [status, { error: { code, message } }];
      }
      if (idle) return refuse("no_drill", "No drill is under way at this meter.");
      this.stops += 1;
      return [202, null];
    }
    if (!this.configured) return refuse("no_control", NO_CONTROL);
    if (!over)
      return refuse("not_scion", "This meter is not reached over SCION: it has no paths to choose from.");
    if (!this.reachable)
      return refuse(
        "control_failed",
        "The control of the simulated network does not answer as one. Is gridward sim scion running, and is " +
          "headend.scion.drill_control its --control? Nothing was cut.",
      );
    if (what === "drill/links")
      return [
        200,
        {
          links: this.links,
          allowed: 6,
          chosen: this.links[0].link,
          every_ms: EVERY,
          lead_s: LEAD / 1_000,
          tail_s: (2 * TAIL) / 1_000,
          mend_after_s_max: 60,
        },
      ];
    this.posts.push(body);
    if (!idle)
      return refuse(
        "drill_under_way",
        "Another drill is under way: there is one at a time. Nothing was cut.",
      );
    this.drills.unshift({
      number: this.drills.length + 1,
      t: iso(this.now()),
      who: "operator",
      reason: body.reason,
      link: body.link,
      how: body.how,
      mend_after_s: body.mend_after_s,
      state: "waiting",
      answer: null,
      ended: null,
      until: 0,
      loses: false,
    });
    const begun = this.view(this.drills[0], true);
    if (this.failsAtOnce)
      Object.assign(this.drills[0], { state: "failed", answer: FAILED, ended: iso(this.now()) });
    return [202, begun];
  }
}
