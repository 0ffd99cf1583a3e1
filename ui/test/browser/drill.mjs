// The page of drills in Chromium against fixed data: looked at with axe at all widths in both themes while a drill is
// on its way and after it, begun by keyboard, stopped, refused, and in all states. Evidence as in `run.mjs`: the built
// pages in a real browser; the answers are a fixture. `real.mjs` cuts links of `gridward sim scion`.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { Fixture, TOKEN } from "./fixture.mjs";
import { finish, inspect, open, refusals, signIn, step, THEMES, WIDTHS } from "./lib.mjs";

const dist = join(fileURLToPath(new URL("../../", import.meta.url)), "dist");
const [wide, , phone] = WIDTHS;
const REASON = "Drill of the quarter, case 88-205";
const DONE = "91 readings, 0 lost. The link was mended.";

/** A head end of its own, since drills are kept. */
async function start() {
  const fixture = new Fixture({ dist });
  const origin = await fixture.listen();
  const { id, place } = fixture.rows[10];
  return { fixture, origin, id, place, at: `/meters/${id}/paths/drill` };
}

const stateIs = (page, state) => page.locator(`[data-testid=drill-state][data-state=${state}]`).waitFor();
const seen = (page) => page.locator("[data-testid=drill-recovery] svg[role=img]:visible");
const marks = (page) =>
  page.locator("[data-testid=paths-network] svg[role=img]:visible [data-testid=paths-marked]");
/** Waits until the picture marks this link alone. */
const isMarked = async (page, link) => {
  await marks(page)
    .and(page.locator(`[data-link="${link}"]`))
    .waitFor({ state: "attached" });
  assert.equal(await marks(page).count(), 1);
};
const hasFocus = (locator) => locator.evaluate((e) => e === document.activeElement);
const live = (page) => page.locator("[data-testid=live-state][data-state=live]").waitFor();

for (const size of WIDTHS) {
  const both = THEMES.map((theme) =>
    step(`drill at ${size.width} ${theme}`, async () => {
      const { fixture, origin, id, at } = await start();
      const { context, page, wrong } = await open(origin, size, theme);
      const tag = `${size.width}-${theme}`;
      await signIn(page, origin, TOKEN, `/meters/${id}/paths`);
      await page.getByTestId("paths-drill").click();
      await page.waitForURL(`**${at}`);
      await page.getByTestId("drill-none").waitFor();
      await page.getByTestId("drill-begin").waitFor();
      await live(page);
      await marks(page).first().waitFor({ state: "attached" });
      assert.equal(await marks(page).count(), 1, "the picture marks the link");
      await inspect(page, wrong, `drill-${tag}`, { full: true });
      await page.getByTestId("drill-reason").fill(REASON);
      await page.getByTestId("drill-begin").click();
      await stateIs(page, "waiting");
      await inspect(page, wrong, `drill-waiting-${tag}`, { full: true });
      fixture.drills.go(id, "cut", 2_950);
      await stateIs(page, "cut");
      await seen(page).locator("[data-testid=drill-band]").waitFor({ state: "attached" });
      await inspect(page, wrong, `drill-cut-${tag}`, { full: true });
      fixture.drills.drills[0].loses = true;
      fixture.drills.go(id, "done", undefined, DONE);
      await stateIs(page, "done");
      await page.locator("[data-testid=drill-stretch][data-state=lost]").waitFor();
      assert.equal(await seen(page).count(), 1);
      assert.equal(await seen(page).getAttribute("data-lanes"), "3");
      await inspect(page, wrong, `drill-done-${tag}`, { full: true });
      await context.close();
      fixture.close();
    }),
  );
  await Promise.all(both);
}

