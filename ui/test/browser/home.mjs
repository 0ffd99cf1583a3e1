// The page of the home gateway in Chromium against fixed data: every state at every size in both themes, keyboard,
// what is left when the gateway is away. What this is evidence of: the built page in a real browser; the answers are
// those that the gateway's own tests hold to be right. `home-real.mjs` has the gateway itself.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { HomeFixture, PASSWORD, USER } from "./home-fixture.mjs";
import { finish, inspect, open, step, THEMES, titled } from "./lib.mjs";

const dist = join(fileURLToPath(new URL("../../", import.meta.url)), "dist-home");
assert.ok(existsSync(join(dist, "index.html")), "run the build first: npm run build");

const SIZES = [
  { width: 1440, height: 900 },
  { width: 1280, height: 800 },
  { width: 800, height: 1280 },
  { width: 400, height: 860 },
];
const [wide, , tablet, phone] = SIZES;

async function signIn(page, url) {
  await page.goto(url);
  await page.getByTestId("signin-password").fill(PASSWORD);
  await page.keyboard.press("Enter");
  await page.getByTestId("home-now").waitFor();
}

/** Opens the page of a gateway with such data, at some sizes in some themes, side by side. */
async function each(options, views, action) {
  const one = async ([size, theme]) => {
    const own = new HomeFixture({ dist, ...options });
    const url = await own.listen();
    const { context, page, wrong } = await open(url, size, theme);
    await action({ own, url, context, page, wrong, tag: `${size.width}-${theme}`, size });
    assert.deepEqual(wrong, []);
    await context.close();
    own.close();
  };
  await Promise.all(views.map(one));
}
const all = SIZES.flatMap((size) => THEMES.map((theme) => [size, theme]));
const some = [
  [wide, "light"],
  [tablet, "dark"],
  [phone, "light"],
];
const drawn = async (page) => {
  await page.locator("[data-testid=home-live-plot] canvas").waitFor();
  await page.locator("[data-testid=home-hours-plot] canvas").waitFor();
};
const live = (page) => page.locator("[data-testid=home-live][data-state=live]").waitFor();

for (const theme of THEMES) {
  await step(`home at all sizes ${theme}`, async () => {
    const views = SIZES.map((size) => [size, theme]);
    await each({}, views, async ({ url, page, wrong, tag, size }) => {
      await page.goto(url);
      await page.getByTestId("signin-form").waitFor();
      await inspect(page, wrong, `home-sign-in-${tag}`);
      await signIn(page, url);
      await drawn(page);
      await live(page);
      assert.match(await page.getByTestId("home-power").innerText(), /^486\s*W$/);
      assert.match(await page.getByTestId("home-say").innerText(), /About 14 cents an hour/);
      assert.match(await page.getByTestId("home-price").innerText(), /Day price until 20:00/);
      assert.match(await page.getByTestId("home-today").innerText(), /4\.8\s*kWh\s+0\.5 less than yesterday/);
      assert.match(await page.getByTestId("home-month").innerText(), /November\s+96\.4\s*kWh\s+7\.7 less/);
      assert.match(
        await page.getByTestId("home-cost").innerText(),
        /31\.18\s*CHF\s+Day 17\.32, night 7\.86, fixed 6\.00/,
      );
      await titled(page, /^486 W · At home$/);
      if (size.width >= 1280) {
        const over = await page.evaluate(() => document.documentElement.scrollHeight - innerHeight);
        assert.ok(over <= 0, `a wall tablet would have to scroll by ${over} px`);
      }
      await inspect(page, wrong, `home-${tag}`, { full: true });
      await page.getByTestId("home-live-view").click();
      await page.getByTestId("home-hours-view").click();
      await page.getByTestId("home-live-table").waitFor();
      const gap = page.getByTestId("home-hours-table").locator("tr", { hasText: "11:00–12:00" });
      assert.match(await gap.innerText(), /no readings/, "a gap is no zero");
      await inspect(page, wrong, `home-tables-${tag}`, { full: true });
    });
  });
}

await step("a home that gives to the grid", async () => {
  await each({ state: "state-giving" }, [...some, [wide, "dark"]], async ({ url, page, wrong, tag }) => {
    await signIn(page, url);
    await drawn(page);
    await live(page);
    assert.match(await page.getByTestId("home-power").innerText(), /^\u22121\.51\s*kW$/);
    assert.match(await page.getByTestId("home-say").innerText(), /give this to the grid/);
    assert.match(await page.getByTestId("home-today").innerText(), /2\.2 kWh given to the grid/);
    await inspect(page, wrong, `home-giving-${tag}`, { full: true });
  });
});

