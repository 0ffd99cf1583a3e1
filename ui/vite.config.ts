import { defineConfig } from "vitest/config";
import { icons, licences, twins } from "./build/plugins.ts";

export default defineConfig(({ mode }) => ({
  plugins: [icons(), licences(), twins()],
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
  },
  server: {
    proxy: process.env.GRIDWARD_URL ? { "/api": process.env.GRIDWARD_URL } : {},
  },
  test: {
    include: ["test/unit/**/*.test.ts"],
    environment: "node",
  },
}));
