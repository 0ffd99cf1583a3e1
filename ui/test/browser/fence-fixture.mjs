// Paths and fence of the fixture's one meter over SCION: six paths over six ASes in three domains, and as much of
// the path policy language as the tests type.
const iso = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");

const [HEAD, CORE, METERS] = ["2-ff00:0:211", "2-ff00:0:210", "1-ff00:0:111"];
const [VIA110, VIA120, ABROAD] = ["1-ff00:0:110", "1-ff00:0:120", "3-ff00:0:310"];
const WAYS = [
  [12.4, `${HEAD} 1>10 ${CORE} 1>2 ${VIA110} 10>1 ${METERS}`],
  [13.1, `${HEAD} 2>11 ${CORE} 1>2 ${VIA110} 10>1 ${METERS}`],
  [18.4, `${HEAD} 1>10 ${CORE} 3>1 ${VIA120} 10>2 ${METERS}`],
  [19.1, `${HEAD} 2>11 ${CORE} 3>1 ${VIA120} 10>2 ${METERS}`],
  [null, `${HEAD} 1>10 ${CORE} 2>1 ${ABROAD} 2>1 ${VIA110} 10>1 ${METERS}`],
  [41.9, `${HEAD} 2>11 ${CORE} 2>1 ${ABROAD} 2>1 ${VIA110} 10>1 ${METERS}`],
].map(([latency_ms, hops], i) => ({
  latency_ms,
  hops,
  ases: hops.split(" ").filter((_, at) => at % 2 === 0),
  fingerprint: `${i}8a1b9c3d2e4f506`,
}));

/** What the ASes tell of themselves, by number: most a place, one a note too, one nothing. */
const ABOUT = [
  [VIA110, ["CH-Bern"], null],
  [METERS, ["CH-Luzern"], null],
  [VIA120, ["CH-Zürich"], "Peering by appointment; see the operator's page for maintenance windows"],
  [CORE, ["DE-München", "DE-Nürnberg"], null],
  [HEAD, [], null],
  [ABROAD, ["US-New York, 60 Hudson Street, seventeenth floor, cage 4 of 12"], null],
].map(([isd_as, places, note]) => ({ isd_as, places, note }));

/** The interfaces of a path: `AS#ID`. */
function interfaces(hops) {
  const words = hops.split(" ");
  return words.flatMap((word, i) => {
    if (i % 2 === 0) return [];
    const [out, into] = word.split(">");
    return [`${words[i - 1]}#${out}`, `${words[i + 1]}#${into}`];
  });
}

/** The entries of a fence, or why it is none. */
function parsed(text) {
  const words = text.trim().split(/\s+/);
  const entries = [];
  while (words.length > 0) {
    const sign = words.shift();
    if (sign !== "+" && sign !== "-") return `${sign} stands where + or - is awaited`;
    const hop = words.length > 0 && !/^[-+]/.test(words[0]) ? words.shift() : null;
    entries.push({ allow: sign === "+", hop });
  }
  return entries.at(-1).hop === null ? entries : "it ends without a + or - for all others";
}

function refusal(entries, way) {
  for (const at of interfaces(way.hops)) {
    const fits = ({ hop }) =>
      hop === null || at === hop || at.startsWith(`${hop}#`) || at.startsWith(`${hop}-`);
    const entry = entries.find(fits);
    if (!entry.allow) return `${at} is denied by - ${entry.hop ?? ""}`.trim();
  }
  return null;
}

export class FenceFixture {
  constructor(now) {
    this.now = now;
    this.enrolled = null;
    this.saved = [];
    /** Whether the daemon tells paths. */
    this.known = true;
    /** Whether links can be cut. */
    this.drills = true;
    /** What was saved, as it was sent. */
    this.puts = [];
  }

  view(fence) {
    const entries = fence === null ? [{ allow: true, hop: null }] : parsed(fence);
    const all = WAYS.map((way, i) => ({ ...way, active: i === 2, refused: refusal(entries, way) }));
    const left = all.filter((way) => way.refused === null);
    const shared = left
      .map((way) => interfaces(way.hops))
      .reduce((both, some) => (both === null ? some : both.filter((one) => some.includes(one))), null);
    // That both ends have but one link is for the network to mend, and no matter of the fence here.
    const decides = (shared ?? []).find((one) => one.startsWith(HEAD)) ?? null;
    return {
      fence,
      enrolled: this.enrolled,
      saved: this.saved,
      known: all.length,
      allowed: left.length,
      remaining:
        left.length === 0 ? "none" : left.length === 1 ? "one" : decides === null ? "several" : "one_link",
      decides: left.length > 1 ? decides : null,
      active_stays: all[2].refused === null,
      moved: "2026-11-19T06:15:00Z",
      drills: this.drills,
      paths: [...left, ...all.filter((way) => way.refused !== null)],
      about: ABOUT,
    };
  }

  current() {
    return this.saved[0]?.fence ?? this.enrolled;
  }

  /** Answers a request for `paths`, `fence` or `fence/preview` of a meter: [status, body]. */
  answer(method, what, search, body, over) {
    const refuse = (status, code, message) => [status, { error: { code, message } }];
    if (what === "paths") {
      const taken = ({ hops, fingerprint }) => ({ hops, fingerprint, verified: true });
      const run = (first, last, associations, way) => ({
        first,
        last,
        associations,
        sent: taken(way),
        received: taken(way),
        carried: [],
      });
      const rows = [
        run("2026-11-19T06:15:00Z", "2026-11-19T13:31:58Z", 30, WAYS[2]),
        run("2026-11-17T22:00:00Z", "2026-11-19T06:00:00Z", 128, WAYS[0]),
      ];
      return [200, over ? { total: 2, rows } : { total: 0, rows: [] }];
    }
    if (!over)
      return refuse(
        409,
        "not_scion",
        "This meter is not reached over SCION: it has no paths to choose from.",
      );
    if (!this.known)
      return refuse(
        409,
        "paths_unknown",
        "The daemon of the head end's AS tells no paths to this meter. Is it running, and is the AS right? " +
          "Nothing was changed.",
      );
    const given = method === "PUT" ? body.fence : what === "fence" ? null : search.get("fence").trim();
    const fence = what === "fence" && method === "GET" ? this.current() : given || this.enrolled;
    const entries = fence === null ? [] : parsed(fence);
    if (typeof entries === "string") return refuse(400, "bad_request", `This is no fence: ${entries}.`);
    if (method === "PUT") {
      this.puts.push(body);
      const left = this.view(fence);
      if (left.allowed === 0 && body.send_nothing !== true)
        return refuse(
          409,
          "leaves_none",
          "This fence leaves no path: nothing would be sent to the meter any more. Say so where that is " +
            "wanted. Nothing was changed.",
        );
      this.saved.unshift({
        at: iso(this.now()),
        who: "operator",
        reason: body.reason,
        fence: body.fence,
        allowed: left.allowed,
        known: left.known,
      });
    }
    return [200, this.view(fence)];
  }
}
