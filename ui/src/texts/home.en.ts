/** Every text of the home page in English. Another language is another file of this shape. */

const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

/** Currencies of a hundred cents; an amount of others is told with its code. */
const CENTS = new Set(["AUD", "CAD", "CHF", "EUR", "NZD", "USD"]);

const SOURCES: [RegExp, string][] = [
  [/^p1/, "P1 port"],
  [/^raven|^emu/, "radio adapter"],
  [/^ezsp|^zigbee/, "radio"],
  [/^dlms/, "meter port"],
  [/^sml/, "optical head"],
];

function ordinal(n: number): string {
  const teen = n % 100 >= 11 && n % 100 <= 13;
  return `${n}${(!teen && ["", "st", "nd", "rd"][n % 10]) || "th"}`;
}

export const en = {
  name: "At home",
  title: (now: string | null, name: string) => (now === null ? name : `${now} · ${name}`),
  skip: "Skip to content",

  live: {
    live: "Live",
    ago: (age: string) => `${age} ago`,
    old: "Old",
    oldBy: (age: string) => `${age} old`,
    offline: "Offline",
    connecting: "Connecting",
    waiting: "Waiting for the meter",
  },

  now: {
    title: "Power now",
    oldTitle: "Last known power",
    none: "No reading yet",
    unknown: "Not known",
    from: (time: string, age: string) => `From ${time}, ${age} ago`,
    fromDate: (time: string) => `From ${time}`,
    cost: (amount: number, currency: string) => {
      if (!CENTS.has(currency) || amount >= 0.995) return `About ${amount.toFixed(2)} ${currency} an hour`;
      const cents = Math.round(amount * 100);
      if (cents === 0) return "Less than a cent an hour";
      return `About ${cents} ${cents === 1 ? "cent" : "cents"} an hour`;
    },
    giving: "You give this to the grid",
    lowest: "Lowest today",
    highest: "Highest",
    at: (time: string) => `at ${time}`,
    price: (name: string, until: string | null) =>
      until === null ? `${name} price` : `${name} price until ${until}`,
    graph: "Power, last 10 minutes",
    lastMinutes: (giving: boolean) =>
      giving ? "Last 10 minutes; below zero it flows to the grid" : "Last 10 minutes",
    summary: (p: { low: string; high: string; gaps: string[] }) =>
      `Power over the last 10 minutes, between ${p.low} and ${p.high}.` +
      (p.gaps.length === 0 ? "" : ` No reading ${p.gaps.join(", ")}.`),
    summaryNone: "Power over the last 10 minutes. No reading.",
    gap: (from: string, to: string) => `from ${from} to ${to}`,
    axisNow: "now",
    noData: "No reading",
    lost: "no reading",
    toGrid: "to the grid",
    time: "Time",
    power: "Power",
    firstText: "Your power shows up here as soon as the meter answers.",
  },

  why: {
    offline: (time: string | null) =>
      time === null
        ? "The box does not answer."
        : `The box does not answer. What you see is from ${time}, not from now.`,
    link: (since: string) => `The link to the meter is down since ${since}.`,
    linkFirst: "There is no link to the meter yet.",
    meter: (since: string) => `The meter is silent since ${since}. What you see is from then.`,
    retryIn: (s: number) => `Trying again in ${s}\u00a0s.`,
    retrying: "Trying again.",
    tryNow: "Try now",
  },

  today: {
    title: "Today",
    compared: {
      less: (kwh: string) => `${kwh} less than yesterday at this time`,
      more: (kwh: string) => `${kwh} more than yesterday at this time`,
      same: () => "As much as yesterday at this time",
    },
    comparedThen: {
      less: (kwh: string) => `${kwh} less than the day before by then`,
      more: (kwh: string) => `${kwh} more than the day before by then`,
      same: () => "As much as the day before by then",
    },
    asOf: (time: string) => `As of ${time}`,
    since: (time: string) => `Since ${time}; nothing is known from before`,
    none: "No reading today",
    empty: "The hours show up here, beside those of yesterday.",
    given: (kwh: string) => `${kwh} kWh given to the grid`,
    chart: "Energy per hour, today and yesterday",
    summary: (gaps: string[]) =>
      "Energy per hour, against the day before." +
      (gaps.length === 0 ? "" : ` No readings ${gaps.join(", ")}.`),
    legend: {
      today: "today",
      given: "to the grid",
      yesterday: "yesterday",
      thatDay: "that day",
      dayBefore: "the day before",
      gap: "no readings, but in the total",
    },
    hour: "Hour",
    used: "Today",
    toGrid: "To the grid",
    yesterday: "Yesterday",
    gap: "No readings",
    noReadings: "no readings",
    toCome: "to come",
    soFar: "so far",
    yesterdayWas: (kwh: string) => `yesterday ${kwh} kWh`,
    loading: "the hours of today",
    failed: "The hours could not be read. The next try is in a minute.",
  },

  month: {
    name: (month: number) => MONTHS[month - 1] ?? "",
    compared: {
      less: (kwh: string, day: number) => `${kwh} less than last month by the ${ordinal(day)}`,
      more: (kwh: string, day: number) => `${kwh} more than last month by the ${ordinal(day)}`,
      same: (_: string, day: number) => `As much as last month by the ${ordinal(day)}`,
    },
    since: (date: string) => `Since ${date}; nothing is known from before`,
    none: "No reading this month",
  },

  cost: {
    title: (month: string) => `Cost in ${month}`,
    parts: (parts: [string, string][], fixed: string | null) => {
      const all = [...parts, ...(fixed === null ? [] : [["fixed", fixed] as [string, string]])];
      return all.map(([name, amount], i) => `${i === 0 ? name : name.toLowerCase()} ${amount}`).join(", ");
    },
    unpriced: (kwh: string) => `${kwh} kWh are not in it: nobody read when they were used`,
    unknown: "Not known",
    noTariff: "The box has no tariff. Enter yours in its settings.",
    notYet: "Comes with the first readings",
  },

  meter: {
    title: "Meter and link",
    meter: "Meter",
    answers: "answers",
    answered: "answered",
    ago: (age: string) => `${age} ago`,
    silent: "silent",
    since: (time: string) => `since ${time}`,
    unknown: "not heard yet",
    link: "Link",
    up: "connected",
    wasUp: "was connected",
    down: "down",
    notYet: "not yet",
    source: (source: string) => {
      const found = SOURCES.find(([pattern]) => pattern.test(source));
      return (found?.[1] ?? source) + (source.endsWith("+tcp") ? " over the network" : "");
    },
    readings: (date: string | null) => (date === null ? "Readings today" : `Readings on ${date}`),
    of: "of",
    missing: "Missing",
    nothing: "none today",
    from: (from: string, to: string) => `${from} to ${to}`,
    more: (n: number) => `and ${n} more`,
    total: "Meter total",
    fromGrid: "Meter total, from the grid",
    toGrid: "Meter total, to the grid",
    notRead: "not read",
    old: (age: string) => `, ${age} old`,
    readOnly: "This box can only read your meter. It cannot switch anything.",
    download: "Download",
    greenButton: "Green Button",
    csv: "CSV",
    range: "This month and the one before, by the hour",
    young: "By the hour; Green Button has the current values until a first hour is over",
    current: "The current values; this box keeps no history",
  },

  chart: { table: "Table", chart: "Chart" },

  signIn: {
    title: "Sign in",
    at: (host: string) => `Home gateway at ${host}`,
    user: "Name",
    password: "Password",
    hint: "Told at the first start, or the one you chose.",
    empty: "Enter the password of this box.",
    emptyUser: "Enter the name.",
    wrong: "Name or password is not the one of this box.",
    offline: "No answer from the box. Check that it has power, and try again.",
    broken: (status: number) => `The box answered with an error (${status}). Try again.`,
    foot: "What you see stays in your home.",
  },

  start: {
    loading: "Loading",
    offlineTitle: "The box does not answer",
    offlineText:
      "Check that it has power and that this device is in your home's network. This page goes on by itself.",
    brokenTitle: "The box answered with an error",
    tryAgain: "Try again",
  },

  foot: {
    version: (version: string) => `Gridward home gateway ${version}`,
    licences: "Licences",
    signOut: "Sign out",
    signOutFailed: "You are still signed in: the box did not answer.",
  },
};

/** Texts of the language in use. */
export const t = en;