await step("the first start says what will be here", async () => {
  await each(
    { state: "state-first-start" },
    [...some, [wide, "dark"]],
    async ({ own, url, page, wrong, tag }) => {
      own.days = { today: false, yesterday: false };
      await signIn(page, url);
      await page.getByTestId("state-empty").waitFor();
      assert.match(await page.getByTestId("home-power").innerText(), /No reading yet/);
      assert.doesNotMatch(await page.locator("main").innerText(), /\b0(\.0+)?\s*(W|kWh)/, "no silent zero");
      await inspect(page, wrong, `home-first-start-${tag}`, { full: true });
    },
  );
});

await step("the first day, when nothing is known from before", async () => {
  await each({ state: "state-first-day" }, some, async ({ url, page, wrong, tag }) => {
    await signIn(page, url);
    await drawn(page);
    assert.match(
      await page.getByTestId("home-today").innerText(),
      /Since 06:12; nothing is known from before/,
    );
    await inspect(page, wrong, `home-first-day-${tag}`, { full: true });
  });
});

await step("the link to the meter is lost", async () => {
  await each({ state: "state-silent" }, all, async ({ url, page, wrong, tag }) => {
    await signIn(page, url);
    await drawn(page);
    await page.getByTestId("banner-link").waitFor();
    assert.equal(await page.getByTestId("home-now").getAttribute("data-state"), "old");
    assert.equal(await page.locator("h1").innerText(), "Last known power");
    assert.match(await page.getByTestId("home-say").innerText(), /From 14:\d\d, \d+ min ago/);
    // An old value is not in it.
    await titled(page, /^At home$/);
    await inspect(page, wrong, `home-link-lost-${tag}`, { full: true });
  });
});

await step("a meter that falls silent is told, and its return", async () => {
  await each({}, some, async ({ own, url, page, wrong, tag }) => {
    await signIn(page, url);
    await drawn(page);
    await live(page);
    const before = own.told;
    const last = own.state().meter.last;
    own.tell((state) => ({ ...state, power: null, meter: { ...state.meter, state: "silent", last } }));
    await page.getByTestId("banner-meter").waitFor();
    assert.equal(await page.locator("h1").innerText(), "Last known power");
    await inspect(page, wrong, `home-meter-silent-${tag}`, { full: true });
    own.tell(() => before);
    await live(page);
    assert.equal(await page.locator("h1").innerText(), "Power now");
  });
});

await step("values that stop are old even where nobody says so", async () => {
  await each({}, [[phone, "dark"]], async ({ own, url, page, wrong, tag }) => {
    await signIn(page, url);
    await live(page);
    own.power = false;
    own.told.power = null;
    await page.locator("[data-testid=home-live][data-state=stale]").waitFor();
    await inspect(page, wrong, `home-stopped-${tag}`);
  });
});

await step("history off", async () => {
  const options = { state: "state-no-history", session: "session-plain" };
  await each(options, [...some, [wide, "dark"]], async ({ url, page, wrong, tag }) => {
    await signIn(page, url);
    await page.locator("[data-testid=home-live-plot] canvas").waitFor();
    await live(page);
    for (const card of ["home-today", "home-month", "home-cost", "home-csv"])
      assert.equal(await page.getByTestId(card).count(), 0, card);
    assert.doesNotMatch(await page.getByTestId("home-greenbutton").getAttribute("href"), /published/);
    await inspect(page, wrong, `home-no-history-${tag}`, { full: true });
  });
});

await step("no tariff", async () => {
  const plain = (state) => {
    for (const period of [state.today, state.yesterday, state.month, state.last_month])
      if (period) period.cost = null;
    return { ...state, price: null, power: { ...state.power, cost_per_hour: null } };
  };
  await each({ change: plain }, some, async ({ own, url, page, wrong, tag }) => {
    own.answer.currency = null;
    await signIn(page, url);
    await drawn(page);
    await live(page);
    assert.match(await page.getByTestId("home-cost").innerText(), /Not known[\s\S]*no tariff/);
    assert.equal(await page.getByTestId("home-say").innerText(), "");
    await inspect(page, wrong, `home-no-tariff-${tag}`, { full: true });
  });
});

