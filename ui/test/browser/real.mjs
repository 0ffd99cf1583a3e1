// The pages in Chromium against the head end itself: `gridward meter` and `gridward headend` as processes on free
// ports, sign-in with the token that the first start prints. What this is evidence of: program, API and pages
// together, and registers compared with what the command line reads from the meter; the meters are our own.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fail, finish, inspect, open, signIn, step, THEMES, walk, WIDTHS } from "./lib.mjs";
import { at, freePort, program, Role, sweep, until } from "./roles.mjs";

const METERS = 40;
const DAY = 86_400_000;
const [wide, , phone] = WIDTHS;

/** What a command prints as JSON. */
function command(...args) {
  return new Promise((done, failed) => {
    const child = spawn(program, [...args, "--json", "--state", at("operator")], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    let error = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (error += chunk));
    child.once("exit", (code) => {
      if (code === 0) done(JSON.parse(output));
      else failed(new Error(`gridward ${args.join(" ")}: ${code}\n${output}${error}`));
    });
  });
}

/** Runs a command to its end. */
function finished(...args) {
  return new Promise((done, failed) => {
    const child = spawn(program, args, { stdio: "ignore" });
    child.once("exit", (code) =>
      code === 0 ? done() : failed(new Error(`gridward ${args.join(" ")}: ${code}`)),
    );
  });
}

async function startMeters(port) {
  const role = new Role([
    "meter",
    "--listen",
    `tcp://127.0.0.1:${port}`,
    "--count",
    String(METERS),
    "--keys",
    at("keys.toml"),
    "--data",
    at("meters"),
  ]);
  const enrolled = [];
  for (let i = 0; i < METERS; i += 1) enrolled.push(await role.line());
  return { role, enrolled };
}

async function startHeadEnd(data, listen, config) {
  const role = new Role(["headend", ...config, "--data", data, "--listen", listen]);
  return { role, line: await role.line() };
}

