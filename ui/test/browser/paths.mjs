// The page of paths and fences in Chromium against fixed data: looked at with axe at all widths in both themes, a
// fence typed and made by keyboard, looked at before it is saved, and in all states. Evidence as in `run.mjs`: the
// built pages in a real browser; the answers are a fixture, which has its own small reading of fences.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { Fixture, TOKEN } from "./fixture.mjs";
import { finish, inspect, open, refusals, signIn, step, THEMES, WIDTHS } from "./lib.mjs";

const dist = join(fileURLToPath(new URL("../../", import.meta.url)), "dist");
const [wide, , phone] = WIDTHS;
const REASON = "Data may not leave the country";
const ONE = "- 2-ff00:0:211#1 - 3 - 1-ff00:0:120 +";

/** A head end of its own, since fences are saved. */
async function start() {
  const fixture = new Fixture({ dist });
  const origin = await fixture.listen();
  const { id, place } = fixture.rows[10];
  return { fixture, origin, id, place, at: `/meters/${id}/paths` };
}

const previewed = (page, state) =>
  page.locator(`[data-testid=fence-preview][data-state=${state}]`).waitFor({ state: "attached" });
const asked = (fixture) => fixture.log.filter((line) => line.includes("/fence/preview")).length;
const states = (page) =>
  page.getByTestId("path-row").evaluateAll((rows) => rows.map((row) => row.dataset.state));

for (const size of WIDTHS) {
  const both = THEMES.map((theme) =>
    step(`paths at ${size.width} ${theme}`, async () => {
      const { fixture, origin, id, at } = await start();
      const { context, page, wrong } = await open(origin, size, theme);
      const tag = `${size.width}-${theme}`;
      await signIn(page, origin, TOKEN, `/meters/${id}`);
      await page.getByTestId("meter-fence").getByText("6 of 6 paths allowed").waitFor();
      assert.match(await page.getByTestId("meter-moved").innerText(), /Last change of path\s+\S*.*07:15/s);
      await inspect(page, wrong, `paths-meter-${tag}`, { full: true });
      await page.getByTestId("meter-paths").click();
      await page.waitForURL(`**${at}`);
      await page.getByTestId("fence-second-person").getByText("off by policy").waitFor();
      await page.getByTestId("path-row").first().waitFor();
      assert.deepEqual(await states(page), ["in", "in", "on", "in", "in", "in"]);
      assert.equal(await page.getByTestId("paths-count").innerText(), "6 known, 6 inside the fence");
      await page.getByTestId("paths-moved").waitFor();
      const ases = page.getByTestId("path-as");
      assert.equal(await ases.count(), 6);
      assert.match(await ases.nth(3).innerText(), /2-ff00:0:210\s+DE-München, DE-Nürnberg/);
      assert.match(await ases.nth(4).innerText(), /2-ff00:0:211\s+tells no place/);
      await page.getByTestId("path-run").first().waitFor();
      const seen = page.locator("[data-testid=paths-network] svg[role=img]:visible");
      assert.equal(await seen.count(), 1);
      assert.equal(await seen.locator("path.lk-on").count(), 3);
      assert.equal(await seen.locator("path").count(), 8);
      await inspect(page, wrong, `paths-${tag}`, { full: true });
      for (const [fence, state] of [
        ["- 3 +", "several"],
        [ONE, "one"],
        ["-", "none"],
        ["3", "error"],
      ]) {
        await page.getByTestId("fence-text").fill(fence);
        await previewed(page, state);
        await inspect(page, wrong, `paths-${state}-${tag}`, { full: true });
      }
      await context.close();
      fixture.close();
    }),
  );
  await Promise.all(both);
}

await step("a fence is made by keyboard, looked at and saved", async () => {
  const { fixture, origin, at } = await start();
  const { context, page, wrong } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN, at);
  const save = page.getByTestId("fence-save");
  const field = page.getByTestId("fence-text");
  await field.waitFor();
  assert.ok(await save.isDisabled(), "nothing was changed");
  await page.locator("[data-testid=fence-out][data-place='3']").focus();
  await page.keyboard.press("Space");
  await previewed(page, "several");
  assert.equal(await field.inputValue(), "- 3 +");
  assert.equal(await page.getByTestId("fence-left").innerText(), "4 allowed");
  assert.deepEqual(await states(page), ["in", "in", "on", "in", "out", "out"]);
  assert.equal(fixture.fences.puts.length, 0, "a look saves nothing");
  // Without a reason nothing is saved, and the field says so.
  await save.focus();
  await page.keyboard.press("Enter");
  await page.getByTestId("fence-reason-error").waitFor();
  assert.ok(await page.getByTestId("fence-reason").evaluate((e) => e === document.activeElement));
  assert.equal(fixture.fences.puts.length, 0);
  await page.keyboard.type(REASON);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.locator("[data-testid=fence-state][data-state=saved]").waitFor();
  assert.deepEqual(fixture.fences.puts, [{ fence: "- 3 +", reason: REASON, send_nothing: false }]);
  assert.equal(await page.getByTestId("paths-count").innerText(), "6 known, 4 inside the fence");
  await page.getByTestId("fence-saved").getByText(REASON).waitFor();
  await inspect(page, wrong, "paths-saved-1440-light", { full: true });
  // It is there after a reload, and the same button takes it away again.
  await page.reload();
  await field.waitFor();
  assert.equal(await field.inputValue(), "- 3 +");
  await page.locator("[data-testid=fence-out][data-place='3'][aria-pressed=true]").click();
  await previewed(page, "several");
  assert.equal(await field.inputValue(), "+");
  await page.getByTestId("fence-discard").click();
  assert.equal(await field.inputValue(), "- 3 +");
  await page.getByTestId("fence-enrolled").click();
  await previewed(page, "several");
  await page.getByTestId("fence-reason").fill("The cable abroad is ours again");
  await save.click();
  await page.locator("[data-testid=fence-state][data-state=saved]").waitFor();
  assert.equal(fixture.fences.puts.at(-1).fence, null);
  await context.close();
  fixture.close();
});