await step("a gateway that goes away: the page stays, and says how old it is", async () => {
  await each(
    {},
    [
      [wide, "light"],
      [tablet, "dark"],
      [phone, "dark"],
    ],
    async ({ own, url, page, wrong, tag, size }) => {
      // One device has the day of the gateway, the others live days later.
      const sameDay = size === wide;
      if (sameDay) await page.clock.install({ time: own.now() });
      await signIn(page, url);
      await drawn(page);
      await live(page);
      await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
      await own.vanish();
      await page.getByTestId("banner-connection").waitFor();
      await inspect(page, wrong, `home-away-${tag}`, { full: true });

      // Opened anew the page comes from the device, with the last values marked as old.
      await page.reload();
      await page.getByTestId("banner-connection").waitFor();
      assert.equal(await page.getByTestId("home-now").getAttribute("data-state"), "old");
      assert.equal(await page.locator("h1").innerText(), "Last known power");
      assert.match(await page.getByTestId("home-power").innerText(), /^486\s*W$/);
      await titled(page, /^At home$/);
      const today = await page.getByTestId("home-today").innerText();
      if (sameDay) assert.match(today, /^Today\s+4\.8/);
      else
        assert.match(
          today,
          /^Thu 19 Nov\s+4\.8\s*kWh\s+0\.5 less than the day before by then\s+As of 19 Nov/,
        );
      const link = await page.getByTestId("home-link").innerText();
      assert.match(link, /answered/);
      assert.match(link, sameDay ? /Readings today/ : /Readings on 19 Nov/);
      await page.evaluate(() => document.fonts.ready);
      await inspect(page, wrong, `home-offline-${tag}`, { full: true });

      await own.comeBack();
      await page.getByTestId("live-try-now").click();
      await live(page);
      assert.equal(await page.getByTestId("banner-connection").count(), 0);
      assert.equal(await page.locator("h1").innerText(), "Power now");

      // Where the gateway answers, the page is the one that it has now.
      own.log.length = 0;
      await page.reload();
      await live(page);
      assert.ok(own.log.includes("GET /"), own.log.join(" "));
      assert.equal(own.log.filter((line) => line.startsWith("GET /assets/")).length, 0);
    },
  );
});

await step("a session that has ended asks for the password, and leaves nothing on the device", async () => {
  await each({}, [[wide, "light"]], async ({ own, url, page }) => {
    await signIn(page, url);
    await live(page);
    await page.waitForFunction(() => localStorage.getItem("gridward.home") !== null);
    own.sessions.clear();
    for (const stream of own.openStreams.keys()) stream.end();
    await page.getByTestId("signin-form").waitFor();
    assert.equal(await page.evaluate(() => localStorage.getItem("gridward.home")), null);
    await page.getByTestId("signin-password").fill(PASSWORD);
    await page.keyboard.press("Enter");
    await live(page);
    await page.getByTestId("home-sign-out").click();
    await page.getByTestId("signin-form").waitFor();
    assert.equal(await page.evaluate(() => localStorage.getItem("gridward.home")), null);
  });
});

await step("sign-in says what is wrong", async () => {
  await each(
    {},
    [
      [phone, "light"],
      [wide, "dark"],
    ],
    async ({ own, url, page, wrong, tag }) => {
      await page.goto(url);
      await page.getByTestId("signin-submit").click();
      assert.match(await page.getByTestId("signin-error").innerText(), /Enter the password/);
      await page.getByTestId("signin-password").fill("wrong");
      await page.keyboard.press("Enter");
      await page.getByText("not the one of this box").waitFor();
      assert.equal(await page.getByTestId("signin-password").inputValue(), "wrong", "input is never cleared");
      await inspect(page, wrong, `home-sign-in-wrong-${tag}`);
      own.failures = 10;
      await page.keyboard.press("Enter");
      await page.getByText(/Too many tries/).waitFor();
      await inspect(page, wrong, `home-sign-in-pause-${tag}`);
      assert.equal(await page.getByTestId("signin-user").inputValue(), USER);
    },
  );
});