await step("a drill is begun by keyboard, followed live, and an earlier one is kept", async () => {
  const { fixture, origin, id, at } = await start();
  const { context, page, wrong } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN, at);
  const begin = page.getByTestId("drill-begin");
  await begin.waitFor();
  await live(page);
  // Without a reason nothing is cut, and the field says so.
  await begin.focus();
  await page.keyboard.press("Enter");
  await page.getByTestId("drill-reason-error").waitFor();
  assert.ok(await page.getByTestId("drill-reason").evaluate((e) => e === document.activeElement));
  assert.equal(fixture.drills.posts.length, 0);
  const steps = page.getByTestId("drill-steps");
  assert.match(await steps.innerText(), /2-ff00:0:211#1 is cut for 5 s.*Nobody reports it/s);
  await page.getByTestId("drill-link").selectOption("1-ff00:0:120#1");
  await page.getByText("Without it 4 of 6 allowed paths are left.").waitFor();
  await page.getByTestId("drill-how-loud").focus();
  await page.keyboard.press("Space");
  await page.getByTestId("drill-seconds-2").focus();
  await page.keyboard.press("Enter");
  assert.match(await steps.innerText(), /1-ff00:0:120#1 is cut for 2 s.*Its routers report/s);
  await page.getByTestId("drill-reason").focus();
  await page.keyboard.type(REASON);
  await isMarked(page, "2-ff00:0:210 3>1 1-ff00:0:120");
  await page.getByText("link that would be cut").waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await stateIs(page, "waiting");
  // Where the form was stands the button to stop it, and takes the focus from it.
  await page.locator("[data-testid=drill-stop]:focus").waitFor();
  assert.deepEqual(fixture.drills.posts, [
    { link: "1-ff00:0:120#1", how: "loud", mend_after_s: 2, reason: REASON },
  ]);
  assert.equal(await begin.count(), 0, "there is one drill at a time");
  // Live: each event of the stream is looked at, without a word of the page's own.
  fixture.drills.go(id, "steady", 1_000);
  await stateIs(page, "steady");
  await page.getByTestId("drill-dots").first().waitFor({ state: "attached" });
  assert.equal(await page.getByTestId("drill-band").count(), 0);
  fixture.drills.go(id, "mended", 4_500);
  await stateIs(page, "mended");
  fixture.drills.go(id, "done", undefined, "80 readings, 0 lost. The link was mended.");
  await stateIs(page, "done");
  await page.locator("#h-recovery:focus").waitFor();
  // The link that was cut is marked, not the one that would be cut next, until another one is chosen.
  await isMarked(page, "2-ff00:0:210 3>1 1-ff00:0:120");
  await page.getByText("link of the drill").waitFor();
  await page.getByTestId("drill-link").selectOption("2-ff00:0:211#2");
  await isMarked(page, "2-ff00:0:211 2>11 2-ff00:0:210");
  await page.getByTestId("drill-link").selectOption("");
  const row = (name) => page.getByTestId(`drill-row-${name}`).innerText();
  assert.match(await row("moved"), /A to B/);
  assert.match(await row("first"), /41\.7 ms after the cut/);
  assert.match(await row("lost"), /none/);
  assert.match(await row("gap"), /128 ms/);
  assert.match(await row("link"), /1-ff00:0:120#1 – 2-ff00:0:210#3 loudly, 2 s/);
  const label = await seen(page).getAttribute("aria-label");
  assert.match(label, /from path A to path B within 41\.7 ms of the cut/);
  // The table says the same: before, the one that was repeated, the other path, and back.
  const fates = await page
    .getByTestId("drill-stretch")
    .evaluateAll((rows) => rows.map((one) => one.dataset.state));
  assert.deepEqual(fates, ["usual", "repeated", "usual", "usual", "usual"]);
  // The next one; the one before stays in the list, and in its own address.
  await begin.waitFor();
  await page.getByTestId("drill-reason").fill(REASON);
  await begin.click();
  await stateIs(page, "waiting");
  fixture.drills.go(id, "failed", 0, "No reading was answered before the cut was due. Nothing was cut.");
  await stateIs(page, "failed");
  await page.getByTestId("drill-answer").getByText("Nothing was cut").waitFor();
  await inspect(page, wrong, "drill-failed-1440-light", { full: true });
  assert.equal(await page.getByTestId("drill-past").count(), 2);
  // An earlier one is opened beside what is typed, and the focus stays at its link.
  await page.getByTestId("drill-reason").fill(REASON);
  const first = page.getByTestId("drill-past").getByRole("link", { name: "Drill 1" });
  await first.focus();
  await page.keyboard.press("Enter");
  await page.waitForURL("**/drill?number=1");
  await stateIs(page, "done");
  assert.equal(await page.getByTestId("drill-reason").inputValue(), REASON);
  assert.ok(await hasFocus(first));
  await isMarked(page, "2-ff00:0:210 3>1 1-ff00:0:120");
  await page.reload();
  await stateIs(page, "done");
  await page.goto(`${origin}${at}?number=7`);
  await page.getByText("No such drill at this meter").waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
  fixture.close();
});

await step("a drill is stopped, and one that leaves no path takes the place typed", async () => {
  const { fixture, origin, id, place, at } = await start();
  const { context, page, wrong } = await open(origin, phone, "dark");
  fixture.drills.links[1].leaves = 0;
  fixture.drills.links[2].down = true;
  await signIn(page, origin, TOKEN, at);
  const begin = page.getByTestId("drill-begin");
  await begin.waitFor();
  await live(page);
  const choose = page.getByTestId("drill-link");
  assert.ok(await choose.locator("option").nth(3).isDisabled(), "what is cut already is not cut again");
  await choose.selectOption("2-ff00:0:211#2");
  await page.getByText("No allowed path is left without it").waitFor();
  await page.getByTestId("drill-reason").fill(REASON);
  await begin.click();
  await page.getByTestId("drill-place-error").waitFor();
  assert.equal(fixture.drills.posts.length, 0);
  await inspect(page, wrong, "drill-none-left-400-dark", { full: true });
  await page.getByTestId("drill-confirm").fill(place);
  await begin.click();
  await stateIs(page, "waiting");
  assert.equal(fixture.drills.posts.at(-1).confirm, place);
  fixture.drills.go(id, "cut", 3_000);
  await stateIs(page, "cut");
  // A stop that is not taken is told as that, and can be asked for again.
  const stop = page.getByTestId("drill-stop");
  const refused = page.getByTestId("drill-stop-failed");
  fixture.drills.stopFails = [429, "too_many", "Too many requests. Try again in a minute."];
  await stop.click();
  await refused.getByText("Too many requests").waitFor();
  assert.ok(await stop.isEnabled());
  fixture.drills.stopFails = [500, "broken", ""];
  await stop.click();
  await refused.getByText("answered with an error (broken)").waitFor();
  assert.equal(await page.getByTestId("toasts").getByText("being stopped").count(), 0);
  await inspect(page, wrong, "drill-stop-refused-400-dark", { full: true });
  fixture.drills.stopFails = null;
  await stop.click();
  await page.getByTestId("toasts").getByText("It is being stopped").waitFor();
  assert.equal(await refused.count(), 0);
  assert.ok(await stop.isDisabled(), "it was asked for");
  assert.equal(fixture.drills.stops, 1);
  fixture.drills.go(id, "stopped", 3_000, "It was stopped before its end. The link was mended.");
  await stateIs(page, "stopped");
  // What the head end refuses stands at the button, and nothing is taken as begun.
  fixture.drills.reachable = false;
  await choose.selectOption("");
  await page.getByTestId("drill-reason").fill(REASON);
  await begin.click();
  await page.getByTestId("drill-failed").getByText("does not answer as one").waitFor();
  await stateIs(page, "stopped");
  await inspect(page, wrong, "drill-refused-400-dark", { full: true });
  // One that has failed before it is looked at leaves a form that can be used.
  fixture.drills.reachable = true;
  fixture.drills.failsAtOnce = true;
  for (const number of [2, 3]) {
    await page.getByTestId("drill-reason").fill(REASON);
    await begin.click();
    await page
      .locator("[data-testid=drill-past]")
      .nth(number - 1)
      .waitFor();
    await stateIs(page, "failed");
    await page.locator("[data-testid=drill-begin]:enabled").waitFor();
    assert.equal(await page.getByTestId("drill-reason").inputValue(), "");
  }
  // Who ends the session meanwhile is asked to sign in.
  fixture.drills.failsAtOnce = false;
  await page.getByTestId("drill-reason").fill(REASON);
  await begin.click();
  fixture.drills.stopFails = [401, "signed_out", "Sign in first."];
  await stop.click();
  await page.getByTestId("signin-form").waitFor();
  await context.close();
  fixture.close();
});

await step("states of drills: not configured, not over SCION, no control, error, slow, away", async () => {
  const { fixture, origin, at } = await start();
  const { context, page, wrong } = await open(origin, wide, "light");
  const other = fixture.rows[1].id;
  fixture.drills.configured = false;
  await signIn(page, origin, TOKEN, at);
  await page.getByTestId("drill-cannot").getByText("No control of a simulated network").waitFor();
  assert.equal(await page.getByTestId("drill-begin").count(), 0);
  assert.ok(!fixture.log.some((line) => line.includes("/drill/links")), "what is not there is not asked");
  await inspect(page, wrong, "drill-not-configured-1440-light");
  fixture.drills.configured = true;
  await page.goto(`${origin}/meters/${other}/paths/drill`);
  await page.getByTestId("drill-cannot").getByText("no paths to choose from").waitFor();
  await inspect(page, wrong, "drill-not-scion-1440-light");
  fixture.drills.reachable = false;
  await page.goto(origin + at);
  await page.getByText("does not answer as one").waitFor();
  await inspect(page, wrong, "drill-no-control-1440-light");
  fixture.drills.reachable = true;
  await page.getByTestId("drill-links").getByRole("button").click();
  await page.getByTestId("drill-begin").waitFor();
  // A meter that is long on its way is waited for, and not drawn as an empty card.
  const { id } = fixture.rows[10];
  let letGo;
  const held = new Promise((done) => (letGo = done));
  await page.route(`**/api/v1/meters/${id}`, async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(origin + at);
  const waits = page.locator("[data-testid=state-loading]:not([data-state=quiet])");
  await waits.getByText("Loading this meter").waitFor({ state: "attached" });
  assert.equal(await page.getByTestId("drill-begin").count(), 0);
  letGo();
  await page.getByTestId("drill-begin").waitFor();
  // Paths that cannot be read leave the rest as it is.
  fixture.fences.known = false;
  await page.goto(origin + at);
  await page.getByText("tells no paths to this meter").waitFor();
  await page.getByTestId("drill-begin").waitFor();
  await inspect(page, wrong, "drill-no-paths-1440-light");
  fixture.fences.known = true;
  await page.goto(`${origin}/meters/m_00nosuchmeter/paths/drill`);
  await page.getByTestId("state-empty").getByText("There is no such meter").waitFor();
  assert.equal(await page.getByTestId("drill-none").count(), 0);
  await refusals(fixture, page, wrong, { origin, paths: [at], name: "drill-MODE-1440-light" });
  await page.goto(origin + at);
  const begin = page.getByTestId("drill-begin");
  await begin.waitFor();
  await fixture.vanish();
  await page.getByTestId("banner-connection").waitFor();
  await page.locator("[data-testid=drill-begin]:disabled").waitFor();
  await fixture.comeBack();
  await page.getByTestId("banner-connection").waitFor({ state: "detached" });
  await page.locator("[data-testid=drill-begin]:enabled").waitFor();
  await context.close();
  fixture.close();
});

await finish();