await step("typing asks for what it ends with, and a fault stands at the field", async () => {
  const { fixture, origin, at } = await start();
  const { context, page } = await open(origin, wide, "dark");
  await signIn(page, origin, TOKEN, at);
  const field = page.getByTestId("fence-text");
  await field.fill("3 +");
  await page.getByTestId("fence-text-error").getByText("This is no fence").waitFor();
  assert.equal(await field.getAttribute("aria-invalid"), "true");
  assert.ok(await page.getByTestId("fence-save").isDisabled());
  assert.equal(asked(fixture), 1);
  // All of it within one turn of the page, so that no pause lies between.
  await field.evaluate((e) => {
    for (const text of ["-", "- ", "- 3", "- 3 ", "- 3 +"]) {
      e.value = text;
      e.dispatchEvent(new Event("input", { bubbles: true }));
    }
  });
  await previewed(page, "several");
  assert.equal(await page.getByTestId("fence-text-error").count(), 0);
  assert.equal(asked(fixture), 2);
  await context.close();
  fixture.close();
});

await step("one path is warned of, and none takes a yes, the place and a reason", async () => {
  const { fixture, origin, place, at } = await start();
  const { context, page, wrong } = await open(origin, phone, "dark");
  await signIn(page, origin, TOKEN, at);
  const field = page.getByTestId("fence-text");
  const save = page.getByTestId("fence-save");
  await field.fill(ONE);
  await previewed(page, "one");
  await page.getByTestId("fence-preview").getByText("One path is left").waitFor();
  await page.getByTestId("fence-preview").getByText("moves to another").waitFor();
  assert.ok(await save.isEnabled(), "one path is warned of, not refused");
  await field.fill("-");
  await previewed(page, "none");
  assert.ok(await save.isDisabled(), "none is refused");
  assert.equal(await page.getByTestId("fence-confirm").count(), 0);
  await page.getByTestId("fence-nothing").check();
  await page.getByTestId("fence-reason").fill("The meter was stolen, case 88-204");
  await page.getByTestId("fence-confirm").fill("somewhere");
  await save.click();
  await page.getByTestId("fence-place-error").waitFor();
  assert.equal(fixture.fences.puts.length, 0);
  await inspect(page, wrong, "paths-nothing-400-dark", { full: true });
  // Another text takes the yes back.
  await field.fill("- 3 -");
  await previewed(page, "none");
  assert.ok(!(await page.getByTestId("fence-nothing").isChecked()));
  await page.getByTestId("fence-nothing").check();
  await page.getByTestId("fence-confirm").fill(place);
  await save.click();
  await page.locator("[data-testid=fence-state][data-state=saved]").waitFor();
  assert.equal(fixture.fences.puts.length, 1);
  assert.equal(fixture.fences.puts[0].send_nothing, true);
  assert.equal(await page.getByTestId("paths-count").innerText(), "6 known, 0 inside the fence");
  await context.close();
  fixture.close();
});

await step("states of paths: not over SCION, no daemon, refused, busy, slow, away", async () => {
  const { fixture, origin, at } = await start();
  const { context, page, wrong } = await open(origin, wide, "light");
  const other = fixture.rows[1].id;
  await signIn(page, origin, TOKEN, `/meters/${other}`);
  await page.getByTestId("meter-path").waitFor();
  assert.equal(await page.getByTestId("meter-fence").count(), 0);
  assert.equal(await page.getByTestId("meter-paths").count(), 0);
  await page.goto(`${origin}/meters/${other}/paths`);
  await page.getByText("This meter is not reached over SCION").waitFor();
  assert.equal(await page.getByTestId("fence-text").count(), 0);
  await inspect(page, wrong, "paths-not-scion-1440-light");
  fixture.fences.known = false;
  await page.goto(`${origin}/meters/${fixture.rows[10].id}`);
  await page.getByTestId("meter-fence").getByText("not known").waitFor();
  await page.goto(origin + at);
  await page.getByText("tells no paths to this meter").waitFor();
  await page.getByTestId("path-run").first().waitFor();
  await inspect(page, wrong, "paths-unknown-1440-light");
  fixture.fences.known = true;
  fixture.fences.drills = false;
  await page.getByTestId("paths-again").click();
  await page.getByTestId("path-row").first().waitFor();
  assert.equal(await page.getByTestId("paths-drill").count(), 0, "what cannot be is not offered");
  fixture.fences.drills = true;
  await page.goto(`${origin}/meters/m_00nosuchmeter/paths`);
  await page.getByTestId("state-empty").waitFor();
  await refusals(fixture, page, wrong, { origin, paths: [at], name: "paths-MODE-1440-light" });
  await page.goto(origin + at);
  await page.getByTestId("path-row").first().waitFor();
  await fixture.vanish();
  await page.getByTestId("banner-connection").waitFor();
  await page.getByTestId("path-row").first().waitFor();
  await fixture.comeBack();
  await page.getByTestId("banner-connection").waitFor({ state: "detached" });
  await context.close();
  fixture.close();
});

await finish();
