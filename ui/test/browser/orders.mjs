// Orders to meters in Chromium against fixed data: looked at with axe at all widths in both themes, given, stopped
// and followed by keyboard, in all states. Evidence as in `run.mjs`: the built pages in a real browser; the answers
// are a fixture.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { Fixture, TOKEN } from "./fixture.mjs";
import { finish, inspect, open, refusals, signIn, step, THEMES, titled, WIDTHS } from "./lib.mjs";

const dist = join(fileURLToPath(new URL("../../", import.meta.url)), "dist");
const [wide, , phone] = WIDTHS;
const REASON = "Moved out on 20 November, case 88-204";

/** A head end of its own, since these pages give orders. */
async function start() {
  const fixture = new Fixture({ dist });
  return { fixture, origin: await fixture.listen(), id: fixture.rows[0].id, place: fixture.rows[0].place };
}

const given = (fixture, id) =>
  fixture.log.filter((line) => line === `POST /api/v1/meters/${id}/orders`).length;

for (const size of WIDTHS) {
  const both = THEMES.map((theme) =>
    step(`orders at ${size.width} ${theme}`, async () => {
      const { fixture, origin, id } = await start();
      const { context, page, wrong } = await open(origin, size, theme);
      const tag = `${size.width}-${theme}`;
      await signIn(page, origin, TOKEN, "/orders");
      await page.getByTestId("order-row").first().waitFor();
      assert.equal(await page.getByTestId("order-row").count(), 8);
      await inspect(page, wrong, `orders-list-${tag}`);
      for (const what of ["disconnect", "connect", "text"]) {
        await page.goto(`${origin}/meters/${id}/order?what=${what}`);
        await page.getByTestId("order-approve").waitFor();
        await inspect(page, wrong, `orders-give-${what}-${tag}`);
      }
      for (const [number, state] of [
        [8, "done"],
        [7, "unconfirmed"],
        [6, "refused"],
        [5, "unknown"],
        [2, "stopped"],
      ]) {
        await page.goto(`${origin}/orders/${number}`);
        await page.getByTestId(`order-${state}`).waitFor();
        await inspect(page, wrong, `orders-${state}-${tag}`);
      }
      await page.goto(`${origin}/meters/${id}/orders`);
      await page.getByTestId("order-row").first().waitFor();
      await inspect(page, wrong, `orders-meter-${tag}`);
      await page.goto(`${origin}/orders/99`);
      await page.getByTestId("state-empty").waitFor();
      await context.close();
      fixture.close();
    }),
  );
  await Promise.all(both);
}

