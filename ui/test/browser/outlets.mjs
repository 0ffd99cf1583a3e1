// Pages of outlet meters in Chromium against fixed data: looked at with axe at all widths in both themes, ordered
// by keyboard, in all states. Evidence as in `run.mjs`: the built pages in a real browser; the answers are a fixture.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { Fixture, TOKEN } from "./fixture.mjs";
import { finish, inspect, open, refusals, signIn, step, THEMES, WIDTHS } from "./lib.mjs";

const dist = join(fileURLToPath(new URL("../../", import.meta.url)), "dist");
const [wide, , phone] = WIDTHS;

/** A head end of its own, since these pages give orders. */
async function start() {
  const fixture = new Fixture({ dist });
  return { fixture, origin: await fixture.listen() };
}

const drawn = (page) => page.locator("[data-testid=outlet-usage-plot] canvas").waitFor();

for (const size of WIDTHS) {
  const both = THEMES.map((theme) =>
    step(`outlet meters at ${size.width} ${theme}`, async () => {
      const { fixture, origin } = await start();
      const { context, page, wrong } = await open(origin, size, theme);
      const tag = `${size.width}-${theme}`;
      await signIn(page, origin, TOKEN, "/fleet");
      await page.getByTestId("fleet-outlets").waitFor();
      await inspect(page, wrong, `outlets-fleet-${tag}`, { full: true });
      await page.getByTestId("fleet-outlets-all").click();
      await page.waitForURL("**/outlet-meters");
      await page.getByTestId("outlet-meter-row").first().waitFor();
      assert.equal(await page.getByTestId("outlet-meter-row").count(), 4);
      await inspect(page, wrong, `outlets-list-${tag}`);
      for (const id of [1, 2, 4]) {
        await page.goto(`${origin}/outlet-meters/${id}`);
        await page.getByTestId("outlet-row").first().waitFor();
        if (id !== 4) await drawn(page);
        await page.getByTestId("outlet-orders").waitFor();
        await inspect(page, wrong, `outlets-meter-${id}-${tag}`, { full: true });
      }
      await page.goto(`${origin}/outlet-meters/1?outlet=2&date=2026-11-18`);
      await drawn(page);
      await page.getByTestId("outlet-usage-view-table").click();
      await page.getByTestId("outlet-usage-table").waitFor();
      await inspect(page, wrong, `outlets-table-${tag}`);
      for (const what of ["off&outlet=1", "open"]) {
        await page.goto(`${origin}/outlet-meters/1/order?what=${what}`);
        await page.getByTestId("order-approve").waitFor();
        await inspect(page, wrong, `outlets-order-${what.split("&")[0]}-${tag}`);
      }
      await page.goto(`${origin}/outlet-meters/2/order?what=open`);
      await page.getByTestId("no-decision").waitFor();
      await inspect(page, wrong, `outlets-impossible-${tag}`);
      await page.goto(`${origin}/outlet-meters/99`);
      await page.getByTestId("state-empty").waitFor();
      await inspect(page, wrong, `outlets-unknown-${tag}`);
      await context.close();
      fixture.close();
    }),
  );
  await Promise.all(both);
}

for (const size of [wide, phone]) {
  await step(`ten thousand outlet meters scroll at ${size.width}`, async () => {
    const { fixture, origin } = await start();
    fixture.outlets.more = 9_996;
    const { context, page, wrong } = await open(origin, size, "light");
    await signIn(page, origin, TOKEN, "/outlet-meters");
    const rows = page.getByTestId("outlet-meter-row");
    await rows.first().waitFor();
    assert.ok((await rows.count()) < 120, "only what is in view is drawn");
    assert.equal(await rows.first().getAttribute("data-id"), "2");
    if (size === wide)
      assert.equal(await page.locator("table.outlet-tbl").getAttribute("aria-rowcount"), "10001");
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await page.locator("[data-testid=outlet-meter-row][data-id='10000']").waitFor();
    assert.ok((await rows.count()) < 120);
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight / 2));
    await page.locator("[data-testid=outlet-meter-row][data-id='5000']").waitFor();
    await inspect(page, wrong, `outlets-many-${size.width}-light`);
    await context.close();
    fixture.close();
  });
}