await step("before the first answer", async () => {
  await each(
    {},
    [
      [wide, "light"],
      [phone, "dark"],
    ],
    async ({ own, url, page, wrong, tag }) => {
      own.mode = "hang";
      await page.goto(url);
      await page.getByTestId("state-loading").waitFor();
      await inspect(page, wrong, `home-loading-${tag}`);
      await page.route("**/api/v1/session", (route) => route.abort());
      await page.goto(url);
      await page.getByTestId("state-offline").waitFor();
      await inspect(page, wrong, `home-never-seen-${tag}`);
      own.mode = "ok";
      await page.unroute("**/api/v1/session");
      await page.getByTestId("signin-form").waitFor();
    },
  );
});

await step("what can be taken along", async () => {
  await each({}, [[wide, "light"]], async ({ own, url, page }) => {
    await signIn(page, url);
    for (const [id, name, path] of [
      ["home-csv", "energy.csv", "/api/v1/download.csv?from=2026-09-30T22%3A00%3A00Z&to=2026-11-19T13"],
      [
        "home-greenbutton",
        "green-button.xml",
        "/espi/1_1/resource/Batch/RetailCustomer/1/UsagePoint?published-min=2026-09-30T22",
      ],
    ]) {
      const [download] = await Promise.all([page.waitForEvent("download"), page.getByTestId(id).click()]);
      assert.equal(download.suggestedFilename(), name);
      assert.equal(readFileSync(await download.path(), "utf8"), "as asked");
      assert.ok(
        own.log.some((line) => line.startsWith(`GET ${path}`)),
        own.log.at(-1),
      );
    }
  });
});

await step("the keyboard reaches everything, and in a gap nothing is read out", async () => {
  await each({}, [[wide, "light"]], async ({ url, page }) => {
    await signIn(page, url);
    await drawn(page);
    await live(page);
    await page.evaluate(() => document.activeElement?.blur());
    const stops = [];
    for (let i = 0; i < 30; i += 1) {
      await page.keyboard.press("Tab");
      const stop = await page.evaluate(() => {
        const e = document.activeElement;
        if (!e || e === document.body) return null;
        return {
          name: e.dataset.testid ?? e.textContent,
          ring: getComputedStyle(e).boxShadow !== "none",
        };
      });
      if (stop === null) break;
      stops.push(stop);
    }
    assert.deepEqual(
      stops.map((stop) => stop.name),
      [
        "Skip to content",
        "theme-toggle",
        "home-live-plot",
        "home-live-view",
        "home-hours-plot",
        "home-hours-view",
        "home-greenbutton",
        "home-csv",
        "Licences",
        "home-sign-out",
      ],
    );
    assert.deepEqual(
      stops.filter((stop) => !stop.ring),
      [],
    );
    await page.getByTestId("home-hours-plot").focus();
    await page.keyboard.press("Home");
    const readout = page.getByTestId("home-hours-readout");
    await page.waitForFunction(() =>
      /00:00–01:00/.test(document.querySelector("[data-testid=home-hours-readout]")?.textContent ?? ""),
    );
    assert.match(await readout.innerText(), /0\.21 kWh[\s\S]*yesterday 0\.22 kWh/);
    await page.keyboard.press("Shift+ArrowRight");
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction(
      () => document.querySelector("[data-testid=home-hours-readout]")?.dataset.state === "gap",
    );
    assert.match(await readout.innerText(), /no readings/);
    await page.keyboard.press("End");
    await page.waitForFunction(() =>
      /to come/.test(document.querySelector("[data-testid=home-hours-readout]")?.textContent ?? ""),
    );
    await page.keyboard.press("t");
    await page.getByTestId("home-hours-table").waitFor();
    await page.getByTestId("home-live-table").waitFor();
  });
});

await step("narrow, wide and forced colours", async () => {
  const widths = [320, 360, 599, 600, 899, 900, 1024, 1920].map((width) => [{ width, height: 800 }, "light"]);
  await each({}, widths, async ({ url, page, wrong, tag }) => {
    await signIn(page, url);
    await drawn(page);
    await inspect(page, wrong, `home-${tag}`, { axe: false, full: true });
  });
  const own = new HomeFixture({ dist });
  const url = await own.listen();
  const { context, page, wrong } = await open(url, wide, "light", { forcedColors: "active" });
  await signIn(page, url);
  await drawn(page);
  await inspect(page, wrong, "home-forced-1440", { axe: false });
  await context.close();
  own.close();
});

await finish();
