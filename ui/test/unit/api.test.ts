import { afterEach, describe, expect, it, vi } from "vitest";
import { api, ApiError, signedOut } from "../../src/lib/api.ts";
import { enter, session } from "../../src/lib/session.ts";

const who = { site: "Test", zone: "UTC", version: "0", user: "operator", now: "2026-11-19T13:32:08Z" };

/** Answers of the server, each sent when the test says so. */
function answers(): ((response: Response) => void)[] {
  const waiting: ((response: Response) => void)[] = [];
  vi.stubGlobal("fetch", () => new Promise<Response>((done) => waiting.push(done)));
  return waiting;
}

const refusal = (): Response =>
  new Response('{"error":{"code":"not_signed_in","message":"Sign in."}}', { status: 401 });

afterEach(() => vi.unstubAllGlobals());

describe("a session that has ended", () => {
  it("is told by the first call that is refused", async () => {
    const waiting = answers();
    enter(who);
    const before = signedOut.value;
    const call = api.fleet();
    waiting[0]?.(refusal());
    await expect(call).rejects.toBeInstanceOf(ApiError);
    expect(signedOut.value).toBe(before + 1);
  });

  it("does not end the one begun since, when an answer to it comes late", async () => {
    const waiting = answers();
    enter(who);
    const before = signedOut.value;
    const late = api.fleet();
    session.set(null);
    enter({ ...who });
    waiting[0]?.(refusal());
    await expect(late).rejects.toBeInstanceOf(ApiError);
    expect(signedOut.value).toBe(before);
  });
});
