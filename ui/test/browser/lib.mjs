// What the browser tests share: a page that notes everything that must not happen, what must hold on every page in
// every state (axe, no sideways scroll, no request to another host, the policy), and a walk through all pages.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
// Put into the page by the debugger, which the policy of the page does not bind.
const AXE_SOURCE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
export const shots = process.env.SCREENSHOTS ?? "";
const only = process.env.ONLY ?? "";
if (shots !== "") mkdirSync(shots, { recursive: true });

/** Longer than anything takes on a busy machine; nothing waits for it where all goes well. */
export const LONG = 120_000;
export const WIDTHS = [
  { width: 1440, height: 900 },
  { width: 1024, height: 800 },
  { width: 400, height: 860 },
];
export const THEMES = ["light", "dark"];
const RULES = {
  runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] },
  rules: { "target-size": { enabled: true } },
  // What is in order is not described node by node, which takes most of the time on a page of many.
  resultTypes: ["violations"],
  preload: false,
};
/** Of these rules alone the answer depends on the theme. */
const COLOURS = { type: "rule", values: ["color-contrast", "link-in-text-block"] };
/** Pages that were held to all rules: the same at the same width in the other theme is held to the colours'. */
const held = new Set();

const SHELL = "/usr/bin/chromium-headless-shell";
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? (existsSync(SHELL) ? SHELL : "/usr/bin/chromium"),
  args: [
    "--no-sandbox",
    "--disable-gpu",
    // In containers /dev/shm is too small for many pages, which then crash.
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    // A gateway makes its own certificate; to a browser that trusts it the page also gives its service worker.
    "--ignore-certificate-errors",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

let checks = 0;
let axeRuns = 0;
const failures = [];
/** Pages that are open now, to tell of them where a step fails. */
const pages = new Set();

/** Opens a page that notes everything that must not happen. */
export async function open(origin, size, theme, extra = {}) {
  const context = await browser.newContext({
    viewport: size,
    colorScheme: theme,
    reducedMotion: "reduce",
    hasTouch: size.width < 600,
    locale: "en-GB",
    timezoneId: "America/New_York",
    acceptDownloads: true,
    ...extra,
  });
  context.setDefaultTimeout(LONG);
  const page = await context.newPage();
  pages.add(page);
  page.on("close", () => pages.delete(page));
  const wrong = [];
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !url.startsWith(`blob:${origin}`)) wrong.push(`request to ${url}`);
  });
  page.on("pageerror", (error) => wrong.push(`error in the page: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    // A refused or failed request is an answer that the page handles; the browser notes it all the same.
    if (message.type() === "error" && !/Failed to load resource|net::ERR/.test(text))
      wrong.push(`console: ${text}`);
  });
  await page.addInitScript(() => {
    globalThis.violations = [];
    addEventListener("securitypolicyviolation", (event) => {
      globalThis.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile ?? ""}`);
    });
  });
  // What went wrong after the page was last looked at counts as well.
  context.once("close", () => {
    for (const problem of wrong) failures.push(`left at ${page.url()}: ${problem}`);
  });
  return { context, page, wrong };
}

/** What must hold on every page in every state. */
export async function inspect(page, wrong, name, { axe = true, full = false } = {}) {
  await page.evaluate(() => document.fonts.ready);
  if (shots !== "") await page.screenshot({ path: join(shots, `${name}.png`), fullPage: full });
  const state = await page.evaluate(() => ({
    over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    violations: globalThis.violations,
    inline: document.querySelectorAll("style, script:not([src])").length,
    headings: document.querySelectorAll("h1").length,
    small: [...document.querySelectorAll("body *")].filter((e) => {
      if (e.childNodes.length === 0 || !e.checkVisibility()) return false;
      // A picture is drawn larger or smaller than its own units.
      const scale = e instanceof SVGTextElement ? (e.getScreenCTM()?.a ?? 1) : 1;
      return Number.parseFloat(getComputedStyle(e).fontSize) * scale < 10.95;
    }).length,
  }));
  checks += 1;
  const problems = [...wrong];
  wrong.length = 0;
  if (state.over > 0) problems.push(`scrolls sideways by ${state.over} px`);
  for (const violation of state.violations) problems.push(`policy: ${violation}`);
  if (state.inline > 0) problems.push("inline style or script");
  if (state.headings !== 1) problems.push(`${state.headings} h1`);
  if (state.small > 0) problems.push(`${state.small} texts under 11 px`);
  if (axe) {
    if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE_SOURCE);
    const other = name.replace(/(?:light|dark)$/, (theme) => (theme === "light" ? "dark" : "light"));
    const rules = other !== name && held.has(other) ? { ...RULES, runOnly: COLOURS } : RULES;
    held.add(name);
    const result = await page.evaluate((rules) => globalThis.axe.run(document, rules), rules);
    axeRuns += 1;
    for (const violation of result.violations) {
      problems.push(
        `axe ${violation.id}: ${violation.help}: ${violation.nodes
          .map((n) => `${n.target.join(" ")} ${n.failureSummary?.split("\n").slice(1).join(" ") ?? ""}`)
          .slice(0, 4)
          .join(" | ")}`,
      );
    }
  }
  for (const problem of problems) failures.push(`${name}: ${problem}`);
}

