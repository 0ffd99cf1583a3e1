// Pages of firmware campaigns in Chromium against fixed data: looked at with axe wide and narrow in both themes, by
// keyboard, in all states; one is stopped and let go on. Evidence as in `run.mjs`: the built pages in a real browser;
// the answers are a fixture, whose fields are those of the head end's own description.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { firmware } from "./campaign-fixture.mjs";
import { Fixture, TOKEN } from "./fixture.mjs";
import { finish, inspect, open, refusals, signIn, step, THEMES, WIDTHS } from "./lib.mjs";

const dist = join(fileURLToPath(new URL("../../", import.meta.url)), "dist");
const [wide, , phone] = WIDTHS;
/** Between them the last step looks, without axe. */
const SIZES = [wide, phone];

/** A head end of its own, since campaigns are stopped here. */
async function start() {
  const fixture = new Fixture({ dist });
  return { fixture, origin: await fixture.listen() };
}

const seen = (page, testid) => page.getByTestId(testid).locator("visible=true");

for (const size of SIZES) {
  const both = THEMES.map((theme) =>
    step(`campaigns at ${size.width} ${theme}`, async () => {
      const { fixture, origin } = await start();
      const { context, page, wrong } = await open(origin, size, theme);
      const tag = `${size.width}-${theme}`;
      await signIn(page, origin, TOKEN, "/campaigns");
      await seen(page, "campaign-row").first().waitFor();
      assert.equal(await seen(page, "campaign-row").count(), 5);
      await inspect(page, wrong, `campaigns-${tag}`);
      for (const id of [7, 6, 5, 3]) {
        await page.goto(`${origin}/campaigns/${id}`);
        await page.getByTestId("campaign-ring").first().waitFor();
        await seen(page, "campaign-meter").first().waitFor();
        await inspect(page, wrong, `campaign-${id}-${tag}`, { full: true });
      }
      await page.goto(`${origin}/campaigns/5?step=failed`);
      await seen(page, "campaign-meter").first().waitFor();
      assert.equal(await seen(page, "campaign-meter").count(), 13);
      await page.goto(`${origin}/campaigns/5?q=nobody`);
      await page.getByTestId("state-nomatch").waitFor();
      await inspect(page, wrong, `campaign-nomatch-${tag}`, { full: true });
      await page.goto(`${origin}/campaigns/5/resume`);
      await page.getByTestId("resume-decision").waitFor();
      await inspect(page, wrong, `campaign-resume-${tag}`, { full: true });
      await page.goto(`${origin}/campaigns/7/resume`);
      await page.getByTestId("no-decision").waitFor();
      await page.goto(`${origin}/campaigns/new`);
      await page.getByTestId("new-image-row").first().waitFor();
      await inspect(page, wrong, `campaign-new-${tag}`, { full: true });
      await page.getByTestId("new-image-pick").first().check();
      await page.getByTestId("new-who-filter").click();
      await page.getByTestId("new-medium").selectOption("s-fsk");
      await page.getByTestId("new-look").click();
      await page.getByTestId("new-plan-figures").waitFor();
      await page.getByTestId("begin-means").waitFor();
      await inspect(page, wrong, `campaign-new-planned-${tag}`, { full: true });
      await page.goto(`${origin}/campaigns/99`);
      await page.getByTestId("state-empty").waitFor();
      await inspect(page, wrong, `campaign-unknown-${tag}`);
      await context.close();
      fixture.close();
    }),
  );
  await Promise.all(both);
}

