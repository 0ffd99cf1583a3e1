import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import type { Plugin } from "vite";

/** The lucide icons that the interface uses; every other icon stays out of the sprite. */
export const ICONS = [
  "chevron-down",
  "chevron-left",
  "chevron-right",
  "chevron-up",
  "download",
  "eye",
  "eye-off",
  "file-text",
  "gauge",
  "image",
  "inbox",
  "keyboard",
  "list-filter",
  "lock",
  "log-out",
  "menu",
  "moon",
  "pause",
  "play",
  "refresh-cw",
  "scroll-text",
  "search",
  "search-x",
  "sun",
  "triangle-alert",
  "unplug",
  "x",
] as const;

const ID = "virtual:icons";
const require = createRequire(import.meta.url);

/** The folder of an installed package. */
export function packageDir(name: string): string {
  return dirname(require.resolve(`${name}/package.json`));
}

/** One SVG file with a symbol per icon of the list. */
export function sprite(): string {
  const dir = join(packageDir("lucide-static"), "icons");
  const symbols = ICONS.map((name) => {
    const svg = readFileSync(join(dir, `${name}.svg`), "utf8");
    const inner = /<svg[^>]*>([\s\S]*)<\/svg>/.exec(svg)?.[1];
    if (inner === undefined) throw new Error(`icon ${name} is not an SVG`);
    const shapes = inner.replace(/\s+/g, " ").replace(/ \/>/g, "/>").replace(/> </g, "><").trim();
    return `<symbol id="${name}" viewBox="0 0 24 24">${shapes}</symbol>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`;
}

/**
 * Makes the sprite at build: `import url from "virtual:icons"` gives its address. It is a file of the same
 * origin, since the policy of the page allows neither inline data nor another host.
 */
export function icons(): Plugin {
  let serve = false;
  return {
    name: "icons",
    configResolved(config) {
      serve = config.command === "serve";
    },
    resolveId(id) {
      return id === ID ? `\0${ID}` : null;
    },
    load(id) {
      if (id !== `\0${ID}`) return null;
      if (serve) return `export default "/icons.svg";`;
      const ref = this.emitFile({ type: "asset", name: "icons.svg", source: sprite() });
      return `export default import.meta.ROLLUP_FILE_URL_${ref};`;
    },
    configureServer(server) {
      server.middlewares.use("/icons.svg", (_request, response) => {
        response.setHeader("content-type", "image/svg+xml");
        response.end(sprite());
      });
    },
  };
}

/** Writes a Brotli and a gzip twin beside each text file, which the head end sends to those who accept them. */
export function twins(): Plugin {
  let out = "";
  return {
    name: "twins",
    apply: "build",
    configResolved(config) {
      out = config.build.outDir;
    },
    closeBundle() {
      for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(?:js|css|html|svg|txt)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        const content = readFileSync(path);
        if (content.length < 1024) continue;
        writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
        writeFileSync(`${path}.br`, brotliCompressSync(content));
      }
    },
  };
}

/** Ships the licence texts of what is built into the page, as `licences.txt`. */
export function licences(): Plugin {
  const packages = [
    ["preact", "LICENSE"],
    ["uplot", "LICENSE"],
    ["lucide-static", "LICENSE"],
    ["@fontsource-variable/inter", "LICENSE"],
  ] as const;
  return {
    name: "licences",
    apply: "build",
    generateBundle() {
      const texts = packages.map(([name, file]) => {
        const text = readFileSync(join(packageDir(name), file), "utf8").trim();
        return `${name}\n${"=".repeat(name.length)}\n\n${text}\n`;
      });
      this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join("\n\n") });
    },
  };
}
