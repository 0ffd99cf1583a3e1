/** Texts of the head end alone in English, apart from those that the home gateway has too. */
export const network = {
  title: "Network",
  concentrators: "Concentrators",
  path: {
    what: "the paths",
    all: "All paths and the fence",
    back: "Way back",
    since: "Readings took it",
    fence: "Fence",
    inside: (allowed: number, known: number) =>
      `${allowed} of ${known} ${known === 1 ? "path" : "paths"} allowed`,
    outside: "the last path is outside it",
    moved: "Last change of path",
    notMoved: "none is known",
    unknown: "not known",
    verified: "verified",
    notVerified: "not verified",
  },
  act: "Act",
  campaigns: "Campaigns",
  campaignKeys: {
    name: "Campaigns",
    keys: [
      ["g u", "All of them"],
      ["j k", "At one: next, previous page of its meters"],
    ] as [string, string][],
  },
  keys: {
    name: "Concentrators",
    keys: [
      ["g c", "All of them"],
      ["j k", "At one: next, previous meter"],
      ["t", "At one: picture or table"],
      ["r", "At one: read its status"],
      ["[ ]", "Previous, next one"],
    ] as [string, string][],
  },
};
