import { readdirSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ICONS } from "../../build/plugins.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

function files(dir: string): string[] {
  return readdirSync(join(root, dir)).flatMap((name) => {
    const path = join(dir, name);
    return statSync(join(root, path)).isDirectory() ? files(path) : [path];
  });
}

const sources = files("src").filter((path) => /\.tsx?$/.test(path));
const text = (path: string): string => readFileSync(join(root, path), "utf8");

describe("the source", () => {
  it("has no style in markup and no inner HTML, which the policy of the page forbids", () => {
    const found = sources.filter((path) =>
      /\bstyle=|dangerouslySetInnerHTML|innerHTML|\beval\(/.test(text(path)),
    );
    expect(found).toEqual([]);
  });

  it("names no other host", () => {
    const found = sources.flatMap((path) =>
      [...text(path).matchAll(/https?:\/\/[^\s"'`]+/g)].map((match) => `${path}: ${match[0]}`),
    );
    expect(found).toEqual([]);
  });

  it("uses every icon of the sprite, and only those", () => {
    const all = sources.map(text).join("\n");
    const unused = ICONS.filter((name) => !all.includes(`"${name}"`));
    expect(unused).toEqual([]);
  });

  it("uses every text", async () => {
    const rest = sources
      .filter((path) => !path.startsWith(join("src", "texts")))
      .map(text)
      .join("\n");
    // The texts of the head end's pages stand in sections, those of one page do not.
    const named = (texts: Record<string, unknown>): string[] =>
      Object.entries(texts).flatMap(([name, one]) =>
        "product" in texts && typeof one === "object" ? Object.keys(one ?? {}) : [name],
      );
    const unused = new Set<string>();
    for (const path of sources.filter((one) => one.startsWith(join("src", "texts")))) {
      const all = (await import(join(root, path))) as Record<string, unknown>;
      for (const texts of Object.values(all).filter((one) => typeof one === "object"))
        for (const key of named(texts as Record<string, unknown>))
          if (!new RegExp(`[."]${key}\\b`).test(rest)) unused.add(`${path}: ${key}`);
    }
    expect([...unused]).toEqual([]);
  });

  it("pins every package, and the lock file names no registry", () => {
    const manifest = JSON.parse(text("package.json")) as Record<string, Record<string, string>>;
    const versions = Object.values({ ...manifest.dependencies, ...manifest.devDependencies });
    expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
    expect(text("package-lock.json")).not.toMatch(/"resolved"/);
  });
});