await step("a meter is disconnected by keyboard: reason, place, countdown, read back", async () => {
  const { fixture, origin, id, place } = await start();
  fixture.orders.armed = 3;
  const { context, page, wrong } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN, `/meters/${id}`);
  await page.getByTestId("order-disconnect").focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/meters/${id}/order?what=disconnect`);
  await page.getByTestId("order-reason").waitFor();
  assert.equal(await page.getByTestId("order-second-person").getAttribute("data-state"), "off");
  // Without a reason and the place nothing is sent, and the field says so.
  await page.getByTestId("order-reason").fill("because");
  await page.getByTestId("order-approve").click();
  await page.getByTestId("order-reason-error").waitFor();
  assert.ok(await page.getByTestId("order-reason").evaluate((e) => e === document.activeElement));
  await page.getByTestId("order-reason").fill(REASON);
  await page.getByTestId("order-confirm").fill("yes");
  await page.getByTestId("order-approve").click();
  await page.getByTestId("order-place-error").waitFor();
  await inspect(page, wrong, "orders-give-refused-1440-light");
  assert.equal(given(fixture, id), 0);
  await page.getByTestId("order-confirm").fill(place);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/orders/9");
  await page.getByTestId("order-done").waitFor();
  assert.match(await page.getByTestId("order-readback").innerText(), /Breaker open/);
  assert.equal(given(fixture, id), 1);
  await page.getByTestId("order-to-meter").click();
  await page.waitForURL(`**/meters/${id}`);
  await page.locator("[data-testid=order-row][data-id='9'][data-state=done]").waitFor();
  await context.close();
  fixture.close();
});

await step("an armed order shows its countdown and is stopped", async () => {
  const { fixture, origin, id, place } = await start();
  const { context, page, wrong } = await open(origin, phone, "dark");
  await signIn(page, origin, TOKEN, `/meters/${id}/order?what=disconnect`);
  await page.getByTestId("order-reason").fill(REASON);
  await page.getByTestId("order-confirm").fill(place);
  await page.getByTestId("order-approve").click();
  await page.getByTestId("order-armed").waitFor();
  await titled(page, /^\d+ s · Disconnect/);
  await inspect(page, wrong, "orders-armed-400-dark");
  await page.getByTestId("order-stop").click();
  await page.getByTestId("order-stopped").waitFor();
  assert.equal(await page.getByTestId("order-stage-sent").getAttribute("data-state"), "off");
  assert.equal(await page.getByTestId("order-stop").count(), 0);
  await inspect(page, wrong, "orders-stopped-400-dark");
  await context.close();
  fixture.close();
});

await step("a concentrator is switched to its standby by keyboard", async () => {
  const { fixture, origin } = await start();
  const [one, , away] = fixture.concentrators;
  const posted = () =>
    fixture.log.filter((line) => line === `POST /api/v1/concentrators/${one.id}/switchover`).length;
  for (const [size, theme] of [
    [wide, "light"],
    [wide, "dark"],
    [phone, "light"],
    [phone, "dark"],
  ]) {
    const tag = `${size.width}-${theme}`;
    fixture.orders.armed = 120;
    one.switched = false;
    const before = posted();
    const { context, page, wrong } = await open(origin, size, theme);
    await signIn(page, origin, TOKEN, `/concentrators/${one.id}`);
    await page.getByTestId("conc-switchover").focus();
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/concentrators/${one.id}/switchover`);
    await page.getByTestId("switchover-give").waitFor();
    await inspect(page, wrong, `orders-switchover-${tag}`);
    // Without a reason and the name nothing is sent.
    await page.getByTestId("switchover-give").click();
    await page.getByTestId("switchover-reason-error").waitFor();
    await page.getByTestId("switchover-reason").fill("Work on the feeder's fuses on Monday");
    await page.getByTestId("switchover-confirm").fill("yes");
    await page.getByTestId("switchover-give").click();
    await page.getByTestId("switchover-name-error").waitFor();
    assert.equal(posted(), before);
    await page.getByTestId("switchover-confirm").fill(one.name);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/orders/*");
    await page.getByTestId("order-armed").waitFor();
    await titled(page, /^\d+ s · Switch GWD1DC/);
    await inspect(page, wrong, `orders-switchover-armed-${tag}`);
    assert.equal(posted(), before + 1);
    const order = fixture.orders.all[0];
    order.due = order.t;
    await page.getByTestId("order-done").waitFor();
    assert.match(await page.getByTestId("order-readback").innerText(), /GWD1DC0000000021 has the meters/);
    await inspect(page, wrong, `orders-switchover-done-${tag}`);
    await page.getByTestId("order-to-meter").click();
    await page.waitForURL(`**/concentrators/${one.id}`);
    await page.locator("[data-testid=conc-pair][data-state=standby]").waitFor();
    assert.equal(await page.getByTestId("conc-switchover").count(), 0);
    await page.goto(`${origin}/orders`);
    const row = page.locator(`[data-testid=order-row][data-id="${order.number}"]`);
    await row.getByText("Switch to standby").waitFor();
    // Where the other could not go on there is no such order, and the page says why.
    await page.goto(`${origin}/concentrators/${away.id}/switchover`);
    await page.getByTestId("no-decision").getByText("The other one is away").waitFor();
    await inspect(page, wrong, `orders-switchover-away-${tag}`);
    await context.close();
  }
  fixture.close();
});

await step("what was not read back is not shown as done", async () => {
  const { fixture, origin, id, place } = await start();
  fixture.orders.armed = 0;
  for (const end of ["unconfirmed", "unknown"]) {
    fixture.orders.end = end;
    const { context, page } = await open(origin, wide, "dark");
    await signIn(page, origin, TOKEN, `/meters/${id}/order?what=disconnect`);
    await page.getByTestId("order-reason").fill(REASON);
    await page.getByTestId("order-confirm").fill(place);
    await page.getByTestId("order-approve").click();
    await page.getByTestId(`order-${end}`).waitFor();
    assert.equal(await page.getByTestId("order-done").count(), 0);
    assert.notEqual(await page.getByTestId("order-stage-read").getAttribute("data-state"), "ok");
    await context.close();
  }
  fixture.close();
});

await step("a meter is read and shows a message", async () => {
  const { fixture, origin, id } = await start();
  const { context, page, wrong } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN, `/meters/${id}`);
  await page.getByTestId("order-read").click();
  await page.getByTestId("toasts").getByText("being read").waitFor();
  await page.locator("[data-testid=order-row][data-id='9'][data-state=done]").waitFor();
  await page.getByTestId("order-message").click();
  await page.getByTestId("order-blocked").waitFor();
  assert.ok(await page.getByTestId("order-approve").isDisabled());
  await page.getByTestId("order-text").fill("Work on the line,\nThursday 8:00");
  await page.getByTestId("order-reason").fill(REASON);
  await page.getByTestId("order-approve").click();
  await page.waitForURL("**/orders/10");
  await page.getByTestId("order-done").waitFor();
  assert.match(await page.getByTestId("order-readback").innerText(), /Work on the line, Thursday 8:00/);
  await inspect(page, wrong, "orders-message-1440-light");
  await context.close();
  fixture.close();
});

await step("states of orders: empty, not now, refused, busy, away, slow", async () => {
  const { fixture, origin, id } = await start();
  const { context, page, wrong } = await open(origin, wide, "light");
  await signIn(page, origin, TOKEN, "/orders");
  await page.getByTestId("order-row").first().waitFor();
  fixture.mode = "empty";
  await page.goto(`${origin}/orders`);
  await page.getByTestId("state-empty").waitFor();
  await inspect(page, wrong, "orders-empty-1440-light");
  fixture.mode = "";
  fixture.orders.why = "Order 7 to switch this meter has not ended. Nothing was sent.";
  await page.goto(`${origin}/meters/${id}/order?what=connect`);
  await page.getByTestId("no-decision").waitFor();
  await inspect(page, wrong, "orders-impossible-1440-light");
  const paths = ["/orders", "/orders/8", `/meters/${id}/order?what=text`];
  await refusals(fixture, page, wrong, { origin, paths, name: "orders-MODE" });
  await page.goto(`${origin}/meters/${id}`);
  await page.getByTestId("order-disconnect").waitFor();
  await fixture.vanish();
  await page.getByTestId("banner-connection").waitFor();
  // Without the head end there is no way to an order.
  await page.getByTestId("order-disconnect").waitFor({ state: "detached" });
  assert.ok(await page.getByTestId("order-read").isDisabled());
  await fixture.comeBack();
  await page.getByTestId("order-disconnect").waitFor();
  await context.close();
  fixture.close();
});

await finish();
