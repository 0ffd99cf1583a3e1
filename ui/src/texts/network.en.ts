/** Texts of the network's places in the navigation in English; apart, since the home gateway has none of them. */
export const network = {
  title: "Network",
  concentrators: "Concentrators",
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