/** What a page says in each mode of a head end that fails: its part, and words of it. */
const REFUSALS = {
  error: ["[data-testid=state-error]", "Could not read"],
  forbidden: ["[data-testid=state-forbidden]", "You may not see"],
  busy: ["[data-testid=state-error]", "The head end is busy"],
  // Before 200 ms every page has such a part, and nothing is seen of it.
  slow: ["[data-testid=state-loading]:not([data-state=quiet])", "Loading"],
};

/** Pages whose head end fails, refuses, is busy or slow: each as what it is. `name` may have `MODE` in it. */
export async function refusals(fixture, page, wrong, { origin, paths, name, modes = Object.keys(REFUSALS) }) {
  const before = fixture.mode;
  for (const mode of modes) {
    const [part, words] = REFUSALS[mode];
    fixture.mode = mode;
    for (const path of paths) {
      await page.goto(origin + path);
      await page.locator(part).filter({ hasText: words }).first().waitFor();
      const which = paths.length === 1 ? mode : `${mode}${path.replaceAll(/[/?=]/g, "-")}`;
      if (mode !== "slow") await inspect(page, wrong, name.replace("MODE", which));
    }
  }
  fixture.mode = before;
}

export async function signIn(page, origin, token, to = "/fleet") {
  await page.goto(`${origin}/sign-in?next=${encodeURIComponent(to)}`);
  await page.getByTestId("signin-token").fill(token);
  await page.getByTestId("signin-submit").click();
  await page.waitForURL(`**${to.split("?")[0]}*`);
}

/** Waits until the tab's title matches: it is set after what is drawn. */
export async function titled(page, wanted) {
  await page.waitForFunction((source) => new RegExp(source).test(document.title), wanted.source);
}

export async function step(name, action) {
  if (only !== "" && !name.includes(only)) return;
  const started = Date.now();
  try {
    await action();
    console.log(`ok    ${name} (${Date.now() - started} ms)`);
  } catch (cause) {
    const seen = [];
    for (const page of [...pages]) {
      seen.push(await whatIsSeen(page).catch((error) => `a page that does not answer: ${error.message}`));
      await page
        .context()
        .close()
        .catch(() => {});
    }
    fail(name, cause, seen);
  }
}

/** What failed and where the page stood, in one line and without the calls that led there. */
function inShort(failure) {
  const lines = failure.split("\n").filter((line) => !/^\s*at /.test(line) && line.trim() !== "");
  return lines
    .map((line) => line.trim())
    .join(" ")
    .slice(0, 600);
}

/** Notes a failure; `finish` tells all of them once more at the end. */
export function fail(name, cause, seen = []) {
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  failures.push([`${name}: ${text}`, ...seen].join("\n"));
  console.log(`FAIL  ${name}: ${inShort(text)}`);
}

/** Where a page stands and in which states its parts are, in a line. */
async function whatIsSeen(page) {
  const states = await page.evaluate(() =>
    [...document.querySelectorAll("[data-testid]")]
      .filter((e) => e.dataset.state ?? /^(?:state|banner|signin)-/.test(e.dataset.testid))
      .map((e) => `${e.dataset.testid}=${e.dataset.state ?? "shown"}`)
      .slice(0, 20)
      .join(" "),
  );
  return `page ${page.url()}: ${states}`;
}

