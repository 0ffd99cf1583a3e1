import { readFileSync, readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";

const styles = new URL("../../src/styles/", import.meta.url);
const css = readFileSync(new URL("tokens.css", styles), "utf8").replace(/\/\*[\s\S]*?\*\//g, "");

function block(after: string): Map<string, string> {
  const start = css.indexOf("{", css.indexOf(after));
  let depth = 0;
  let end = start;
  for (; end < css.length; end += 1) {
    if (css[end] === "{") depth += 1;
    if (css[end] === "}") depth -= 1;
    if (depth === 0) break;
  }
  const out = new Map<string, string>();
  for (const match of css.slice(start + 1, end).matchAll(/(--[\w-]+|color-scheme)\s*:\s*([^;]+);/g)) {
    out.set(match[1] ?? "", (match[2] ?? "").trim());
  }
  return out;
}

const light = block(":root {");
const darkBySystem = block(':root:not([data-theme="light"])');
const darkByChoice = block(':root[data-theme="dark"]');

function channel(value: number): number {
  const c = value / 255;
  return c <= 0.040_45 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
}

function luminance(hex: string): number {
  const match = /^#([0-9a-f]{6})$/i.exec(hex);
  if (!match?.[1]) throw new Error(`${hex} is not a colour`);
  const n = Number.parseInt(match[1], 16);
  return 0.2126 * channel(n >> 16) + 0.7152 * channel((n >> 8) & 255) + 0.0722 * channel(n & 255);
}

function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

/** Text pairs of at least 4.5 to 1: front, ground. */
const TEXT: [string, string][] = [
  ...["text", "text-2", "text-3"].flatMap((front): [string, string][] =>
    ["bg", "surface", "surface-2", "surface-3", "raised"].map((ground) => [front, ground]),
  ),
  ...["surface", "surface-2", "bg", "accent-soft"].map((ground): [string, string] => ["accent-text", ground]),
  ...["ok", "warn", "crit", "pend", "miss"].flatMap((state): [string, string][] => [
    [`${state}-text`, "surface"],
    [`${state}-text`, "surface-2"],
    [`${state}-text`, `${state}-soft`],
  ]),
  ["on-accent", "accent"],
  ["on-accent", "accent-hover"],
  ["on-crit", "crit-fill"],
  ["on-crit", "crit-hover"],
  ["text", "warn-soft"],
  ["text", "crit-soft"],
  ["text", "accent-soft"],
  ["text-2", "accent-soft"],
  ["text-2", "gap"],
  ["c-axis", "surface"],
  ...[0, 1, 2, 3, 4].map((n): [string, string] => [`heat-t-${n}`, `heat-${n}`]),
];

/** Marks of at least 3 to 1. */
const MARKS: [string, string][] = [
  ...["ok", "warn", "crit", "pend", "miss"].map((state): [string, string] => [state, "surface"]),
  ...["c1", "c2", "c3", "c4", "c5", "c-ref"].map((series): [string, string] => [series, "surface"]),
  ["line-control", "surface"],
  ["focus", "surface"],
  ["focus", "bg"],
];

describe("tokens", () => {
  it("have the same dark block for the system and for the choice", () => {
    expect(darkBySystem.size).toBeGreaterThan(40);
    expect(Object.fromEntries(darkBySystem)).toEqual(Object.fromEntries(darkByChoice));
  });

  it("give dark a value for every colour of light", () => {
    const colours = [...light].filter(([, value]) => /^#|rgb/.test(value)).map(([name]) => name);
    expect(colours.filter((name) => !darkByChoice.has(name))).toEqual([]);
  });

  describe.each([
    ["light", light],
    ["dark", new Map([...light, ...darkByChoice])],
  ])("in %s", (_name, tokens) => {
    const value = (name: string): string => tokens.get(`--${name}`) ?? "";
    it.each(TEXT)("%s on %s can be read", (front, ground) => {
      expect(contrast(value(front), value(ground))).toBeGreaterThanOrEqual(4.5);
    });
    it.each(MARKS)("%s on %s can be seen", (front, ground) => {
      expect(contrast(value(front), value(ground))).toBeGreaterThanOrEqual(3);
    });
  });

  it("are the only place where a colour is written", () => {
    const found: string[] = [];
    for (const file of readdirSync(styles)) {
      if (file === "tokens.css") continue;
      const text = readFileSync(new URL(file, styles), "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
      for (const match of text.matchAll(/#[0-9a-f]{3,8}\b|\b(?:rgb|hsl|oklch)a?\(/gi)) {
        found.push(`${file}: ${match[0]}`);
      }
    }
    expect(found).toEqual([]);
  });
});
