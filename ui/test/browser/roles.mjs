// Parts of the program as processes, for the tests that have no fixture.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { LONG } from "./lib.mjs";

const root = fileURLToPath(new URL("../../../", import.meta.url));
export const program = execFileSync(join(root, "scripts/built"), ["gridward"], {
  encoding: "utf8",
  stdio: ["ignore", "pipe", "inherit"],
}).trim();

const folder = mkdtempSync(join(tmpdir(), "gridward-ui-"));
export const at = (name) => join(folder, name);
const running = new Set();

/** A part of the program as a process; `lines` come as JSON. */
export class Role {
  constructor(args) {
    this.name = args[0];
    this.child = spawn(program, [...args, "--json", "--stop-at-eof"], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, XDG_STATE_HOME: at("state") },
    });
    this.child.stdin.on("error", () => {});
    this.said = [];
    createInterface(this.child.stderr).on("line", (line) => {
      this.said.push(line);
      if (this.said.length > 20) this.said.shift();
    });
    this.ended = new Promise((done) => this.child.once("exit", (code, signal) => done(signal ?? code)));
    this.lines = createInterface(this.child.stdout)[Symbol.asyncIterator]();
    running.add(this);
  }

  async line() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`${this.name} ended with ${await this.ended}: ${this.said.join(" | ")}`);
    const line = JSON.parse(value);
    assert.equal(line.error, undefined, `${this.name}: ${JSON.stringify(line.error)}`);
    return line;
  }

  /** The end of its standard input tells it to stop. */
  async stop() {
    if (!running.has(this)) return;
    this.child.stdin.end();
    const timer = setTimeout(() => this.child.kill("SIGKILL"), LONG);
    const code = await this.ended;
    clearTimeout(timer);
    running.delete(this);
    assert.equal(code, 0, `${this.name} stops cleanly, not with ${code}: ${this.said.join(" | ")}`);
  }

  async kill() {
    this.child.kill("SIGKILL");
    await this.ended;
  }
}

/**
 * A port that stays free while nobody listens there. It lies below the range from which systems take the ports of
 * outgoing connections: one of that range may be taken between a stop and a restart, even by a connection that
 * meets itself.
 */
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const free = await new Promise((done) => {
      const server = createServer();
      server.once("error", () => done(false));
      server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
    });
    if (free) return port;
  }
}

/** Asks until the answer is there. */
export async function until(what, ask, every = 200) {
  const end = Date.now() + LONG;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(Date.now() < end, `waited too long until ${what}`);
    await new Promise((done) => setTimeout(done, every));
  }
}

/** Ends what still runs and removes what it wrote. */
export async function sweep() {
  await Promise.all([...running].map((role) => role.kill()));
  rmSync(folder, { recursive: true, force: true });
}
