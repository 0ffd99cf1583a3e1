// The page of the home gateway in Chromium against the gateway itself: `gridward homegate` as a process that reads P1
// telegrams from a socket, over HTTPS with the certificate and the password of its first start. What this is evidence
// of: program, API and page together, and values compared with what the telegrams said; the telegrams are our own.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";
import { fail, finish, inspect, LONG, open, step, THEMES } from "./lib.mjs";
import { at, freePort, Role, sweep, until } from "./roles.mjs";

const SIZES = [
  { width: 1440, height: 900 },
  { width: 1280, height: 800 },
  { width: 800, height: 1280 },
  { width: 400, height: 860 },
];
const [wide, , tablet, phone] = SIZES;
const ZONE = "Europe/Amsterdam";

/** CRC-16 of a telegram (DSMR P1 5.0.2, 5.2): reflected, polynomial A001, from zero. */
function crc(text) {
  let sum = 0;
  for (const octet of Buffer.from(text, "latin1")) {
    sum ^= octet;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >> 1) ^ 0xa001 : sum >> 1;
  }
  return sum.toString(16).toUpperCase().padStart(4, "0");
}

/** A serial server with a P1 port behind it, that tells once a second. */
class Port {
  constructor() {
    this.sockets = new Set();
    this.power = { used: 486, given: 0 };
    this.registers = { used: [4713.123, 4800.456], given: [100.001, 20.376] };
    this.talks = true;
    this.server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.sockets.delete(socket));
    });
    this.timer = setInterval(() => {
      if (this.talks) for (const socket of this.sockets) socket.write(this.telegram());
    }, 1000);
  }

  telegram() {
    const parts = new Intl.DateTimeFormat("en-GB", {
      timeZone: ZONE,
      hourCycle: "h23",
      year: "2-digit",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      timeZoneName: "longOffset",
    }).formatToParts(Date.now());
    const part = (type) => parts.find((one) => one.type === type)?.value ?? "";
    const time =
      ["year", "month", "day", "hour", "minute", "second"].map(part).join("") +
      (part("timeZoneName").endsWith("02:00") ? "S" : "W");
    const energy = (kwh) => `${kwh.toFixed(3).padStart(10, "0")}*kWh`;
    const power = (w) => `${(w / 1000).toFixed(3).padStart(6, "0")}*kW`;
    const text = [
      "/GWD5\\2M550T-1012",
      "",
      "1-3:0.2.8(50)",
      `0-0:1.0.0(${time})`,
      "0-0:96.1.1(4B384547303034303436333935353037)",
      `1-0:1.8.1(${energy(this.registers.used[0])})`,
      `1-0:1.8.2(${energy(this.registers.used[1])})`,
      `1-0:2.8.1(${energy(this.registers.given[0])})`,
      `1-0:2.8.2(${energy(this.registers.given[1])})`,
      "0-0:96.14.0(0002)",
      `1-0:1.7.0(${power(this.power.used)})`,
      `1-0:2.7.0(${power(this.power.given)})`,
      "!",
    ].join("\r\n");
    return `${text}${crc(text)}\r\n`;
  }

  async plugIn(port) {
    await new Promise((done, failed) => {
      this.server.once("error", failed);
      this.server.listen(port, "127.0.0.1", done);
    });
  }

  async plugOut() {
    const closed = new Promise((done) => this.server.close(done));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  end() {
    clearInterval(this.timer);
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

async function start(config, data, listen) {
  writeFileSync(at(`${data}.toml`), config);
  const role = new Role(["homegate", "--config", at(`${data}.toml`), "--data", at(data), "--listen", listen]);
  const line = await role.line();
  return { role, line, origin: line.url.replace(/\/$/, "") };
}

/**
 * Writes hours of history as a gateway keeps it, a row a minute: 100 Wh in the first hour, 200 in the second and so
 * on, up to where the meter stands, and no reading between the minutes 20 and 40 of the last but one.
 */
function past(data, hours) {
  const program = `
import sqlite3, sys, time
file, hours = sys.argv[1], int(sys.argv[2])
now = int(time.time()) // 3600 * 3600
top = 9513579_000
total = sum(100_000 * (hour + 1) for hour in range(hours))
store = sqlite3.connect(file)
stood = top - total - 50_000
for hour in range(hours):
    for minute in range(60):
        stood += 100_000 * (hour + 1) // 60
        start = now - 3600 * (hours - hour) + 60 * minute
        if hour == hours - 2 and 20 <= minute < 40:
            continue
        store.execute("INSERT OR REPLACE INTO minute VALUES(?,60,60,?,100,500,?,120377000,59000,?)",
                      (start, 60 * 300, stood, (start + 59) * 1000))
hole = now - 3600 * 2 + 20 * 60
store.execute("INSERT INTO gap VALUES(?,?)", ((hole - 1) * 1000, (hole + 20 * 60) * 1000))
store.commit()
`;
  execFileSync("python3", ["-c", program, `${data}/history.sqlite`, String(hours)]);
}

/** A browser with authorities of its own, in a folder of its own. */
async function trusting(name, authority) {
  const folder = at(name);
  const store = `${folder}/.pki/nssdb`;
  mkdirSync(store, { recursive: true });
  execFileSync("certutil", ["-d", `sql:${store}`, "-N", "--empty-password"]);
  if (authority !== null)
    execFileSync("certutil", ["-d", `sql:${store}`, "-A", "-t", "C,,", "-n", "gridward", "-i", authority]);
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    env: { ...process.env, HOME: folder },
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-quic"],
  });
}