await step("campaigns say what is true of them", async () => {
  const { fixture, origin } = await start();
  const { context, page, wrong } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN);
  await page.getByTestId("meter-row").first().waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("u");
  await page.waitForURL("**/campaigns");
  await page.waitForFunction(() => document.activeElement?.tagName === "H1");
  await page.getByTestId("campaign-table").getByRole("link", { name: "Winter image" }).click();
  await page.waitForURL("**/campaigns/7");
  const stats = page.getByTestId("campaign-stats");
  await stats.getByText("of 6 h 25 min allowed").waitFor();
  assert.match(await stats.innerText(), /Time[\s\S]*41 min/);
  assert.match(
    await page.getByTestId("campaign-pace").innerText(),
    /610\s*ms[\s\S]*33 min[\s\S]*S-FSK, credit 0/,
  );
  // 24,100 s are more than 1.3 times the bound of 17,767 s.
  await page.goto(`${origin}/campaigns/6`);
  await stats.getByText("more than 6 h 25 min allowed").waitFor();
  const rings = page.getByTestId("campaign-ring");
  assert.deepEqual(await rings.evaluateAll((all) => all.map((one) => one.dataset.state)), [
    "done",
    "done",
    "soaking",
  ]);
  // Where the line was not told there is no bound, and nothing is made up.
  await page.goto(`${origin}/campaigns/5`);
  await stats.getByText("no bound: the line was not told").waitFor();
  assert.deepEqual(
    await page.getByTestId("campaign-reason").evaluateAll((all) => all.map((one) => one.dataset.id).sort()),
    ["lost", "not_activated", "not_verified", "refused", "unreachable"],
  );
  await page.getByTestId("campaign-show-failed").click();
  await page.waitForURL("**/campaigns/5?step=failed");
  await page.getByTestId("campaign-page").getByText("1 to 13 of 13").waitFor();
  await page.getByTestId("campaign-of-ring").selectOption("0");
  await page.getByTestId("campaign-page").getByText("1 to 3 of 3").waitFor();
  await page.goto(`${origin}/campaigns/3`);
  await page.getByTestId("campaign-groups").getByTestId("state-empty").waitFor();
  await page.getByTestId("campaign-why").getByTestId("state-empty").waitFor();
  // Pages of the table by keyboard; the address has the place, and back restores it.
  await page.goto(`${origin}/campaigns/7`);
  await page
    .getByTestId("campaign-page")
    .getByText(/1 to 100 of 1200/)
    .waitFor();
  // Who failed or broke off stands first.
  await seen(page, "campaign-meter")
    .first()
    .getByText(/contacts broke off/)
    .waitFor();
  await page.keyboard.press("j");
  await page.waitForURL("**/campaigns/7?offset=100");
  await page
    .getByTestId("campaign-page")
    .getByText(/101 to 200 of 1200/)
    .waitFor();
  await page.keyboard.press("k");
  await page.waitForURL("**/campaigns/7");
  await page.getByTestId("campaign-filter").fill("nobody at all");
  await page.getByTestId("state-nomatch").waitFor();
  await page.getByTestId("campaign-clear").click();
  await page
    .getByTestId("campaign-page")
    .getByText(/1 to 100 of 1200/)
    .waitFor();
  assert.equal(new URL(page.url()).search, "");
  assert.deepEqual(wrong, []);
  await context.close();
  fixture.close();
});

await step("a campaign is stopped and let go on", async () => {
  const { fixture, origin } = await start();
  const { context, page, wrong } = await open(origin, phone, "light");
  await signIn(page, origin, TOKEN, "/campaigns/6");
  await page.getByTestId("campaign-stop").click();
  await page.getByTestId("toasts").getByText("Nothing new is begun").waitFor();
  await page.getByTestId("campaign-stop").waitFor({ state: "detached" });
  assert.deepEqual([...fixture.campaigns.stopped], [6]);
  await page.getByTestId("campaign-resume").click();
  await page.waitForURL("**/campaigns/6/resume");
  await page
    .getByTestId("resume-means")
    .getByText(/told to activate/)
    .waitFor();
  // Nothing is sent before the image was named.
  await page.getByTestId("resume-confirm").fill("Gridward");
  await page.getByTestId("resume-give").click();
  await page.getByTestId("resume-name-error").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.id), "resume-name");
  assert.equal(fixture.campaigns.resumed.size, 0);
  await inspect(page, wrong, "campaign-resume-wrong-400-light");
  await page.getByTestId("resume-confirm").fill("Gridward 2.1");
  // Refused by the head end: said where it was ordered, and not taken as done.
  await page.route("**/resume", (route) =>
    route.request().method() === "POST" ? route.fulfill({ status: 500, body: "" }) : route.continue(),
  );
  await page.getByTestId("resume-give").click();
  await page.getByTestId("resume-failed").waitFor();
  await page.unroute("**/resume");
  await page.getByTestId("resume-give").click();
  await page.getByTestId("resume-done").waitFor();
  assert.deepEqual([...fixture.campaigns.resumed], [6]);
  await inspect(page, wrong, "campaign-resumed-400-light");
  await page.getByTestId("resume-done").getByRole("link").click();
  await page.getByTestId("campaign-stop").waitFor();
  await context.close();
  fixture.close();
});