/** All pages with data, at all widths in both themes. */
export async function walk(origin, token, meterId, prefix, widths = WIDTHS) {
  for (const size of widths) {
    for (const theme of THEMES) {
      await step(`${prefix}pages at ${size.width} ${theme}`, async () => {
        const { context, page, wrong } = await open(origin, size, theme);
        const tag = `${size.width}-${theme}`;
        await page.goto(`${origin}/fleet`);
        await page.getByTestId("signin-form").waitFor();
        assert.equal(new URL(page.url()).pathname, "/sign-in");
        await inspect(page, wrong, `${prefix}sign-in-${tag}`);
        await page.getByTestId("signin-token").fill(token);
        await page.getByTestId("signin-submit").click();
        await page.getByTestId("meter-row").first().waitFor();
        await page.locator("[data-testid=fleet-success-plot] canvas").waitFor();
        await page.locator("[data-testid=live-state][data-state=live]").waitFor();
        await inspect(page, wrong, `${prefix}fleet-${tag}`);
        await page.getByTestId("fleet-meters").scrollIntoViewIfNeeded();
        await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
        await page.waitForTimeout(300);
        await inspect(page, wrong, `${prefix}fleet-end-${tag}`);

        await page.goto(`${origin}/meters/${meterId}`);
        await page.locator("[data-testid=meter-live-state][data-state=live]").waitFor();
        await page.locator("[data-testid=meter-profile-plot] canvas").waitFor();
        await page.getByTestId("register-row").first().waitFor();
        await inspect(page, wrong, `${prefix}meter-${tag}`);
        await page.getByTestId("meter-profile").scrollIntoViewIfNeeded();
        if (shots !== "" && size.width < 600) {
          await page
            .getByTestId("meter-profile")
            .evaluate((e) => scrollTo(0, e.getBoundingClientRect().top + scrollY - 60));
          await page.screenshot({ path: join(shots, `${prefix}meter-profile-card-${tag}.png`) });
          await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
          await page.screenshot({ path: join(shots, `${prefix}meter-end-${tag}.png`) });
        }
        await page.goto(`${origin}/meters/${meterId}/profile`);
        await page.locator("[data-testid=meter-profile-plot] canvas").waitFor();
        await inspect(page, wrong, `${prefix}profile-${tag}`);
        await page.getByTestId("profile-range-month").click();
        await page.waitForURL("**/profile?range=month");
        await page.locator("[data-testid=meter-profile-plot] canvas").waitFor();
        await page.getByTestId("meter-profile-view-table").click();
        await page.getByTestId("meter-profile-table").waitFor();
        await inspect(page, wrong, `${prefix}profile-table-${tag}`);
        await page.goto(`${origin}/meters/${meterId}/registers`);
        await page.getByTestId("register-row").first().waitFor();
        await inspect(page, wrong, `${prefix}registers-${tag}`);
        await page.goto(`${origin}/meters/${meterId}/events`);
        await page.locator("[data-testid=event-row], [data-testid=state-empty]").first().waitFor();
        await inspect(page, wrong, `${prefix}events-${tag}`);
        await page.goto(`${origin}/meters/m_00nosuchmeter`);
        await page.getByTestId("state-empty").waitFor();
        await inspect(page, wrong, `${prefix}unknown-${tag}`);
        if (size.width < 900) {
          await page.getByTestId("nav-more").click();
          await page.getByTestId("more-dialog").waitFor();
          await inspect(page, wrong, `${prefix}more-${tag}`);
        } else {
          await page.keyboard.press("?");
          await page.getByTestId("keyboard-help").waitFor();
          await inspect(page, wrong, `${prefix}keyboard-${tag}`);
          await page.keyboard.press("Escape");
          await page.keyboard.press("/");
          await page.keyboard.type("1");
          await page.getByTestId("find-list").waitFor();
          await page.getByTestId("find-hit").first().waitFor();
          await inspect(page, wrong, `${prefix}find-${tag}`);
        }
        await context.close();
      });
    }
  }
}

/** Says what was found and ends the process. */
export async function finish() {
  await browser.close();
  for (const failure of failures) console.log(`\n${failure}`);
  console.log(`${checks} pages inspected, ${axeRuns} with axe, ${failures.length} problems`);
  // Last of all, since a log may be cut to its end.
  for (const failure of failures) console.log(`problem: ${inShort(failure)}`);
  process.exit(failures.length === 0 ? 0 : 1);
}