const port = await freePort();
const meter = new Port();
try {
  await meter.plugIn(port);
  const config = `[homegate]
name = "Lindenweg 14"
zone = "${ZONE}"
source = "p1+tcp://127.0.0.1:${port}"
current_age_max_s = 10

[homegate.tariff]
currency = "EUR"
fixed_per_month = 6.0
[[homegate.tariff.band]]
name = "Day"
per_kwh = 0.3
`;
  const listen = `127.0.0.1:${await freePort()}`;
  let { role: gateway, line: told, origin } = await start(config, "home", listen);
  const { user, password } = told;
  assert.ok(password.length >= 12, "the first start tells the password");
  const view = (size, theme) => open(origin, size, theme, { ignoreHTTPSErrors: true });
  const signIn = async (page, to = origin) => {
    await page.goto(to);
    await page.getByTestId("signin-user").fill(user);
    await page.getByTestId("signin-password").fill(password);
    await page.keyboard.press("Enter");
    await page.getByTestId("home-now").waitFor();
  };
  const live = (page) => page.locator("[data-testid=home-live][data-state=live]").waitFor();
  const reads = (page, id, pattern) =>
    until(`${id} reads ${pattern}`, async () => pattern.test(await page.getByTestId(id).innerText()));

  for (const size of SIZES) {
    for (const theme of THEMES) {
      await step(`real home at ${size.width} ${theme}`, async () => {
        const { context, page, wrong } = await view(size, theme);
        await page.goto(origin);
        await page.getByTestId("signin-form").waitFor();
        await inspect(page, wrong, `real-home-sign-in-${size.width}-${theme}`);
        await signIn(page);
        await live(page);
        await reads(page, "home-power", /^486\s*W$/);
        await reads(page, "home-say", /About 15 cents an hour/);
        await reads(page, "home-price", /Day price/);
        await reads(page, "home-link", /from the grid\s*9513\.579\s*kWh/);
        await reads(page, "home-link", /to the grid\s*120\.377\s*kWh/);
        await page.locator("[data-testid=home-live-plot] canvas").waitFor();
        await page.getByText("Lindenweg 14").waitFor();
        await inspect(page, wrong, `real-home-${size.width}-${theme}`, { full: true });
        await context.close();
      });
    }
  }

  await step("the wrong password is refused in plain words", async () => {
    const { context, page, wrong } = await view(phone, "light");
    await page.goto(origin);
    await page.getByTestId("signin-password").fill(`${password}_`);
    await page.keyboard.press("Enter");
    await page.getByText("not the one of this box").waitFor();
    await inspect(page, wrong, "real-home-wrong-password");
    await context.close();
  });

  await step("power follows the telegrams, also to the grid", async () => {
    const { context, page, wrong } = await view(wide, "dark");
    await signIn(page);
    await live(page);
    meter.power = { used: 0, given: 1512 };
    await reads(page, "home-power", /^\u22121\.51\s*kW$/);
    await reads(page, "home-say", /give this to the grid/);
    await inspect(page, wrong, "real-home-giving");
    meter.power = { used: 2345, given: 0 };
    await reads(page, "home-power", /^2\.35\s*kW$/);
    await page.getByTestId("home-live-view").click();
    const rows = page.getByTestId("home-live-table");
    await until("the table has all three", async () => {
      const text = await rows.innerText();
      return /\u22121512\s*W/.test(text) && /2345\s*W/.test(text);
    });
    meter.power = { used: 486, given: 0 };
    await reads(page, "home-power", /^486\s*W$/);
    assert.deepEqual(wrong, []);
    await context.close();
  });

  await step("history can be taken along", async () => {
    const { context, page } = await view(wide, "light");
    await signIn(page);
    for (const [id, pattern] of [
      ["home-csv", /^\S+,[^\n]*\n/],
      ["home-greenbutton", /<feed[\s>]/],
    ]) {
      const [download] = await Promise.all([page.waitForEvent("download"), page.getByTestId(id).click()]);
      assert.match(await readFile(await download.path(), "utf8"), pattern);
    }
    await context.close();
  });

  await step("a meter that falls silent, a lost link, and their return", async () => {
    const views = [];
    for (const [size, theme] of [
      [tablet, "light"],
      [phone, "dark"],
    ]) {
      const one = await view(size, theme);
      await signIn(one.page);
      await live(one.page);
      views.push({ ...one, tag: `${size.width}-${theme}` });
    }
    meter.talks = false;
    for (const { page, wrong, tag } of views) {
      await page.getByTestId("banner-meter").waitFor();
      await page.locator("[data-testid=home-meter-state][data-state=silent]").waitFor();
      assert.equal(await page.locator("h1").innerText(), "Last known power");
      await inspect(page, wrong, `real-home-silent-${tag}`, { full: true });
    }
    meter.talks = true;
    for (const { page } of views) await live(page);
    await meter.plugOut();
    for (const { page, wrong, tag } of views) {
      await page.getByTestId("banner-link").waitFor();
      await page.locator("[data-testid=home-link-state][data-state=closed]").waitFor();
      assert.equal(await page.locator("h1").innerText(), "Last known power");
      await inspect(page, wrong, `real-home-link-lost-${tag}`, { full: true });
    }
    await meter.plugIn(port);
    for (const { page, context, wrong } of views) {
      await live(page);
      assert.equal(await page.locator("h1").innerText(), "Power now");
      assert.deepEqual(wrong, []);
      await context.close();
    }
  });

  await step("a gateway that goes away and comes back", async () => {
    const { context, page, wrong } = await view(wide, "light");
    await signIn(page);
    await live(page);
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
    await gateway.stop();
    await page.getByTestId("banner-connection").waitFor();
    assert.equal(await page.locator("h1").innerText(), "Last known power");
    await inspect(page, wrong, "real-home-away", { full: true });
    await page.reload();
    await page.getByTestId("banner-connection").waitFor();
    assert.equal(await page.locator("h1").innerText(), "Last known power");
    await reads(page, "home-power", /^486\s*W$/);
    await inspect(page, wrong, "real-home-offline", { full: true });
    ({ role: gateway, line: told } = await start(config, "home", listen));
    assert.equal(told.password ?? null, null, "the password is told once");
    // The page goes on by itself, or asks for the password where sessions ended with the process.
    const form = page.getByTestId("signin-form");
    await form.or(page.locator("[data-testid=home-live][data-state=live]")).first().waitFor();
    if (await form.count()) await signIn(page);
    await live(page);
    await reads(page, "home-power", /^486\s*W$/);
    assert.deepEqual(wrong, []);
    await context.close();
  });
  await gateway.stop();

  await step("Green Button over the whole history", async () => {
    past(at("home"), 5);
    ({ role: gateway, line: told } = await start(config, "home", listen));
    const { context, page, wrong } = await view(wide, "light");
    await signIn(page);
    await live(page);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByTestId("home-greenbutton").click(),
    ]);
    const feed = await readFile(await download.path(), "utf8");
    assert.match(download.url(), /published-min=.*published-max=/);
    const values = [...feed.matchAll(/<(?:\w+:)?value>(-?\d+)</g)].map((found) => Number(found[1]));
    // Hours of 100, 200, 300 and 500 Wh, as whole hours or as their quarters; the hour with a hole has what is known.
    const quarters = [25, 50, 75, 125];
    assert.ok(
      [100, 200, 300, 500].every((wh) => values.includes(wh)) || quarters.every((wh) => values.includes(wh)),
      `${values.length} values: ${values.slice(0, 60)}`,
    );
    const [table] = await Promise.all([page.waitForEvent("download"), page.getByTestId("home-csv").click()]);
    const rows = (await readFile(await table.path(), "utf8")).trim().split("\n");
    assert.ok(rows.length > 5, rows.slice(0, 3).join(" | "));
    assert.deepEqual(wrong, []);
    await context.close();
    await gateway.stop();
  });

  await step("a browser that trusts the gateway's authority opens the page without it", async () => {
    ({ role: gateway, line: told } = await start(config, "home", listen));
    const authority = at("home/ca.pem");
    assert.ok(existsSync(authority), "the first start makes an authority");
    const stranger = await trusting("stranger", null);
    const refused = await (await stranger.newContext()).newPage();
    await assert.rejects(refused.goto(origin), /ERR_CERT_AUTHORITY_INVALID/, "who does not trust it is told");
    await stranger.close();
    const browser = await trusting("trusting", authority);
    const context = await browser.newContext({ viewport: wide, locale: "en-GB" });
    context.setDefaultTimeout(LONG);
    const page = await context.newPage();
    await signIn(page);
    await live(page);
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
    await gateway.stop();
    await page.getByTestId("banner-connection").waitFor();
    await page.reload();
    await page.getByTestId("banner-connection").waitFor();
    assert.equal(await page.locator("h1").innerText(), "Last known power");
    await reads(page, "home-power", /^486\s*W$/);
    await browser.close();
  });

  await step("a gateway without history has a page without those cards", async () => {
    const plain = `[homegate]\nzone = "${ZONE}"\nhistory = false\nsource = "p1+tcp://127.0.0.1:${port}"\n`;
    const own = await start(plain, "plain", `127.0.0.1:${await freePort()}`);
    const { context, page, wrong } = await open(own.origin, phone, "dark", { ignoreHTTPSErrors: true });
    await page.goto(own.origin);
    await page.getByTestId("signin-password").fill(own.line.password);
    await page.keyboard.press("Enter");
    await live(page);
    await reads(page, "home-power", /^486\s*W$/);
    for (const id of ["home-today", "home-month", "home-cost", "home-csv"])
      assert.equal(await page.getByTestId(id).count(), 0, id);
    await inspect(page, wrong, "real-home-no-history", { full: true });
    await context.close();
    await own.role.stop();
  });
} catch (cause) {
  fail("between the steps", cause);
} finally {
  meter.end();
  await sweep();
}
await finish();