await step("a campaign is begun", async () => {
  const { fixture, origin } = await start();
  const { campaigns } = fixture;
  const { context, page, wrong } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN, "/campaigns");
  await page.getByTestId("campaign-new").click();
  await page.waitForURL("**/campaigns/new");
  await page.waitForFunction(() => document.activeElement?.tagName === "H1");
  // Without an image there is nothing to look at and nothing to begin, and both say so.
  const give = page.getByTestId("begin-give");
  const blocked = page.getByTestId("begin-blocked");
  await blocked.getByText("Choose an image first").waitFor();
  assert.ok(await give.isDisabled());
  assert.ok(await page.getByTestId("new-look").isDisabled());
  // One that another maker signed cannot be chosen.
  await page.getByTestId("new-image-row").nth(2).waitFor();
  assert.ok(await page.getByTestId("new-image-pick").nth(2).isDisabled());

  // What is no image is refused, with the reason of the head end; what is one is kept and chosen.
  const file = page.getByTestId("new-image-file");
  await file.setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("notes") });
  await page.getByTestId("new-image-failed").getByText("no firmware image").waitFor();
  await inspect(page, wrong, "campaign-new-refused-1440-light", { full: true });
  const sent = fixture.log.length;
  const tooLong = Buffer.alloc(4 * 1024 * 1024 + 1);
  await file.setInputFiles({ name: "big.img", mimeType: "", buffer: tooLong });
  await page.getByTestId("new-image-failed").getByText("more than 4 MiB").waitFor();
  assert.deepEqual(
    fixture.log.slice(sent).filter((line) => line.startsWith("POST /api/v1/images")),
    [],
  );
  await file.setInputFiles({ name: "new.img", mimeType: "", buffer: firmware("Gridward 2.2") });
  await page.getByTestId("new-image-row").nth(3).waitFor();
  const first = page.getByTestId("new-image-row").first();
  assert.equal(await first.getAttribute("data-state"), "on");
  await first.getByText("Gridward 2.2, version 22").waitFor();
  // One that is dropped as well; the same one is kept once.
  const drop = await page.evaluateHandle(
    (octets) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(octets)], "dropped.img"));
      return data;
    },
    [...firmware("Gridward 2.3", 64)],
  );
  await page.getByTestId("new-image-drop").dispatchEvent("drop", { dataTransfer: drop });
  await first.getByText("Gridward 2.3, version 22").waitFor();
  assert.equal(campaigns.images.length, 5);
  await page.getByRole("button", { name: "Remove Gridward 2.3, version 22" }).click();
  await page.getByTestId("toasts").getByText("The image is removed").waitFor();
  await blocked.getByText("Choose an image first").waitFor();
  assert.equal(campaigns.images.length, 4);
  // By keyboard: the arrows choose among images.
  await page.getByTestId("new-image-pick").nth(1).focus();
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowUp");
  assert.equal(await first.getAttribute("data-state"), "on");
  await blocked.getByText("Look first").waitFor();

  // Fields that are not right are told where they stand, and nothing is asked.
  await page.getByTestId("new-rings").fill("1, 10");
  await page.getByTestId("new-look").click();
  await page.getByTestId("new-rings-error").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.id), "new-rings");
  await blocked.getByText("not right yet").waitFor();
  assert.equal(campaigns.planned.length, 0);
  await inspect(page, wrong, "campaign-new-wrong-1440-light", { full: true });
  await page.getByTestId("new-rings").fill("5, 100");
  await page.getByTestId("new-who-list").click();
  await page.getByTestId("new-look").click();
  await page.getByTestId("new-list-error").waitFor();
  await page.getByTestId("new-list").fill("GWD0000000000010");
  await page.getByTestId("new-look").click();
  // It has no keys: nobody takes part, and that is said in all places.
  await page.getByTestId("new-plan").getByTestId("state-nomatch").waitFor();
  await blocked.getByText("Nobody takes part").waitFor();
  assert.ok(await give.isDisabled());
  await inspect(page, wrong, "campaign-new-nobody-1440-light", { full: true });

  await page.getByTestId("new-who-all").click();
  await blocked.getByText("Something was changed").waitFor();
  await page.getByTestId("new-plan-changed").waitFor();
  await page.getByTestId("new-medium").selectOption("s-fsk");
  // Refused by the head end: said, and what was looked at before stays out of date.
  await page.route("**/campaigns/plan", (route) => route.fulfill({ status: 500, body: "" }));
  await page.getByTestId("new-look").click();
  await page.getByTestId("new-plan-failed").waitFor();
  await page.unroute("**/campaigns/plan");
  await page.getByTestId("new-look").click();
  await page.getByTestId("begin-means").waitFor();
  const figures = await page.getByTestId("new-plan-figures").innerText();
  assert.match(figures, /78[\s\S]*of 100 chosen[\s\S]*22[\s\S]*6 h 25 min[\s\S]*10 min/);
  const reasons = await page
    .getByTestId("new-plan-reason")
    .evaluateAll((all) => all.map((one) => one.dataset.id).sort());
  assert.deepEqual(reasons, ["in_campaign", "no_keys", "runs_it", "silent"]);
  await page.getByTestId("new-plan").getByText("in campaign 7").waitFor();
  // The pace is the line's.
  assert.equal(campaigns.planned.at(-1).settings.pace_ms, 610);

  // Why, and the image by its name; then it begins, and its page opens.
  await give.click();
  await page.getByTestId("begin-reason-error").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.id), "begin-reason");
  await page.getByTestId("begin-reason").fill("Tested on the bench since Monday");
  await page.getByTestId("begin-confirm").fill("Gridward 2.1");
  await give.click();
  await page.getByTestId("begin-name-error").waitFor();
  assert.equal(campaigns.begun.length, 0);
  await page.getByTestId("begin-confirm").fill("Gridward 2.2");
  await page.route("**/api/v1/campaigns", (route) =>
    route.request().method() === "POST"
      ? route.fulfill({
          status: 409,
          contentType: "application/json",
          body: JSON.stringify({
            error: { code: "plan_changed", message: "It would come to something else." },
          }),
        })
      : route.continue(),
  );
  await give.click();
  await page.getByTestId("begin-failed").getByText("something else").waitFor();
  await page.unroute("**/api/v1/campaigns");
  await inspect(page, wrong, "campaign-new-failed-1440-light", { full: true });
  await give.click();
  await page.waitForURL("**/campaigns/8");
  await page.getByTestId("campaign-why-begun").getByText("since Monday").waitFor();
  assert.equal(campaigns.begun.length, 1);
  const [begun] = campaigns.begun;
  assert.deepEqual(begun.settings, {
    rings: [50, 1000],
    soak_s: 600,
    failures_permille: 50,
    line: { medium: "s-fsk", credit: 0, hops: 0, loss_permille: 50 },
    pace_ms: 610,
  });
  assert.deepEqual(begun.skip, ["silent"]);
  await context.close();
  fixture.close();
});

