import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";

const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
const built = existsSync(join(dist, "index.html"));
const KB = 1000;

/** What a file weighs on the wire; a font is packed already. */
function wire(path: string): number {
  const content = readFileSync(join(dist, path));
  return path.endsWith(".woff2") ? content.length : gzipSync(content, { level: 9 }).length;
}

describe.skipIf(!built)("the built interface (run the build first)", () => {
  const html = built ? readFileSync(join(dist, "index.html"), "utf8") : "";
  const assets = built ? readdirSync(join(dist, "assets")).filter((name) => !/\.(?:br|gz)$/.test(name)) : [];
  const named = (part: RegExp): string[] =>
    assets.filter((name) => part.test(name)).map((name) => `assets/${name}`);
  const first = [
    "index.html",
    "theme.js",
    ...[...html.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map((match) => match[1] ?? ""),
    ...named(/^inter-latin-wght/),
    ...named(/^icons-/),
    // The fleet has a chart, so uPlot is a part of the first view.
    ...named(/^plot-/),
  ];

  it("needs at most 150 kB for the first view, far within the 250 kB of the design", () => {
    const total = first.reduce((sum, path) => sum + wire(path), 0);
    expect(first.length).toBeGreaterThan(6);
    expect(total).toBeLessThanOrEqual(150 * KB);
  });

  it("needs at most 30 kB for a further page", () => {
    const pages = named(/^(?:meter|paths|concentrators|campaigns|states)-.*\.js$/);
    expect(pages.length).toBe(4);
    for (const path of pages) expect(wire(path)).toBeLessThanOrEqual(30 * KB);
  });

  it("keeps uPlot out of what is read before the first chart", () => {
    const plot = named(/^plot-.*\.js$/);
    expect(plot.length).toBe(1);
    expect(html).not.toContain(plot[0]);
  });

  it("has nothing inline, and the sheet of states is not in it", () => {
    expect(html).not.toMatch(/<style|style=|<script(?![^>]*\bsrc=)[^>]*>/);
    expect(assets.filter((name) => name.startsWith("states-"))).toEqual([]);
    for (const path of named(/\.js$/))
      expect(readFileSync(join(dist, path), "utf8")).not.toContain("One sheet to look at");
  });

  it("names every asset by its content", () => {
    expect(assets.filter((name) => !/-[\w-]{8}\.\w+$/.test(name))).toEqual([]);
  });

  it("carries the licences of what is in it", () => {
    const licences = readFileSync(join(dist, "licences.txt"), "utf8");
    for (const name of ["preact", "uplot", "lucide", "SIL OPEN FONT LICENSE"]) {
      expect(licences.toLowerCase()).toContain(name.toLowerCase());
    }
  });
});

const atHome = fileURLToPath(new URL("../../dist-home/", import.meta.url));
const builtHome = existsSync(join(atHome, "index.html"));

describe.skipIf(!builtHome)("the built page of the home gateway (run the build first)", () => {
  const text = (path: string): string => readFileSync(join(atHome, path), "utf8");
  const assets = builtHome
    ? readdirSync(join(atHome, "assets")).filter((name) => !/\.(?:br|gz)$/.test(name))
    : [];
  const weigh = (part: RegExp): number =>
    assets
      .filter((name) => part.test(name))
      .reduce(
        (sum, name) => sum + gzipSync(readFileSync(join(atHome, "assets", name)), { level: 9 }).length,
        0,
      );

  it("has at most 58 kB of script, half of it the charts, and at most 130 kB in all", () => {
    expect(weigh(/\.js$/)).toBeLessThanOrEqual(58 * KB);
    expect(weigh(/^plot-.*\.js$/)).toBeGreaterThan(20 * KB);
    expect(weigh(/\.(?:js|css|svg)$|^inter-latin-wght/)).toBeLessThanOrEqual(130 * KB);
  });

  it("has nothing inline, and nothing of the pages of the head end", () => {
    expect(text("index.html")).not.toMatch(/<style|style=|<script(?![^>]*\bsrc=)[^>]*>/);
    expect(assets.filter((name) => /^(?:meter|fleet|states)-/.test(name))).toEqual([]);
  });

  it("has a service worker that keeps all that the page needs, and no reading", () => {
    const worker = text("sw.js");
    expect(worker).not.toMatch(/__[A-Z]+__|\bimport\b|\/api\//);
    const needed = assets.filter((name) => !/^inter-(?!latin-wght)/.test(name));
    for (const path of ["/", "/theme.js", "/icon.svg", ...needed.map((name) => `/assets/${name}`)])
      expect(worker).toContain(`"${path}"`);
  });
});
