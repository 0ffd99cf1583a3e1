import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
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
  "network",
  "pause",
  "play",
  "radio-tower",
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

/** Writes a Brotli and a gzip twin beside each text file, which the server sends to those who accept them. */
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

/**
 * Tells the service worker which files it keeps: all that the page needs, with the letters of its texts, so that the
 * letters of other scripts and the licences are not fetched for nothing.
 */
export function offline(): Plugin {
  return {
    name: "offline",
    apply: "build",
    enforce: "post",
    generateBundle(_options, bundle) {
      const worker = bundle["sw.js"];
      if (worker?.type !== "chunk") throw new Error("there is no service worker");
      const kept = Object.keys(bundle).filter(
        (name) => name !== "sw.js" && name !== "licences.txt" && !/inter-(?!latin-wght)/.test(name),
      );
      const page = bundle["index.html"];
      if (page?.type !== "asset") throw new Error("there is no page");
      const paths = kept.map((name) => (name === "index.html" ? "/" : `/${name}`));
      const files = [...paths, "/theme.js", "/icon.svg"].sort();
      const version = createHash("sha256")
        .update(files.join())
        .update(page.source)
        .digest("hex")
        .slice(0, 12);
      worker.code = worker.code
        .replace("__FILES__", () => JSON.stringify(files))
        .replace("__VERSION__", () => JSON.stringify(version));
      if (worker.code.includes("__FILES__")) throw new Error("the service worker names its files twice");
    },
  };
}