await step("what was looked at grows old", async () => {
  const { fixture, origin } = await start();
  const { context, page } = await open(origin, phone, "dark");
  await signIn(page, origin, TOKEN, "/campaigns/new");
  await page.getByTestId("new-image-pick").first().check();
  fixture.campaigns.lookedAgo = 6 * 60_000;
  await page.getByTestId("new-look").click();
  await page.getByTestId("begin-blocked").getByText("more than five minutes ago").waitFor();
  assert.ok(await page.getByTestId("begin-give").isDisabled());
  fixture.campaigns.lookedAgo = 0;
  await page.getByTestId("new-look").click();
  await page.getByTestId("begin-means").waitFor();
  assert.ok(await page.getByTestId("begin-give").isEnabled());
  await context.close();
  fixture.close();
});

await step("a list grows below its rows, which stay, as does the focus", async () => {
  const { fixture, origin } = await start();
  const { context, page } = await open(origin, wide, "light");
  const row = fixture.campaigns.row(fixture.campaigns.all[0]);
  let letGo;
  let answer = 200;
  const held = new Promise((done) => (letGo = done));
  await page.route("**/api/v1/campaigns?*", async (route) => {
    const limit = Number(new URL(route.request().url()).searchParams.get("limit"));
    if (limit > 50) await held;
    const rows = Array.from({ length: limit }, (_, i) => ({ ...row, id: 1_000 - i }));
    await route.fulfill(answer === 200 ? { json: { total: 200, offset: 0, rows } } : { status: answer });
  });
  await signIn(page, origin, TOKEN, "/campaigns");
  const rows = page.getByTestId("campaign-table").getByTestId("campaign-row");
  const more = page.getByTestId("campaign-more");
  const focused = page.locator("[data-testid=campaign-more]:focus");
  await more.focus();
  const asked = page.waitForRequest(/campaigns\?.*limit=100/);
  await page.keyboard.press("Enter");
  await asked;
  assert.equal(await rows.count(), 50, "what was there stays while more is on its way");
  await focused.waitFor();
  letGo();
  await rows.nth(99).waitFor();
  await focused.waitFor();
  // Where more cannot be had, that is said below the rows that are there.
  answer = 500;
  await page.keyboard.press("Enter");
  await page.getByTestId("campaign-stale").getByText("Could not read the campaigns").waitFor();
  assert.equal(await rows.count(), 100);
  await context.close();
  fixture.close();
});

