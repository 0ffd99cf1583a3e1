// The pages in Chromium against fixed data: keyboard, states of failure, a hundred thousand rows. What this is
// evidence of: the built pages in a real browser; the data and the answers are a fixture. `real.mjs` has the real ones.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { Fixture, TOKEN } from "./fixture.mjs";
import { finish, inspect, open, refusals, shots, signIn, step, THEMES, walk, WIDTHS } from "./lib.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const dist = join(root, "dist");
assert.ok(existsSync(join(dist, "index.html")), "run the build first: npm run build");
const fixture = new Fixture({ dist });
const origin = await fixture.listen();
const meter = fixture.rows[9];
await walk(origin, TOKEN, meter.id, "");

const wide = WIDTHS[0];
const phone = WIDTHS[2];

await step("sign-in says what is wrong", async () => {
  for (const [size, theme] of [
    [wide, "light"],
    [phone, "dark"],
  ]) {
    const own = new Fixture({ dist });
    const url = await own.listen();
    const { context, page, wrong } = await open(url, size, theme);
    await page.goto(url);
    await page.getByTestId("signin-submit").click();
    assert.match(await page.getByTestId("signin-error").innerText(), /Enter the token/);
    await page.getByTestId("signin-token").fill("not the token");
    await page.keyboard.press("Enter");
    await page.getByText("This is not the token").waitFor();
    assert.equal(
      await page.getByTestId("signin-token").inputValue(),
      "not the token",
      "input is never cleared",
    );
    assert.ok(await page.getByTestId("signin-token").evaluate((e) => e === document.activeElement));
    await inspect(page, wrong, `sign-in-wrong-${size.width}-${theme}`);
    own.failures = 10;
    await page.keyboard.press("Enter");
    await page.getByText(/Too many tries/).waitFor();
    await inspect(page, wrong, `sign-in-pause-${size.width}-${theme}`);
    await context.close();
    own.close();
  }
});