try {
  const port = await freePort();
  let { role: meters, enrolled } = await startMeters(port);
  writeFileSync(at("meters.jsonl"), enrolled.map((meter) => `${JSON.stringify(meter)}\n`).join(""));
  await finished("keys", "outlets", at("papers"), "--history", "2");
  writeFileSync(
    at("gridward.toml"),
    `[headend]
site = "Test"
enrolment = "meters.jsonl"
keys = "keys.toml"

[headend.collector]
every_s = 10
delay_s = 1
timeout_s = 10
retry_first_s = 1
retry_longest_s = 2

[headend.outlets]
listen = "sctps://127.0.0.1?udp=0"
ca = "papers/headend/ca.pem"
certificate = "papers/headend/headend.pem"
key = "papers/headend/headend.key"
meters = "papers/headend/meters.toml"
breaker_key = "papers/headend/breaker.key"
`,
  );
  const config = ["--config", at("gridward.toml")];
  let { role: headEnd, line: told } = await startHeadEnd(
    at("headend"),
    `127.0.0.1:${await freePort()}`,
    config,
  );
  const origin = told.url.replace(/\/$/, "");
  const { token } = told;
  assert.ok(token.length > 30, "the first start tells the token");
  const api = async (path) => {
    const answer = await fetch(`${origin}/api/v1${path}`, {
      headers: { authorization: `Bearer ${token}`, connection: "close" },
    });
    assert.equal(answer.status, 200, path);
    return answer.json();
  };

  const rows = await until("every meter is read", async () => {
    const list = await api(`/meters?limit=${METERS}`);
    const read = list.rows.length === METERS && list.rows.every((row) => row.last_read);
    return read && (await api("/fleet")).queue === 0 ? list.rows : null;
  });
  // Of thirty days of forty meters some were without supply: a gap with its events.
  const holed = rows.find((row) => row.state === "miss");
  assert.ok(holed, "no meter has a gap");
  const whole = rows.find((row) => row.state === "ok");
  assert.ok(whole, "no meter is without a fault");
  const access = (name) => ["--keys", at("keys.toml"), "--meter", name, "--client", "1"];
  const serverOf = (name) => String(enrolled.find((meter) => meter.logical_device_name === name).server);
  const ask = (verb, name, ...what) =>
    command(verb, `tcp://127.0.0.1:${port}`, ...what, ...access(name), "--server", serverOf(name));

  await walk(origin, token, holed.id, "real ", [wide, phone]);

  await step("another token is refused in plain words", async () => {
    const { context, page, wrong } = await open(origin, wide, "light");
    await page.goto(origin);
    await page.getByTestId("signin-token").fill(`${token.slice(0, -1)}_`);
    await page.keyboard.press("Enter");
    await page.getByText("This is not the token of this head end").waitFor();
    await inspect(page, wrong, "real wrong-token");
    await page.getByTestId("signin-token").fill(token);
    await page.keyboard.press("Enter");
    await page.getByTestId("meter-row").first().waitFor();
    assert.deepEqual(wrong, []);
    await context.close();
  });

  await step("an outlet meter delivers, and its outlet is switched from the page", async () => {
    const outlets = new Role([
      "outlet-meter",
      "--config",
      at("papers/meter-001/gridward.toml"),
      "--server",
      `sctps://127.0.0.1?udp=${told.outlets.udp_port}`,
    ]);
    await outlets.line();
    assert.deepEqual(await outlets.line(), { connected: true });
    const yesterday = new Date(Date.now() + 3_600_000 - DAY).toISOString().slice(0, 10);
    await until("a day is there", async () => {
      const usage = await api(`/outlet-meters/1/usage?outlet=1&date=${yesterday}`);
      return usage.received === 144 && usage.missing === 0;
    });
    for (const size of [wide, phone]) {
      for (const theme of THEMES) {
        const { context, page, wrong } = await open(origin, size, theme);
        await signIn(page, origin, token, `/outlet-meters/1?date=${yesterday}`);
        await page.getByTestId("outlet-row").first().waitFor();
        await page.locator("[data-testid=outlet-usage-plot] canvas").waitFor();
        await inspect(page, wrong, `real outlet-${size.width}-${theme}`, { full: true });
        await context.close();
      }
    }
    const { context, page, wrong } = await open(origin, wide, "light");
    await signIn(page, origin, token, "/fleet");
    await page.getByTestId("fleet-outlets").getByRole("link", { name: "Outlet meter 001" }).click();
    await page.locator("[data-testid=outlet-row][data-id='1']").getByTestId("outlet-switch").click();
    await page.getByTestId("order-reason").fill("The fridge is replaced today");
    await page.getByTestId("order-approve").click();
    await page.getByTestId("order-sent").waitFor();
    assert.deepEqual(await outlets.line(), { switched: 1, on: false });
    await inspect(page, wrong, "real outlet-order");
    await page.getByTestId("order-to-meter").click();
    await page.getByTestId("outlet-order").first().getByText("The fridge is replaced today").waitFor();
    await context.close();
    await outlets.stop();
  });

  await step("the table is what the head end has", async () => {
    const { context, page } = await open(origin, wide, "light");
    await signIn(page, origin, token, "/fleet?sort=meter");
    await page.getByTestId("meter-row").first().waitFor();
    assert.match(await page.getByTestId("fleet-rows").innerText(), new RegExp(`^${METERS} `));
    const list = await api(`/meters?sort=meter&limit=${METERS}`);
    const shown = await page.getByTestId("meter-row").evaluateAll((all) => all.map((row) => row.dataset.id));
    assert.deepEqual(
      shown.slice(0, 10),
      list.rows.slice(0, 10).map((row) => row.id),
    );
    await page.getByTestId("fleet-filter").fill(enrolled[6].place);
    await page.waitForFunction((place) => {
      const all = [...document.querySelectorAll("[data-testid=meter-row]")];
      return all.length > 0 && all.every((row) => row.textContent.includes(place));
    }, enrolled[6].place);
    await context.close();
  });

  await step("power moves each second", async () => {
    const { context, page, wrong } = await open(origin, wide, "dark");
    await signIn(page, origin, token, `/meters/${whole.id}`);
    await page.locator("[data-testid=meter-live-state][data-state=live]").waitFor();
    const readout = page.getByTestId("meter-live-readout");
    const seen = new Set();
    await until("four seconds were shown", async () => {
      const time = /^\d\d:\d\d:\d\d/.exec(await readout.innerText())?.[0];
      if (time) seen.add(time);
      return seen.size >= 4;
    });
    assert.match(await page.getByTestId("meter-live-value").innerText(), /^[−\d.]+\s*k?W$/);
    await page.getByTestId("meter-live-view-table").click();
    const lines = await page.getByTestId("meter-live-table").locator("tbody tr").count();
    assert.ok(lines >= 4, `${lines} seconds in the table`);
    assert.deepEqual(wrong, []);
    await context.close();
  });

  await step("registers are what the meter says", async () => {
    const codes = ["1-0:1.8.0", "1-0:2.8.0"];
    const read = async () =>
      (await ask("read", whole.name, ...codes)).map((one) => Number(one.scaled ?? one.value));
    const before = await read();
    const then = new Date().toISOString();
    await until("the head end has read after that", async () => {
      const { read_at: last } = await api(`/meters/${whole.id}/registers`);
      return last > then;
    });
    const { context, page, wrong } = await open(origin, wide, "light");
    await signIn(page, origin, token, `/meters/${whole.id}/registers`);
    await page.getByTestId("register-row").first().waitFor();
    const shown = [];
    for (const code of codes) {
      const cells = page.locator(`[data-testid=register-row][data-id="${code}"] td`);
      const text = await cells.nth(1).innerText();
      assert.match(text, /kWh$/);
      shown.push(Number(text.replace(/[^\d.]/g, "")) * 1000);
      assert.equal(await cells.nth(2).innerText(), "no earlier reading", "the first day has none");
    }
    const power = page.locator('[data-testid=register-row][data-id="1-0:1.7.0"] td');
    assert.equal(await power.nth(2).innerText(), "not a counter");
    const after = await read();
    for (const [i, value] of shown.entries()) {
      assert.ok(
        before[i] <= value + 1 && value <= after[i] + 1,
        `${codes[i]}: ${before[i]} <= ${value} <= ${after[i]}`,
      );
    }
    assert.deepEqual(wrong, []);
    await context.close();
  });

  await step("a gap is drawn, read out and listed as a gap", async () => {
    const span = (from, to) =>
      `from=${new Date(from).toISOString()}&to=${new Date(to).toISOString()}&step=15m`;
    const { gaps } = await api(`/meters/${holed.id}/profile?${span(Date.now() - 31 * DAY, Date.now())}`);
    const [gap] = gaps;
    assert.ok(gap, "a gap in the profile");
    const around = span(Date.parse(gap.from) - DAY / 3, Date.parse(gap.to) + DAY / 3);
    for (const [size, theme] of [
      [wide, "light"],
      [phone, "dark"],
    ]) {
      const { context, page, wrong } = await open(origin, size, theme);
      await signIn(page, origin, token, `/meters/${holed.id}/profile?${around}`);
      await page.locator("[data-testid=meter-profile-plot] canvas").waitFor();
      assert.match(await page.getByTestId("profile-gaps").innerText(), /\d–[\s\S]* missing, /);
      const plot = page.getByTestId("meter-profile-plot");
      await plot.focus();
      await page.keyboard.press("Home");
      const readout = page.getByTestId("meter-profile-readout");
      await until(
        "the read-out stands in the gap",
        async () => {
          if ((await readout.getAttribute("data-state")) === "gap") return true;
          await page.keyboard.press("ArrowRight");
          return false;
        },
        30,
      );
      const words = await readout.innerText();
      assert.match(words, /no data/);
      assert.match(words, new RegExp(`\\b${gap.intervals} interval`));
      await inspect(page, wrong, `real gap-${size.width}-${theme}`);
      await context.close();
    }
  });

  await step("a breaker that somebody else moves is shown, and the live view goes on", async () => {
    const { context, page, wrong } = await open(origin, wide, "light");
    await signIn(page, origin, token, `/meters/${whole.id}`);
    const live = page.locator("[data-testid=meter-live-state][data-state=live]");
    await live.waitFor();
    await page.evaluate(() => {
      globalThis.told = [];
      new MutationObserver(() => {
        const error = document.querySelector("[data-testid=meter-live-error]");
        if (error) globalThis.told.push(error.textContent);
      }).observe(document.body, { childList: true, subtree: true });
    });
    // Under the head end's own title the command moves the counter that it shares with it.
    const title = readFileSync(at("headend/system-title"), "utf8").trim();
    await ask("invoke", whole.name, "0-0:96.3.10:1", "--system-title", title);
    await page.getByText("Breaker open", { exact: true }).waitFor();
    await page.getByTestId("event-row").filter({ hasText: "Breaker opened from afar" }).first().waitFor();
    await live.waitFor();
    await until("nothing flows", async () =>
      /^0\s*W$/.test(await page.getByTestId("meter-live-value").innerText()),
    );
    await inspect(page, wrong, "real breaker-open");
    await ask("invoke", whole.name, "0-0:96.3.10:2", "--system-title", title);
    await page.getByText("Breaker closed", { exact: true }).waitFor();
    await live.waitFor();
    assert.deepEqual(await page.evaluate(() => globalThis.told), [], "no error was told for that");
    assert.deepEqual(wrong, []);
    await context.close();
  });

  await step("meters that go away are told, and come back by themselves", async () => {
    const views = [];
    for (const [size, theme] of [
      [wide, "dark"],
      [phone, "light"],
    ]) {
      const view = await open(origin, size, theme);
      await signIn(view.page, origin, token, `/meters/${whole.id}`);
      await view.page.locator("[data-testid=meter-live-state][data-state=live]").waitFor();
      views.push({ ...view, name: `real unreachable-${size.width}-${theme}` });
    }
    await meters.stop();
    for (const { page, wrong, name } of views) {
      await page.getByTestId("meter-live-error").waitFor();
      assert.match(await page.getByTestId("meter-live-error").innerText(), /No live power\. .*: check /);
      await page.locator("[data-testid=meter-live-state][data-state=offline]").waitFor();
      await inspect(page, wrong, name);
    }
    await until("it counts as silent", async () => (await api(`/meters/${whole.id}`)).state === "off");
    ({ role: meters } = await startMeters(port));
    for (const { page, context, wrong } of views) {
      await page.locator("[data-testid=meter-live-state][data-state=live]").waitFor();
      await page.getByTestId("meter-live-error").waitFor({ state: "detached" });
      assert.deepEqual(wrong, []);
      await context.close();
    }
    await until("it is read again", async () => (await api(`/meters/${whole.id}`)).state !== "off");
  });

  await step("a head end that goes away is told, and sign-in leads back to the page", async () => {
    const { context, page, wrong } = await open(origin, wide, "light");
    await signIn(page, origin, token, `/meters/${whole.id}/registers`);
    await page.getByTestId("register-row").first().waitFor();
    await page.locator("[data-testid=live-state][data-state=live]").waitFor();
    await headEnd.stop();
    await page.getByTestId("banner-connection").waitFor();
    await page.getByTestId("register-row").first().waitFor();
    await inspect(page, wrong, "real head-end-away");
    ({ role: headEnd, line: told } = await startHeadEnd(at("headend"), new URL(origin).host, config));
    assert.equal(told.token, undefined, "the token is told once");
    // Sessions end with the process: the page asks for the token and goes on where it was.
    await page.getByTestId("signin-form").waitFor();
    await page.getByTestId("signin-token").fill(token);
    await page.keyboard.press("Enter");
    await page.getByTestId("register-row").first().waitFor();
    assert.equal(new URL(page.url()).pathname, `/meters/${whole.id}/registers`);
    assert.deepEqual(wrong, []);
    await context.close();
  });
  await headEnd.stop();
  await meters.stop();

  await step("a head end without meters says how they are enrolled", async () => {
    const { role, line } = await startHeadEnd(at("empty"), "127.0.0.1:0", []);
    const url = line.url.replace(/\/$/, "");
    for (const size of [wide, phone]) {
      for (const theme of THEMES) {
        const { context, page, wrong } = await open(url, size, theme);
        await signIn(page, url, line.token);
        // The list of meters, which may be there first, says that it is empty as well.
        await page.getByTestId("state-empty").filter({ hasText: 'enrolment = "meters.csv"' }).waitFor();
        await inspect(page, wrong, `real empty-${size.width}-${theme}`);
        await context.close();
      }
    }
    await role.stop();
  });

  await step("paths, fence and drill over a simulated SCION network", async () => {
    const net = new Role(["sim", "scion", "--control", "127.0.0.1:0"]);
    const said = await net.line();
    const links = async () => (await (await fetch(said.control)).json()).links;
    const remote = new Role([
      "meter",
      ...["--listen", said.endpoint.replace(/:\d+$/, ":0"), "--scion-daemon", said.meters.daemon],
      ...["--history", "1", "--keys", at("far.toml"), "--data", at("far")],
    ]);
    const enrolled = await remote.line();
    const endpoint = `${enrolled.endpoint.split("?")[0]}?daemon=${said.head_end.daemon}`;
    writeFileSync(at("far.jsonl"), `${JSON.stringify({ ...enrolled, endpoint })}\n`);
    const control = new URL(said.control).host;
    writeFileSync(
      at("far-gridward.toml"),
      `[headend]
enrolment = "far.jsonl"
keys = "far.toml"
[headend.collector]
every_s = 10
delay_s = 1
[headend.scion]
drill_control = "${control}"
[headend.orders]
armed_s = 1
`,
    );
    const startFar = () =>
      startHeadEnd(at("far-headend"), "127.0.0.1:0", ["--config", at("far-gridward.toml")]);
    let { role, line } = await startFar();
    let url = line.url.replace(/\/$/, "");
    const { token } = line;
    const ask = async (path, body) => {
      const answer = await fetch(`${url}/api/v1${path}`, {
        method: body ? "POST" : "GET",
        headers: {
          authorization: `Bearer ${token}`,
          "content-type": "application/json",
          connection: "close",
        },
        body: body ? JSON.stringify(body) : null,
      });
      assert.equal(answer.status, body ? 202 : 200, path);
      return answer.json();
    };
    const { id, place } = (await ask("/meters")).rows[0];
    await until("its readings tell their paths", async () => (await ask(`/meters/${id}/paths`)).total > 0);

    const { context, page, wrong } = await open(url, wide, "light");
    // Seen each second, switched, and told something, as a meter that is reached over any other link.
    await signIn(page, url, token, `/meters/${id}`);
    await page.locator("[data-testid=meter-live-state][data-state=live]").waitFor();
    const times = new Set();
    await until("two seconds were shown", async () => {
      const time = /^\d\d:\d\d:\d\d/.exec(await page.getByTestId("meter-live-readout").innerText())?.[0];
      if (time) times.add(time);
      return times.size >= 2;
    });
    await page.getByTestId("meter-fence").getByText("6 of 6 paths allowed").waitFor();
    await inspect(page, wrong, "real paths-meter-1440-light", { full: true });
    const give = async (what, more) => {
      await page.goto(`${url}/meters/${id}`);
      await page.getByTestId(`order-${what}`).click();
      await page.getByTestId("order-reason").fill("Orders over SCION, case 88-206");
      await more();
      await page.getByTestId("order-approve").click();
      await page.getByTestId("order-done").waitFor();
      return page.getByTestId("order-readback").innerText();
    };
    const typed = () => page.getByTestId("order-confirm").fill(place);
    assert.match(await give("disconnect", typed), /Breaker open/);
    await inspect(page, wrong, "real paths-order-1440-light", { full: true });
    const message = "Work on the line on Thursday";
    const shown = await give("message", () => page.getByTestId("order-text").fill(message));
    assert.ok(shown.includes(message), shown);
    assert.match(await give("connect", typed), /Breaker closed/);

    await page.goto(`${url}/meters/${id}/paths`);
    await page.locator("[data-testid=path-row][data-state=on]").waitFor();
    assert.equal(await page.getByTestId("path-row").count(), 6);
    await page.getByTestId("path-run").first().waitFor();
    await inspect(page, wrong, "real paths-1440-light", { full: true });
    // A fence that keeps out of domain 3 is looked at by the policy that sends, and saved.
    await page.locator("[data-testid=fence-out][data-place='3']").click();
    await page.locator("[data-testid=fence-preview][data-state=several]").waitFor();
    assert.equal(await page.getByTestId("fence-left").innerText(), "4 allowed");
    await page.getByTestId("fence-reason").fill("Data may not leave the two domains");
    await page.getByTestId("fence-save").click();
    await page.locator("[data-testid=fence-state][data-state=saved]").waitFor();

    await page.getByTestId("paths-drill").click();
    await page.locator("[data-testid=live-state][data-state=live]").waitFor();
    await page.getByTestId("drill-begin").waitFor();
    const state = (name) => page.locator(`[data-testid=drill-state][data-state=${name}]`).waitFor();
    // A long one is looked at while its link is cut, and stopped.
    const long = "Drill with everything as processes";
    await ask(`/meters/${id}/drill`, { link: null, how: "silent", mend_after_s: 60, reason: long });
    await state("cut");
    const cut = (await links()).filter((one) => one.state === "down");
    assert.deepEqual(
      cut.map((one) => [one.how, one.mends_by_itself]),
      [["silent", true]],
    );
    await inspect(page, wrong, "real drill-cut-1440-light", { full: true });
    await page.getByTestId("drill-stop").click();
    await state("stopped");
    assert.ok((await links()).every((one) => one.state === "up"));
    const stopped = (await ask(`/meters/${id}/drill`)).shown;
    assert.deepEqual([stopped.reason, stopped.timeline.link], [long, cut[0].link]);
    // A short one goes to its end and is looked at afterwards.
    await page.getByTestId("drill-seconds-2").click();
    await page.getByTestId("drill-reason").fill("Drill that goes to its end");
    await page.getByTestId("drill-begin").click();
    await state("done");
    assert.ok((await links()).every((one) => one.state === "up"));
    const { summary, timeline } = (await ask(`/meters/${id}/drill`)).shown;
    assert.ok(summary.from !== null && summary.to !== null && summary.from !== summary.to);
    // What was sent on while the link was cut went over another one, and never through domain 3.
    const ends = [timeline.link, timeline.to].map((end) => end.split("#"));
    const over = ends.map(([as, number]) => [`${as} ${number}>`, `>${number} ${as}`]).flat();
    const hops = timeline.paths[summary.to].hops;
    assert.ok(!over.some((part) => hops.includes(part)), `${hops} crosses ${timeline.link}`);
    for (const path of timeline.paths) assert.ok(!path.hops.includes("3-ff00"), path.hops);
    console.log(
      `      ${summary.readings} readings, ${summary.lost} lost, ${summary.retried} sent again, gap ` +
        `${summary.gap_ms} ms, moved after ${summary.moved_ms} ms`,
    );
    await page.getByTestId("drill-row-moved").getByText("to").waitFor();
    await context.close();
    for (const size of [wide, phone]) {
      for (const theme of THEMES) {
        const view = await open(url, size, theme);
        await signIn(view.page, url, token, `/meters/${id}/paths/drill`);
        await view.page.getByTestId("drill-stretch").first().waitFor();
        await inspect(view.page, view.wrong, `real drill-${size.width}-${theme}`, { full: true });
        await view.context.close();
      }
    }
    // One that is killed meanwhile leaves no link cut: the network mends it, and the next start tells of it.
    const reason = "Drill with a head end that is killed";
    await ask(`/meters/${id}/drill`, { link: null, how: "loud", mend_after_s: 30, reason });
    await until("a link is cut", async () => (await links()).some((one) => one.state === "down"));
    await role.kill();
    await until("the network mends it", async () => (await links()).every((one) => one.state === "up"));
    ({ role, line } = await startFar());
    url = line.url.replace(/\/$/, "");
    const last = (await ask(`/meters/${id}/drill`)).shown;
    assert.deepEqual([last.reason, last.state], [reason, "cut_off"]);
    await role.stop();
    await remote.stop();
    await net.stop();
  });

  await step("a concentrator with its segment, its meters, and what becomes of it", async () => {
    const BEHIND = 6;
    const NAME = "GWD1DC0000000001";
    const keys = async (...args) => {
      const child = spawn(program, ["keys", ...args], { stdio: "ignore" });
      assert.equal(await new Promise((done) => child.once("exit", done)), 0, args.join(" "));
    };
    await keys("generate", "--first", "101", "--count", String(BEHIND), at("behind.toml"));
    await keys("collector", at("behind.toml"), at("collector.toml"));
    await keys("generate", "--first", "900001", at("own.toml"));
    const own = readFileSync(at("own.toml"), "utf8").replace("GWD0000000900001", NAME);
    writeFileSync(at("own.toml"), own);
    const street = new Role([
      "meter",
      ...["--listen", "tcp://127.0.0.1:0", "--count", String(BEHIND), "--history", "1"],
      ...["--keys", at("behind.toml"), "--data", at("behind")],
    ]);
    const lines = [];
    for (let i = 0; i < BEHIND; i += 1) lines.push(await street.line());
    const listen = `tcp://127.0.0.1:${await freePort()}`;
    writeFileSync(
      at("dc.toml"),
      `[concentrator]
name = "${NAME}"
data = "${at("dc")}"
keys = "${at("own.toml")}"
[concentrator.collect]
keys = "${at("collector.toml")}"
meters = ["${lines[0].logical_device_name}"]
every_s = 60
[[concentrator.metering]]
feeder = "F1"
[[concentrator.wan]]
listen = "${listen}"
[[concentrator.segment]]
medium = "s-fsk"
speed = 500
credit = 2
[[concentrator.segment.meter]]
endpoint = "${lines[0].endpoint}"
servers = "1-${BEHIND}"
`,
    );
    const start = async () => {
      const role = new Role(["concentrator", "--config", at("dc.toml")]);
      return { role, line: await role.line() };
    };
    let { role: concentrator, line: said } = await start();
    // Its own page says when all have registered, and which SAP each has.
    const saps = await until("all have registered", async () => {
      const { meters: all } = await (await fetch(new URL("status.json", said.status))).json();
      const there = all.filter((one) => one.there);
      return there.length === BEHIND ? new Map(all.map((one) => [one.logical_device_name, one.sap])) : null;
    });
    const enrolment = lines.map((one) => ({
      ...one,
      endpoint: listen,
      server: saps.get(one.logical_device_name),
    }));
    writeFileSync(at("behind.jsonl"), enrolment.map((one) => `${JSON.stringify(one)}\n`).join(""));
    writeFileSync(
      at("behind-headend.toml"),
      `[headend]
site = "Test"
enrolment = "behind.jsonl"
keys = "behind.toml"
[headend.collector]
every_s = 10
delay_s = 1
timeout_s = 10
retry_first_s = 1
retry_longest_s = 2
[[headend.concentrator]]
endpoint = "${listen}"
name = "${NAME}"
keys = "own.toml"
every_s = 2
status_s = 2
`,
    );
    const { role, line } = await startHeadEnd(at("headend-behind"), "127.0.0.1:0", [
      "--config",
      at("behind-headend.toml"),
    ]);
    const url = line.url.replace(/\/$/, "");
    const ask = async (path) => {
      const answer = await fetch(`${url}/api/v1${path}`, {
        headers: { authorization: `Bearer ${line.token}`, connection: "close" },
      });
      assert.equal(answer.status, 200, path);
      return answer.json();
    };
    const row = await until("the head end has looked at it", async () => {
      const { rows: all } = await ask("/concentrators");
      return all[0]?.there === BEHIND ? all[0] : null;
    });
    assert.deepEqual([row.name, row.media, row.collected], [NAME, ["s-fsk"], 1]);
    await until("every meter behind it is read", async () => {
      const { rows: all } = await ask("/meters");
      return all.every((one) => one.last_read && one.via === "Concentrator");
    });
    const views = [];
    for (const size of [wide, phone]) {
      for (const theme of THEMES) {
        const { context, page, wrong } = await open(url, size, theme);
        const tag = `${size.width}-${theme}`;
        const seen = (testid) => page.getByTestId(testid).locator("visible=true").first();
        await signIn(page, url, line.token, "/concentrators");
        await seen("conc-row").waitFor();
        await inspect(page, wrong, `real concentrators-${tag}`);
        await seen("conc-row").getByRole("link").click();
        await page.waitForURL(`**/concentrators/${row.id}`);
        await seen("conc-meter").waitFor();
        await page.getByTestId("conc-metering").waitFor();
        const shown = await page
          .getByTestId("conc-meter")
          .evaluateAll((all) => all.map((one) => Number(one.dataset.id)).sort((a, b) => a - b));
        assert.deepEqual(
          shown,
          [...saps.values()].sort((a, b) => a - b),
        );
        assert.match(
          await page.getByTestId("conc-stats").innerText(),
          new RegExp(`Reachable\\s*${BEHIND}\\s*of ${BEHIND}`),
        );
        if (size === wide) {
          assert.match(await page.getByTestId("conc-picture").getAttribute("aria-label"), /1 hop/);
          await page.getByTestId("conc-wan").getByText("127.0.0.1").first().waitFor();
        }
        await inspect(page, wrong, `real concentrator-${tag}`, { full: true });
        const status = await open(said.status.replace(/\/$/, ""), size, theme);
        await status.page.goto(said.status);
        await inspect(status.page, status.wrong, `real concentrator-own-page-${tag}`, { full: true });
        await status.context.close();
        views.push({ context, page, wrong, tag });
      }
    }
    await concentrator.stop();
    for (const { page, wrong, tag } of views) {
      await page
        .getByTestId("conc-wan")
        .getByText(/Silent/)
        .waitFor();
      await inspect(page, wrong, `real concentrator-silent-${tag}`);
    }
    ({ role: concentrator, line: said } = await start());
    for (const { context, page, wrong } of views) {
      await page.getByTestId("conc-wan").getByText("Connected").waitFor();
      await page.getByTestId("conc-look").click();
      await page.getByTestId("toasts").getByText("being read").waitFor();
      assert.deepEqual(wrong, []);
      await context.close();
    }
    await role.stop();
    await concentrator.stop();
    await street.stop();
  });
} catch (cause) {
  fail("between the steps", cause);
} finally {
  await sweep();
}
await finish();