await step("campaigns that cannot be read", async () => {
  for (const [size, theme] of [
    [wide, "dark"],
    [phone, "light"],
  ]) {
    const { fixture, origin } = await start();
    const { context, page, wrong } = await open(origin, size, theme);
    const tag = `${size.width}-${theme}`;
    await signIn(page, origin, TOKEN);
    const paths = ["", "/7", "/7/resume", "/new"].map((path) => `/campaigns${path}`);
    const modes = ["error", "forbidden"];
    await refusals(fixture, page, wrong, { origin, paths, name: `campaigns-MODE-${tag}`, modes });
    fixture.mode = "empty";
    await page.goto(`${origin}/campaigns`);
    await page.getByTestId("state-empty").waitFor();
    await inspect(page, wrong, `campaigns-empty-${tag}`);
    await page.goto(`${origin}/campaigns/new`);
    await page.getByTestId("new-image-none").waitFor();
    await inspect(page, wrong, `campaign-new-empty-${tag}`, { full: true });
    fixture.mode = "slow";
    for (const path of ["", "/7", "/new"]) {
      await page.goto(`${origin}/campaigns${path}`);
      await page.getByTestId("state-loading").first().waitFor();
      await inspect(page, wrong, `campaigns-loading${path.replaceAll("/", "-")}-${tag}`);
    }
    fixture.mode = "ok";
    // One card that cannot be read leaves the others as they are.
    await page.route("**/meters?*", (route) => route.fulfill({ status: 500, body: "" }));
    await page.goto(`${origin}/campaigns/7`);
    await page.getByTestId("campaign-meters").getByTestId("state-error").waitFor();
    await page.getByTestId("campaign-ring").first().waitFor();
    await inspect(page, wrong, `campaign-no-meters-${tag}`, { full: true });
    await context.close();
    fixture.close();
  }
});

await step("campaigns narrow and wide", async () => {
  const { fixture, origin } = await start();
  for (const width of [320, 360, 899, 900, 1100, 1280, 1920]) {
    const { context, page, wrong } = await open(origin, { width, height: 800 }, "light");
    await signIn(page, origin, TOKEN, "/campaigns");
    await seen(page, "campaign-row").first().waitFor();
    await inspect(page, wrong, `campaigns-${width}-light`, { axe: false });
    for (const id of [7, 5]) {
      await page.goto(`${origin}/campaigns/${id}`);
      await seen(page, "campaign-meter").first().waitFor();
      await page.getByTestId("campaign-group").first().waitFor();
      await inspect(page, wrong, `campaign-${id}-${width}-light`, { axe: false });
    }
    await page.goto(`${origin}/campaigns/new`);
    await page.getByTestId("new-image-pick").first().check();
    await page.getByTestId("new-who-filter").click();
    await page.getByTestId("new-medium").selectOption("prime");
    await page.getByTestId("new-look").click();
    await page.getByTestId("new-plan-figures").waitFor();
    await inspect(page, wrong, `campaign-new-${width}-light`, { axe: false });
    await context.close();
  }
  fixture.close();
});
await finish();