await step("sign-in without a head end keeps what was typed", async () => {
  const { context, page, wrong } = await open(origin, wide, "light");
  await page.goto(`${origin}/sign-in`);
  await page.getByTestId("signin-form").waitFor();
  await page.route("**/api/v1/session", (route) => route.abort());
  await page.getByTestId("signin-token").fill(TOKEN);
  await page.keyboard.press("Enter");
  await page.getByText(/No answer from the head end/).waitFor();
  await page.unroute("**/api/v1/session");
  await page.keyboard.press("Enter");
  await page.getByTestId("fleet-stats").waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

await step("a link is followed after signing in, and only to this origin", async () => {
  const { context, page } = await open(origin, wide, "light");
  await page.goto(`${origin}/meters/${meter.id}/registers?x=1`);
  await page.getByTestId("signin-token").fill(TOKEN);
  await page.keyboard.press("Enter");
  await page.getByTestId("register-row").first().waitFor();
  assert.equal(new URL(page.url()).pathname, `/meters/${meter.id}/registers`);
  await page.getByTestId("account-open").click();
  await page.getByTestId("account-sign-out").click();
  await page.getByTestId("signin-form").waitFor();
  for (const next of ["//example.org/", "/\\example.org", "https://example.org/"]) {
    await page.goto(`${origin}/sign-in?next=${encodeURIComponent(next)}`);
    await page.getByTestId("signin-token").fill(TOKEN);
    await page.keyboard.press("Enter");
    await page.getByTestId("fleet-stats").waitFor();
    assert.equal(new URL(page.url()).origin, origin);
    assert.equal(new URL(page.url()).pathname, "/fleet");
    await page.getByTestId("account-open").click();
    await page.getByTestId("account-sign-out").click();
    await page.getByTestId("signin-form").waitFor();
  }
  await context.close();
});

await step("filters are in the address, and back restores them", async () => {
  const { context, page, wrong } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN);
  await page.getByTestId("fleet-view-late").click();
  await page.waitForURL("**/fleet?state=late");
  await page.waitForFunction(() => document.querySelectorAll("[data-testid=meter-row]").length === 2);
  await page.getByTestId("fleet-feeder").selectOption("F3");
  await page.waitForFunction(() => document.querySelectorAll("[data-testid=meter-row]").length === 1);
  await page.getByTestId("fleet-filter").fill("nowhere");
  await page.getByTestId("state-nomatch").waitFor();
  assert.match(
    await page.getByTestId("state-nomatch").innerText(),
    /late, on feeder F3 and called “nowhere”/,
  );
  await inspect(page, wrong, "fleet-nomatch-1440-light");
  const filtered = page.url();
  await page.reload();
  await page.getByTestId("state-nomatch").waitFor();
  assert.equal(page.url(), filtered);
  assert.equal(await page.getByTestId("fleet-filter").inputValue(), "nowhere");
  await page.getByTestId("fleet-clear").click();
  await page.getByTestId("meter-row").first().waitFor();
  assert.equal(new URL(page.url()).search, "");
  await page.getByTestId("fleet-sort").selectOption("power");
  await page.waitForURL("**/fleet?sort=power&dir=desc");
  await page.waitForFunction(() =>
    /86\.4/.test(document.querySelector("[data-testid=meter-row]")?.textContent ?? ""),
  );
  await page.getByTestId("meter-row").first().getByRole("link").click();
  await page.getByTestId("meter-live").waitFor();
  await page.goBack();
  await page.waitForFunction(() =>
    /86\.4/.test(document.querySelector("[data-testid=meter-row]")?.textContent ?? ""),
  );
  assert.equal(new URL(page.url()).search, "?sort=power&dir=desc");
  assert.deepEqual(wrong, []);
  await context.close();
});

await step("the keyboard reaches everything", async () => {
  const { context, page, wrong } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN);
  await page.getByTestId("meter-row").first().waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("ArrowDown");
  const active = () =>
    page.evaluate(() => {
      const id = document.activeElement?.getAttribute("aria-activedescendant");
      return id ? (document.getElementById(id)?.getAttribute("aria-rowindex") ?? null) : null;
    });
  assert.equal(await active(), "4");
  if (shots !== "") await page.screenshot({ path: join(shots, "fleet-keys-1440-light.png") });
  await page.keyboard.press("End");
  await page.waitForFunction(
    () => document.activeElement?.getAttribute("aria-activedescendant") === "row-99",
  );
  await page.locator("#row-99[data-testid=meter-row]").waitFor();
  const seen = await page.locator("#row-99").boundingBox();
  assert.ok(seen && seen.y > 0 && seen.y + seen.height <= 900, "the last row is in view");
  await page.keyboard.press("Home");
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-activedescendant") === "row-0");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.getByTestId("meter-live").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), "H1", "the heading has the focus");
  // The name comes with the meter, after the heading that has the focus.
  await page.waitForFunction((title) => document.title === title, `${fixture.rows[1].name} · Gridward`);
  await page.getByTestId("meter-identity").waitFor();
  await page.keyboard.press("]");
  await page.waitForURL(`**/${fixture.rows[2].id}`);
  await page.getByTestId("meter-identity").waitFor();
  await page.keyboard.press("[");
  await page.waitForURL(`**/${fixture.rows[1].id}`);
  await page.locator("[data-testid=meter-profile-plot] canvas").waitFor();
  await page.keyboard.press("t");
  await page.getByTestId("meter-profile-table").waitFor();
  await page.getByTestId("meter-live-table").waitFor();
  await page.keyboard.press("t");
  await page.locator("[data-testid=meter-profile-plot] canvas").waitFor();

  // In a gap the read-out says so, and never the nearest value.
  const plot = page.getByTestId("meter-profile-plot");
  await plot.focus();
  await page.keyboard.press("Home");
  const readout = page.getByTestId("meter-profile-readout");
  await page.waitForFunction(() =>
    /00:00–00:15/.test(document.querySelector("[data-testid=meter-profile-readout]")?.textContent ?? ""),
  );
  for (let i = 0; i < 4; i += 1) await page.keyboard.press("Shift+ArrowRight");
  for (let i = 0; i < 4; i += 1) await page.keyboard.press("ArrowRight");
  await page.waitForFunction(
    () => document.querySelector("[data-testid=meter-profile-readout]")?.getAttribute("data-state") === "gap",
  );
  assert.match(await readout.innerText(), /10:30–13:45[\s\S]*no data[\s\S]*13 intervals/);
  if (shots !== "") await page.screenshot({ path: join(shots, "meter-gap-cursor-1440-light.png") });
  await page.keyboard.press("+");
  await page.keyboard.press("+");
  assert.match(await readout.innerText(), /no data/, "zooming leaves the cursor where it is");
  if (shots !== "") await page.screenshot({ path: join(shots, "meter-zoomed-1440-light.png") });
  await page.keyboard.press("-");
  await page.keyboard.press("End");
  await page.waitForFunction(
    () =>
      document.querySelector("[data-testid=meter-profile-readout]")?.getAttribute("data-state") === "value",
  );

  await page.keyboard.press("g");
  await page.keyboard.press("f");
  await page.waitForURL("**/fleet");
  await page.getByTestId("meter-row").first().waitFor();
  await page.waitForFunction(() => document.activeElement?.tagName === "H1");
  await page.keyboard.press("/");
  await page.waitForFunction(() => document.activeElement?.getAttribute("data-testid") === "find-input");
  await page.keyboard.type("0000042");
  await page.getByTestId("find-hit").first().waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/${fixture.rows[41].id}`);
  await page.getByTestId("meter-identity").waitFor();
  await page.keyboard.press("?");
  await page.getByTestId("keyboard-help").waitFor();
  await page.keyboard.press("Escape");
  await page.getByTestId("keyboard-help").waitFor({ state: "detached" });

  // Every stop of the tab key is seen and has a ring.
  await page.goto(`${origin}/fleet`);
  await page.getByTestId("meter-row").first().waitFor();
  const stops = [];
  for (let i = 0; i < 40; i += 1) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const e = document.activeElement;
      if (!e || e === document.body) return null;
      const style = getComputedStyle(e);
      const chip = e.closest(".chip");
      const row = document.getElementById(e.getAttribute("aria-activedescendant") ?? "")?.firstElementChild;
      const shadow = [style, chip && getComputedStyle(chip), row && getComputedStyle(row)].some(
        (s) => s && s.boxShadow !== "none",
      );
      return {
        name: e.getAttribute("data-testid") ?? e.textContent?.slice(0, 20) ?? e.tagName,
        ring: shadow,
      };
    });
    if (stop === null) break;
    stops.push(stop);
  }
  assert.ok(stops.length > 12, `only ${stops.length} stops`);
  assert.deepEqual(
    stops.filter((stop) => !stop.ring),
    [],
    "a stop without a ring",
  );
  assert.equal(stops.filter((stop) => stop.name === "fleet-table").length, 1, "one stop for the table");
  assert.deepEqual(wrong, []);
  await context.close();
});

await step("a meter over SCION shows the paths of its readings", async () => {
  for (const size of WIDTHS) {
    for (const theme of THEMES) {
      const { context, page, wrong } = await open(origin, size, theme);
      await signIn(page, origin, TOKEN, `/meters/${fixture.rows[10].id}`);
      const card = page.getByTestId("meter-path");
      await card.getByText("2-ff00:0:211 2>11 2-ff00:0:210 3>1 1-ff00:0:120 10>2 1-ff00:0:111").waitFor();
      const text = await card.innerText();
      for (const part of ["Way there", "verified", "Way back", "not known", "Readings took it"])
        assert.ok(text.includes(part), `${part} in ${text}`);
      await inspect(page, wrong, `meter-scion-${size.width}-${theme}`);
      await context.close();
    }
  }
  const { context, page } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN, `/meters/${meter.id}`);
  await page.getByTestId("meter-path").waitFor();
  assert.ok(!(await page.getByTestId("meter-path").innerText()).includes("Way back"));
  await context.close();
});

await step("concentrators: list, one of them, its segment", async () => {
  for (const size of WIDTHS) {
    for (const theme of THEMES) {
      const { context, page, wrong } = await open(origin, size, theme);
      const tag = `${size.width}-${theme}`;
      const seen = (testid) => page.getByTestId(testid).locator("visible=true").first();
      await signIn(page, origin, TOKEN, "/concentrators");
      await seen("conc-row").waitFor();
      await inspect(page, wrong, `concentrators-${tag}`);
      for (const [name, { id }] of Object.entries({
        fsk: fixture.concentrators[0],
        ip: fixture.concentrators[1],
        silent: fixture.concentrators[2],
        new: fixture.concentrators[3],
      })) {
        await page.goto(`${origin}/concentrators/${id}`);
        await page.getByTestId("conc-identity").waitFor();
        await seen(name === "new" ? "state-empty" : "conc-meter").waitFor();
        await inspect(page, wrong, `concentrator-${name}-${tag}`);
      }
      await page.goto(`${origin}/concentrators/${fixture.concentrators[0].id}?node=260`);
      await page.locator('[data-testid=conc-meter][data-chosen="true"]').waitFor();
      // It has its SAP since so many days; of another that is not known.
      const since = page.getByTestId("conc-chosen").getByTestId("conc-sap-since");
      assert.match(await since.innerText(), /^since /);
      assert.match(await page.getByTestId("conc-chosen").innerText(), /Repeated today\s*214\s*frames/);
      await inspect(page, wrong, `concentrator-chosen-${tag}`, { full: true });
      await page.goto(`${origin}/concentrators/${fixture.concentrators[0].id}?node=258`);
      await page.locator('[data-testid=conc-meter][data-chosen="true"]').waitFor();
      assert.equal(await since.count(), 0);
      await page.goto(`${origin}/concentrators/m_00nosuch`);
      await page.getByTestId("state-empty").waitFor();
      await inspect(page, wrong, `concentrator-unknown-${tag}`);
      await context.close();
    }
  }
});

await step("concentrators by keyboard", async () => {
  const { context, page, wrong } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN);
  await page.getByTestId("meter-row").first().waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("c");
  await page.waitForURL("**/concentrators");
  await page.waitForFunction(() => document.activeElement?.tagName === "H1");
  const [first, second] = fixture.concentrators;
  await page.getByTestId("conc-table").getByRole("link", { name: first.name }).click();
  await page.waitForURL(`**/concentrators/${first.id}`);
  await page.getByTestId("conc-picture").waitFor();
  // The picture is one stop, in which arrows move; what is chosen is in the address and in the table.
  await page.getByTestId("conc-picture").focus();
  await page.keyboard.press("ArrowRight");
  await page.waitForURL(/\?node=/);
  const chosen = () => page.getByTestId("conc-picture").getAttribute("data-chosen");
  const before = await chosen();
  await page.keyboard.press("ArrowDown");
  await page.waitForFunction(
    (old) => document.querySelector("[data-testid=conc-picture]")?.dataset.chosen !== old,
    before,
  );
  await page.keyboard.press("ArrowRight");
  const sap = await chosen();
  await page.locator(`[data-testid=conc-meter][data-id="${sap}"][data-chosen="true"]`).waitFor();
  const name = first.meters.find((one) => String(one.sap) === sap).name;
  await page.getByTestId("conc-chosen").getByText(name).waitFor();
  await page.keyboard.press("j");
  await page.waitForFunction(
    (old) => document.querySelector("[data-testid=conc-picture]")?.dataset.chosen !== old,
    sap,
  );
  await page.keyboard.press("t");
  await page.getByTestId("conc-levels").waitFor();
  await page.keyboard.press("t");
  await page.getByTestId("conc-picture").waitFor();
  const looks = fixture.looks;
  await page.keyboard.press("r");
  await page.getByTestId("toasts").getByText("being read").waitFor();
  assert.equal(fixture.looks, looks + 1);
  await page.keyboard.press("]");
  await page.waitForURL(`**/concentrators/${second.id}`);
  await page.getByTestId("conc-identity").waitFor();
  await page.keyboard.press("[");
  await page.waitForURL(`**/concentrators/${first.id}`);
  // A level folds, and more of it is drawn when asked for.
  await page.getByTestId("conc-meter").first().waitFor();
  const rows = await page.getByTestId("conc-meter").count();
  await page.getByTestId("conc-tree-more").first().click();
  await page.waitForFunction((n) => document.querySelectorAll("[data-testid=conc-meter]").length > n, rows);
  await page.getByTestId("conc-tree").getByRole("button", { expanded: true }).first().click();
  await page.waitForFunction((n) => document.querySelectorAll("[data-testid=conc-meter]").length < n, rows);
  // A meter behind it leads here.
  await page.goto(`${origin}/meters/${fixture.rows[12].id}`);
  await page.getByTestId("meter-identity").getByRole("link", { name: first.name }).click();
  await page.waitForURL(`**/concentrators/${first.id}`);
  await page.goto(`${origin}/concentrators`);
  await page.getByTestId("conc-filter").fill("nobody");
  await page.getByTestId("state-nomatch").waitFor();
  assert.equal(new URL(page.url()).search, "?q=nobody");
  await inspect(page, wrong, "concentrators-nomatch-1440-light");
  await context.close();
});

await step("branches of a line with repeaters", async () => {
  const own = new Fixture({ dist });
  const url = await own.listen();
  const [first, , last] = own.concentrators;
  own.plantTree(first);
  const bySap = new Map(first.meters.map((one) => [one.sap, one]));
  const behind = (sap) => {
    const next = first.meters.filter((one) => one.behind === sap);
    return next.reduce((sum, one) => sum + 1 + behind(one.sap), 0);
  };
  // Somebody behind two others, of whom the first is behind nobody.
  const far = first.meters.find((one) => one.hops === 2);
  const near = bySap.get(far.behind);
  const short = (sap) => bySap.get(sap).name.slice(-4);
  for (const size of WIDTHS) {
    for (const theme of THEMES) {
      const { context, page, wrong } = await open(url, size, theme);
      await signIn(page, url, TOKEN, `/concentrators/${first.id}?node=${far.sap}`);
      await page.locator('[data-testid=conc-meter][data-chosen="true"]').waitFor();
      await page
        .getByTestId("conc-chosen")
        .getByText(`2, by ${short(near.behind)} and ${short(near.sap)}`)
        .waitFor();
      assert.match(
        await page.getByTestId("conc-tree").innerText(),
        /Meters by branch[\s\S]*yesterday[\s\S]*Repeater not told/,
      );
      // What is behind a branch is told at each width.
      assert.equal(await page.getByTestId("conc-below").first().isVisible(), size.width < 900);
      await inspect(page, wrong, `concentrator-branches-${size.width}-${theme}`, { full: true });
      await context.close();
    }
  }
  for (const width of [360, 380]) {
    const { context, page, wrong } = await open(url, { width, height: 800 }, "light");
    await signIn(page, url, TOKEN, `/concentrators/${first.id}?node=${far.sap}`);
    await page.locator('[data-testid=conc-meter][data-chosen="true"]').waitFor();
    await inspect(page, wrong, `concentrator-branches-${width}-light`, { axe: false, full: true });
    await context.close();
  }
  const { context, page, wrong } = await open(url, wide, "light");
  await signIn(page, url, TOKEN, `/concentrators/${first.id}`);
  await page.getByTestId("conc-line").first().waitFor({ state: "attached" });
  // Each named repeater says how many are behind it; a line leads to each that is named.
  const nodes = await page
    .getByTestId("conc-node")
    .evaluateAll((all) => all.map((one) => [Number(one.dataset.id), one.dataset.behind, one.textContent]));
  assert.equal(await page.getByTestId("conc-line").count(), nodes.length);
  assert.ok(nodes.some(([sap]) => bySap.get(sap).hops === 2));
  for (const [sap, count, text] of nodes) {
    assert.equal(Number(count), behind(sap));
    if (behind(sap) > 0) assert.ok(text.includes(`${behind(sap)} behind`), text);
  }
  assert.match(await page.getByTestId("conc-picture").getAttribute("aria-label"), /Branches: .* behind/);
  // Arrows follow a branch: to those behind, and back to whoever repeats for them.
  const chosen = () => page.getByTestId("conc-picture").getAttribute("data-chosen");
  const press = async (key) => {
    const before = await chosen();
    await page.keyboard.press(key);
    await page.waitForFunction(
      (old) => document.querySelector("[data-testid=conc-picture]")?.dataset.chosen !== old,
      before,
    );
    return bySap.get(Number(await chosen()));
  };
  await page.getByTestId("conc-picture").focus();
  const root = await press("ArrowRight");
  assert.equal(root.behind, 0);
  const child = await press("ArrowRight");
  assert.equal(child.behind, root.sap);
  const leaf = await press("ArrowRight");
  assert.equal(leaf.behind, child.sap);
  assert.equal((await press("ArrowLeft")).sap, child.sap);
  // The table holds the same at three levels, and each branch folds by key.
  const level = (n) => page.locator(`[data-testid=conc-meter][data-level="${n}"]`);
  for (const n of [1, 2, 3]) await level(n).first().waitFor();
  const fold = page.locator(`[data-testid=conc-fold][data-id="${root.sap}"]`);
  const inner = page.locator(`[data-testid=conc-fold][data-id="${child.sap}"]`);
  await inner.waitFor();
  await fold.focus();
  for (const [key, open] of [
    ["Enter", "false"],
    ["Space", "true"],
  ]) {
    await page.keyboard.press(key);
    await page.locator(`[data-testid=conc-fold][data-id="${root.sap}"][aria-expanded=${open}]`).waitFor();
    await inner.waitFor({ state: open === "true" ? "attached" : "detached" });
  }
  // A branch that was folded opens for whoever is chosen in the picture.
  await page.keyboard.press("Enter");
  await inner.waitFor({ state: "detached" });
  await page.locator(`[data-testid=conc-node][data-id="${leaf.sap}"]`).click();
  await inner.waitFor();
  const more = page.getByTestId("conc-tree-more").first();
  assert.match(await more.getAttribute("aria-label"), /^Show all \d+ next to GWD/);
  await page.keyboard.press("t");
  await page.getByTestId("conc-branches").getByText(root.name).waitFor();
  await inspect(page, wrong, "concentrator-branches-table-1440-light");
  // Where it is not told, levels stand as before.
  await page.goto(`${url}/concentrators/${last.id}`);
  await page.getByTestId("conc-meter").first().waitFor();
  assert.match(await page.getByTestId("conc-tree").innerText(), /Meters by hops/);
  assert.equal(await page.getByTestId("conc-fold").count(), 0);
  await context.close();
  own.close();
});

await step("how a pair of concentrators stands", async () => {
  const own = new Fixture({ dist });
  const url = await own.listen();
  const [first] = own.concentrators;
  for (const size of [wide, phone]) {
    for (const theme of THEMES) {
      const { context, page, wrong } = await open(url, size, theme);
      await signIn(page, url, TOKEN, `/concentrators/${first.id}`);
      for (const [state, word, button] of [
        ["ready", /Standby …0021[\s\S]*Ready[\s\S]*address table 3 s old/, 1],
        ["behind", /Catching up[\s\S]*address table 42 min old/, 1],
        ["away", /Away[\s\S]*took over/, 1],
        ["standby", /Active …0021[\s\S]*In step[\s\S]*this one stands by/, 0],
        ["none", /Standby[\s\S]*None[\s\S]*it works alone/, 0],
      ]) {
        first.pairState = state;
        await page.reload();
        await page.locator(`[data-testid=conc-pair][data-state=${state}]`).waitFor();
        assert.match(await page.getByTestId("conc-stats").innerText(), word);
        assert.equal(await page.getByTestId("conc-switchover").count(), button);
        await inspect(page, wrong, `concentrator-pair-${state}-${size.width}-${theme}`);
      }
      // An older one does not tell.
      first.pairState = null;
      await page.reload();
      await page.getByTestId("conc-identity").waitFor();
      assert.equal(await page.getByTestId("conc-pair").count(), 0);
      await context.close();
    }
  }
  own.close();
});

await step("over which way a concentrator is reached", async () => {
  for (const size of [wide, phone]) {
    for (const theme of THEMES) {
      const own = new Fixture({ dist });
      const url = await own.listen();
      const { context, page, wrong } = await open(url, size, theme);
      const tag = `${size.width}-${theme}`;
      const [first, second, third, fourth] = own.concentrators;
      const lead = page.locator(".lead").first();
      const states = () =>
        page.getByTestId("conc-own-way").evaluateAll((all) => all.map((one) => one.dataset.state));
      await signIn(page, url, TOKEN, `/concentrators/${first.id}`);
      await page.getByTestId("conc-own-way").first().waitFor();
      assert.match(await lead.innerText(), /Fibre down 4\d min[\s\S]*Runs over LTE/);
      const lines = page.getByTestId("conc-lines");
      assert.match(await lead.innerText(), /Substation Lindenweg/);
      assert.match(await lines.innerText(), /^S-FSK power line, 2400 bit\/s, feeders F2, F3$/);
      assert.deepEqual(await states(), ["down", "up", "quiet"]);
      const card = page.getByTestId("conc-wan");
      assert.match(
        await card.innerText(),
        /Fibre[\s\S]*Down 4\d min[\s\S]*LTE[\s\S]*In use 4\d min[\s\S]*for orders/,
      );
      const went = page.getByTestId("conc-went-over");
      assert.match(await went.innerText(), /From Fibre to LTE 4\d min ago, first message after 3\.20 s/);
      await inspect(page, wrong, `concentrator-wan-${tag}`, { full: true });
      // Where head ends connect, silence is all that is known of a way.
      [own.fibre, own.took] = ["quiet", null];
      await page.reload();
      await page.getByTestId("conc-own-way").first().waitFor();
      assert.match(await lead.innerText(), /Fibre quiet 4\d min[\s\S]*Runs over LTE/);
      assert.match(await went.innerText(), /length of the gap not known/);
      await inspect(page, wrong, `concentrator-wan-quiet-${tag}`);
      // All is well again; what stands behind the way in use is not missed.
      own.fibre = "up";
      await page.reload();
      await page.getByTestId("conc-own-way").first().waitFor();
      assert.match(await lead.innerText(), /Runs over Fibre/);
      assert.doesNotMatch(await lead.innerText(), /quiet|down/);
      // One way without a name says nothing above; an older one tells of none.
      await page.goto(`${url}/concentrators/${second.id}`);
      await page.getByTestId("conc-own-way").first().waitFor();
      assert.doesNotMatch(await lead.innerText(), /Runs over/);
      assert.equal(await lines.innerText(), "IP");
      await page.goto(`${url}/concentrators/${third.id}`);
      await page.getByTestId("conc-identity").waitFor();
      assert.match(await lines.innerText(), /^G3 power line, 6474 bit\/s, 4 feeders$/);
      // Of one that is silent, what it said last is not what is.
      assert.match(await card.innerText(), /Fibre[\s\S]*In use 4\d min ago[\s\S]*LTE[\s\S]*Up 4\d min ago/);
      assert.equal(await card.locator("[data-testid=conc-own-way] .st-ok").count(), 0);
      await inspect(page, wrong, `concentrator-wan-silent-${tag}`, { full: true });
      await page.goto(`${url}/concentrators/${fourth.id}`);
      await page.getByTestId("conc-identity").waitFor();
      assert.equal(await page.getByTestId("conc-own-way").count(), 0);
      await context.close();
      own.close();
    }
  }
});

await step("outages and balance of a concentrator", async () => {
  for (const size of WIDTHS) {
    for (const theme of THEMES) {
      const own = new Fixture({ dist });
      const url = await own.listen();
      const { context, page, wrong } = await open(url, size, theme);
      const tag = `${size.width}-${theme}`;
      const [first, second, , last] = own.concentrators;
      await signIn(page, url, TOKEN, `/concentrators/${first.id}`);
      const open_ = page.locator('[data-testid=conc-outage][data-state="open"]');
      await open_.waitFor();
      assert.match(await open_.innerText(), /14 of 64 meters are out[\s\S]*for 4\d min now[\s\S]*and 1 more/);
      assert.match(await page.getByTestId("conc-outages").innerText(), /14 meters out/);
      await open_.getByTestId("conc-outage-open").click();
      assert.equal(await open_.getByTestId("conc-outage-open").getAttribute("aria-expanded"), "true");
      await open_.getByText("and 54 more meters").waitFor();
      // Theft stands first, and what could not be weighed has no figure.
      const branches = page.getByTestId("conc-branch");
      await branches.first().waitFor();
      const states = await branches.evaluateAll((all) =>
        all.map((one) => [one.dataset.id, one.dataset.state]),
      );
      assert.deepEqual(states[0], ["F2 L2", "warn"]);
      assert.match(await branches.first().innerText(), /% lost/);
      assert.match(await branches.nth(2).innerText(), /17 of 24 meters told[\s\S]*no value/);
      assert.match(await page.getByTestId("conc-stats").innerText(), /Balance[\s\S]*% lost[\s\S]*F2 L2/);
      await page.getByTestId("conc-balance").scrollIntoViewIfNeeded();
      await inspect(page, wrong, `concentrator-balance-${tag}`, { full: true });
      await page.getByTestId("conc-outages-more").click();
      await page.waitForFunction(() => document.querySelectorAll("[data-testid=conc-outage]").length === 9);
      await page.getByTestId("conc-notices-more").click();
      await page.waitForFunction(() => document.querySelectorAll("[data-testid=conc-notice]").length === 23);
      // What is told comes without being asked for.
      own.outageOver = true;
      await page.getByTestId("conc-outages").getByText("none now").waitFor();
      assert.equal(await open_.count(), 0);
      await page.goto(`${url}/concentrators/${second.id}`);
      for (const card of ["conc-outages", "conc-balance", "conc-notices"])
        await page.getByTestId(card).getByTestId("state-empty").waitFor();
      await page.getByTestId("conc-balance").getByText("Nothing to weigh yet").waitFor();
      await inspect(page, wrong, `concentrator-nothing-told-${tag}`, { full: true });
      await page.goto(`${url}/concentrators/${last.id}`);
      await page.getByTestId("conc-balance").getByText("It meters no feeder itself").waitFor();
      // One card that cannot be read leaves the others as they are.
      await page.route("**/balance", (route) => route.fulfill({ status: 500, body: "" }));
      await page.goto(`${url}/concentrators/${first.id}`);
      await page.getByTestId("conc-balance").getByTestId("state-error").waitFor();
      await page.getByTestId("conc-outage").first().waitFor();
      await inspect(page, wrong, `concentrator-no-balance-${tag}`, { full: true });
      await context.close();
      own.close();
    }
  }
});

await step("concentrators that cannot be read", async () => {
  for (const [size, theme] of [
    [wide, "dark"],
    [phone, "light"],
  ]) {
    const own = new Fixture({ dist });
    const url = await own.listen();
    const { context, page, wrong } = await open(url, size, theme);
    const tag = `${size.width}-${theme}`;
    await signIn(page, url, TOKEN);
    const { id } = own.concentrators[0];
    const paths = ["/concentrators", `/concentrators/${id}`];
    const modes = ["error", "forbidden"];
    await refusals(own, page, wrong, { origin: url, paths, name: `concentrators-MODE-${tag}`, modes });
    own.mode = "empty";
    await page.goto(`${url}/concentrators`);
    await page.getByTestId("state-empty").waitFor();
    await inspect(page, wrong, `concentrators-empty-${tag}`);
    own.mode = "slow";
    await page.goto(`${url}/concentrators/${id}`);
    await page.getByTestId("state-loading").first().waitFor();
    await inspect(page, wrong, `concentrator-loading-${tag}`);
    own.mode = "ok";
    await context.close();
    own.close();
  }
});

await step("states of failure", async () => {
  // Side by side, since an interrupted connection is offline only after half a minute.
  const all = [
    [wide, "light"],
    [wide, "dark"],
    [phone, "light"],
    [phone, "dark"],
  ].map(async ([size, theme]) => {
    const own = new Fixture({ dist });
    const url = await own.listen();
    const { context, page, wrong } = await open(url, size, theme);
    const tag = `${size.width}-${theme}`;
    await signIn(page, url, TOKEN);
    await page.getByTestId("meter-row").first().waitFor();
    const modes = ["error", "busy", "forbidden"];
    await refusals(own, page, wrong, { origin: url, paths: ["/fleet"], name: `fleet-MODE-${tag}`, modes });
    own.mode = "error";
    await page.goto(`${url}/meters/${meter.id}`);
    await page.getByTestId("state-error").first().waitFor();
    await inspect(page, wrong, `meter-error-${tag}`);
    own.mode = "empty";
    await page.goto(`${url}/fleet`);
    await page.getByTestId("state-empty").waitFor();
    await inspect(page, wrong, `fleet-empty-${tag}`);
    own.mode = "slow";
    await page.goto(`${url}/fleet`);
    await page.waitForTimeout(700);
    await inspect(page, wrong, `fleet-loading-${tag}`);
    await page.goto(`${url}/meters/${meter.id}/registers`);
    await page.waitForTimeout(3600);
    await page.getByText(/Waiting for the registers/).waitFor();
    await inspect(page, wrong, `registers-waiting-${tag}`);
    own.mode = "ok";

    // New, open breaker, silent: nothing is blank and nothing is a silent zero.
    await page.goto(`${url}/meters/${own.rows[6].id}`);
    await page.getByTestId("meter-identity").waitFor();
    await page.getByTestId("meter-live-error").waitFor();
    await page.getByTestId("meter-profile").getByTestId("state-empty").waitFor();
    assert.match(await page.getByTestId("meter-live-value").innerText(), /no reading/);
    await inspect(page, wrong, `meter-new-${tag}`);
    await page.goto(`${url}/meters/${own.rows[3].id}`);
    await page.locator("[data-testid=meter-live-state][data-state=live]").waitFor();
    await inspect(page, wrong, `meter-open-${tag}`);
    await page.goto(`${url}/meters/${own.rows[10].id}`);
    await page.locator("[data-testid=meter-live-state][data-state=live]").waitFor();
    await page.locator("[data-testid=meter-profile-plot] canvas").waitFor();
    await inspect(page, wrong, `meter-solar-${tag}`);

    // The live values stop while the stream goes on.
    own.power = false;
    await page.locator("[data-testid=meter-live-state][data-state=stale]").waitFor({ timeout: 60_000 });
    await inspect(page, wrong, `meter-stale-${tag}`);
    own.power = true;
    await page.locator("[data-testid=meter-live-state][data-state=live]").waitFor({ timeout: 60_000 });

    // The head end goes away and comes back.
    const ids = own.lastEventIds.length;
    await own.vanish();
    await page.getByTestId("banner-connection").waitFor();
    await page.locator("[data-testid=live-state][data-state=stale]").waitFor();
    await inspect(page, wrong, `meter-lost-${tag}`);
    await page.locator("[data-testid=live-state][data-state=offline]").waitFor({ timeout: 120_000 });
    await inspect(page, wrong, `meter-offline-${tag}`);
    await own.comeBack();
    // The page may try by itself at this very moment: then the button goes before it is pressed. Where a try came
    // too early, the next one comes within half a minute and its jitter.
    const again = page.locator("[data-testid=live-state][data-state=live]").waitFor({ timeout: 120_000 });
    const pressed = page.getByTestId("live-try-now").click();
    await Promise.race([again, pressed.catch(() => again)]);
    await again;
    await page.getByTestId("banner-connection").waitFor({ state: "detached" });
    assert.match(own.lastEventIds.slice(ids).at(-1) ?? "", /^\d+$/, "the stream is resumed by its last id");
    await page.locator("[data-testid=meter-live-state][data-state=live]").waitFor();

    // The session ends elsewhere.
    own.sessions.clear();
    await page.goto(`${url}/fleet`);
    await page.getByTestId("signin-form").waitFor();
    await context.close();
    own.close();
  });
  await Promise.all(all);
});

await step("a start without a head end", async () => {
  const own = new Fixture({ dist });
  const url = await own.listen();
  const { context, page, wrong } = await open(url, wide, "light");
  await page.route("**/api/v1/**", (route) => route.abort());
  await page.goto(url);
  await page.getByTestId("state-offline").waitFor();
  const headings = await page.locator("h1").count();
  assert.equal(headings, 0);
  assert.deepEqual(wrong, []);
  await page.unroute("**/api/v1/**");
  await page.getByText("Try now").click();
  await page.getByTestId("signin-form").waitFor();
  await context.close();
  own.close();
});

await step("downloads", async () => {
  const { context, page, wrong } = await open(origin, wide, "dark");
  await signIn(page, origin, TOKEN, `/meters/${meter.id}/profile`);
  await page.locator("[data-testid=meter-profile-plot] canvas").waitFor();
  await page.getByTestId("meter-profile-download").click();
  await inspect(page, wrong, "profile-download-1440-dark");
  const [picture] = await Promise.all([
    page.waitForEvent("download"),
    page.getByText("PNG, as drawn").click(),
  ]);
  const path = await picture.path();
  const bytes = readFileSync(path);
  assert.equal(bytes.subarray(1, 4).toString(), "PNG");
  assert.ok(bytes.readUInt32BE(16) > 2000, "a picture is drawn twice as fine");
  if (shots !== "") await picture.saveAs(join(shots, "download-profile.png"));
  await page.getByTestId("toasts").getByText("Saved").waitFor();
  await page.getByTestId("meter-profile-download").click();
  const [table] = await Promise.all([
    page.waitForEvent("download"),
    page.getByText("CSV, all points").click(),
  ]);
  assert.match(readFileSync(await table.path(), "utf8"), /^2026-11-1/);
  await page.goto(`${origin}/fleet`);
  const [list] = await Promise.all([page.waitForEvent("download"), page.getByTestId("fleet-export").click()]);
  assert.equal(
    readFileSync(await list.path(), "utf8")
      .trim()
      .split("\r\n").length,
    101,
  );
  assert.deepEqual(wrong, []);
  await context.close();
});

await step("the theme can be chosen and is kept", async () => {
  const { context, page } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(await ground(), "rgb(246, 247, 249)");
  await page.locator("[data-testid=fleet-success-plot] canvas").waitFor();
  await page.getByTestId("theme-toggle").click();
  assert.equal(await ground(), "rgb(13, 16, 21)");
  await page.reload();
  assert.equal(await ground(), "rgb(13, 16, 21)");
  await context.close();
});

await step("a hundred thousand meters", async () => {
  const own = new Fixture({ dist, meters: 100_412 });
  const url = await own.listen();
  const { context, page, wrong } = await open(url, wide, "light");
  await signIn(page, url, TOKEN);
  await page.getByTestId("meter-row").first().waitFor();
  const nodes = await page.evaluate(() => document.querySelectorAll("tbody *").length);
  assert.ok(nodes < 1500, `${nodes} nodes`);
  await page.evaluate(() => scrollTo(0, 1_700_000));
  await page.waitForFunction(() => document.querySelectorAll("tbody [data-testid=meter-row]").length > 20);
  await inspect(page, wrong, "fleet-deep-1440-light");
  const first = await page.evaluate(() => {
    const row = [...document.querySelectorAll("tbody tr")].find((r) => r.getBoundingClientRect().top >= 80);
    return {
      index: Number(row?.getAttribute("aria-rowindex")),
      top: row?.getBoundingClientRect().top ?? 0,
    };
  });
  assert.ok(first.index > 49_000 && first.top < 130, JSON.stringify(first));
  const head = await page.evaluate(
    () => document.querySelector("table:has([data-testid=meter-row]) thead th")?.getBoundingClientRect().top,
  );
  assert.equal(Math.round(head ?? 0), 48, "the head of the table stays under the top bar");
  // Frames while scrolling: the share of slow ones is told, and only a standstill fails.
  const frames = await page.evaluate(async () => {
    const times = [];
    let last = performance.now();
    for (let i = 0; i < 120; i += 1) {
      scrollBy(0, 170);
      await new Promise((done) => requestAnimationFrame(done));
      const now = performance.now();
      times.push(now - last);
      last = now;
    }
    times.sort((a, b) => a - b);
    return { p50: times[60], p95: times[114], nodes: document.querySelectorAll("tbody *").length };
  });
  console.log(
    `      scrolling 100,412 rows: p50 ${frames.p50.toFixed(1)} ms, p95 ${frames.p95.toFixed(1)} ms a frame, ${frames.nodes} nodes`,
  );
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  await page.waitForFunction(() => document.querySelector("#row-100411") !== null);
  assert.deepEqual(wrong, []);
  await context.close();
  own.close();
});

await step("the sheet of states", async () => {
  const sheet = join(root, "dist-test");
  assert.ok(existsSync(join(sheet, "index.html")), "build it first: npm run build:states");
  const own = new Fixture({ dist: sheet });
  const url = await own.listen();
  for (const size of WIDTHS) {
    for (const theme of THEMES) {
      const { context, page, wrong } = await open(url, size, theme);
      await signIn(page, url, TOKEN, "/states");
      await page.getByTestId("state-nomatch").waitFor();
      await page.getByTestId("states-toast").click();
      await page.getByTestId("toasts").getByText("Saved").waitFor();
      await inspect(page, wrong, `states-${size.width}-${theme}`, { full: true });
      await context.close();
    }
  }
  own.close();
});

await step("narrow and wide", async () => {
  for (const width of [320, 360, 899, 900, 1100, 1280, 1920]) {
    const { context, page, wrong } = await open(origin, { width, height: 800 }, "light");
    await signIn(page, origin, TOKEN);
    await page.getByTestId("meter-row").first().waitFor();
    await inspect(page, wrong, `fleet-${width}-light`, { axe: false });
    for (const path of ["", `/${fixture.concentrators[0].id}?node=260`]) {
      await page.goto(`${origin}/concentrators${path}`);
      await page
        .locator("[data-testid=conc-row], [data-testid=conc-meter]")
        .locator("visible=true")
        .first()
        .waitFor();
      await inspect(page, wrong, `concentrators${path === "" ? "" : "-one"}-${width}-light`, { axe: false });
    }
    for (const tab of ["", "/profile", "/registers", "/events"]) {
      await page.goto(`${origin}/meters/${meter.id}${tab}`);
      await page
        .locator(
          "[data-testid=meter-profile-plot] canvas, [data-testid=register-row], [data-testid=event-row]",
        )
        .first()
        .waitFor();
      await inspect(page, wrong, `meter${tab.replace("/", "-")}-${width}-light`, { axe: false });
    }
    await context.close();
  }
});

await step("forced colours and larger text", async () => {
  const { context, page, wrong } = await open(origin, wide, "light", { forcedColors: "active" });
  await signIn(page, origin, TOKEN);
  await page.getByTestId("meter-row").first().waitFor();
  await inspect(page, wrong, "fleet-forced-1440", { axe: false });
  await context.close();
});
fixture.close();
await finish();