await step("an outlet is switched by keyboard, with a reason", async () => {
  const { fixture, origin } = await start();
  const { context, page, wrong } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN, "/outlet-meters/1");
  const row = page.locator("[data-testid=outlet-row][data-id='1']");
  await row.getByTestId("outlet-switch").focus();
  await page.keyboard.press("Enter");
  await page.waitForURL("**/outlet-meters/1/order?what=off&outlet=1");
  await page.getByTestId("order-reason").waitFor();
  assert.equal(await page.locator("h1").innerText(), "Turn off 001 Fridge");
  // Without a reason nothing is sent, and the field says so.
  await page.getByTestId("order-reason").fill("because");
  await page.getByTestId("order-approve").click();
  await page.getByTestId("order-reason-error").waitFor();
  assert.ok(await page.getByTestId("order-reason").evaluate((e) => e === document.activeElement));
  await inspect(page, wrong, "outlets-order-refused-1440-light");
  assert.ok(!fixture.log.some((line) => line.startsWith("POST /api/v1/outlet-meters")));
  await page.getByTestId("order-reason").fill("The fridge of flat 3 is replaced");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByTestId("order-sent").waitFor();
  await inspect(page, wrong, "outlets-order-sent-1440-light");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/outlet-meters/1");
  await row.getByText("no section since").waitFor();
  await page.getByTestId("outlet-order").first().getByText("The fridge of flat 3").waitFor();
  assert.equal(await row.getByTestId("outlet-switch").innerText(), "Turn on…");
  assert.equal(fixture.log.filter((line) => line === "POST /api/v1/outlet-meters/1/switch").length, 1);
  await context.close();
  fixture.close();
});

await step("the breaker takes a reason and the place, and so many an hour", async () => {
  const { fixture, origin } = await start();
  const { context, page, wrong } = await open(origin, phone, "dark");
  await signIn(page, origin, TOKEN, "/outlet-meters/1");
  await page.getByTestId("breaker-open").click();
  await page.getByTestId("order-reason").fill("Moved out on 20 November");
  await page.getByTestId("order-confirm").fill("Lindenweg 15");
  await page.getByTestId("order-approve").click();
  await page.getByTestId("order-place-error").waitFor();
  assert.ok(!fixture.log.some((line) => line.startsWith("POST /api/v1/outlet-meters")));
  await page.getByTestId("order-confirm").fill("Lindenweg 14, flat 3");
  await page.getByTestId("order-approve").click();
  await page.getByTestId("order-sent").waitFor();
  await inspect(page, wrong, "outlets-breaker-sent-400-dark");
  await page.goto(`${origin}/outlet-meters/1/order?what=open`);
  await page.getByTestId("order-reason").fill("Moved out on 20 November");
  await page.getByTestId("order-confirm").fill("Lindenweg 14, flat 3");
  await page.getByTestId("order-approve").click();
  await page.getByTestId("order-failed").getByText("Nothing was sent").waitFor();
  await inspect(page, wrong, "outlets-breaker-refused-400-dark");
  await context.close();
  fixture.close();
});

await step("missing sections are asked for, and a cost is told", async () => {
  const { fixture, origin } = await start();
  const { context, page, wrong } = await open(origin, wide, "dark");
  await signIn(page, origin, TOKEN, "/outlet-meters/1");
  await drawn(page);
  const ask = page.getByTestId("usage-ask");
  assert.equal(await ask.innerText(), "Ask for 4 sections");
  await page.getByTestId("outlet-usage-plot").focus();
  await page.keyboard.press("Home");
  assert.match(await page.getByTestId("outlet-usage-readout").innerText(), /00:00–00:10/);
  await ask.click();
  await page.getByTestId("toasts").getByText("Asked").waitFor();
  await ask.getByText("Ask for the day again").waitFor();
  await page.getByTestId("usage-before").click();
  await page.waitForURL("**/outlet-meters/1?date=2026-11-18");
  await page.getByTestId("cost-total").fill("twenty");
  await page.getByTestId("cost-tell").click();
  await page.getByTestId("cost-error").waitFor();
  await page.getByTestId("cost-total").fill("23");
  await page.getByTestId("cost-tell").click();
  await page.getByTestId("outlet-cost").getByText("for 1 to 19 November").waitFor();
  // Nothing half behind the top bar, which would be too small to hit.
  await page.evaluate(() => scrollTo(0, 0));
  await inspect(page, wrong, "outlets-cost-1440-dark");
  await context.close();
  fixture.close();
});

await step("states of outlet meters: refused, busy, away, slow", async () => {
  const { fixture, origin } = await start();
  const { context, page, wrong } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN, "/outlet-meters");
  await page.getByTestId("outlet-meter-row").first().waitFor();
  const paths = ["/outlet-meters", "/outlet-meters/1", "/outlet-meters/1/order?what=open"];
  await refusals(fixture, page, wrong, { origin, paths, name: "outlets-MODE" });
  await page.goto(`${origin}/outlet-meters/1`);
  await drawn(page);
  await fixture.vanish();
  await page.getByTestId("banner-connection").waitFor();
  await page.getByTestId("outlet-row").first().waitFor();
  await fixture.comeBack();
  await page.getByTestId("banner-connection").waitFor({ state: "detached" });
  await context.close();
  fixture.close();
});

await finish();
