import { fileURLToPath } from "node:url";
import type { UserConfig } from "vite";
import { defineConfig } from "vitest/config";
import { icons, licences, offline, twins } from "./build/plugins.ts";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The page of the home gateway is built apart, so that it carries nothing of the head end's pages. */
const home: UserConfig = {
  root: at("home"),
  publicDir: at("public"),
  build: {
    outDir: at("dist-home"),
    emptyOutDir: true,
    rollupOptions: {
      input: { index: at("home/index.html"), sw: at("src/home/sw.ts") },
      output: {
        // A service worker serves what lies below its own address.
        entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
      },
    },
  },
};

export default defineConfig(({ mode }) => ({
  ...(mode === "home" ? home : {}),
  plugins: [icons(), licences(), twins(), ...(mode === "home" ? [offline()] : [])],
  base: "/",
  define: {
    // The sheet of states is a page of development and test builds only.
    __STATES__: JSON.stringify(mode !== "production"),
  },
  build: {
    outDir: mode === "test" ? "dist-test" : "dist",
    target: ["chrome109", "firefox115", "safari16.4"],
    // Nothing is put inline: the policy of the page has no data: and no inline style or script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: true,
    sourcemap: false,
    reportCompressedSize: false,
    ...(mode === "home" ? home.build : {}),
  },
  server: {
    proxy: process.env.GRIDWARD_URL ? { "/api": process.env.GRIDWARD_URL } : {},
  },
  test: {
    include: ["test/unit/**/*.test.ts"],
    environment: "node",
  },
}));
