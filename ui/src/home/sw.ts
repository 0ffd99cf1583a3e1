/**
 * Keeps the files of the page, so that it opens while the gateway does not answer. Readings are never kept here:
 * the page itself keeps the last ones, and marks them as old.
 */

declare const __VERSION__: string;
declare const __FILES__: string[];

interface Extendable extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface Fetching extends Extendable {
  request: Request;
  respondWith(answer: Promise<Response>): void;
}
const worker = self as unknown as {
  addEventListener(type: "install" | "activate", handler: (event: Extendable) => void): void;
  addEventListener(type: "fetch", handler: (event: Fetching) => void): void;
  skipWaiting(): Promise<void>;
  clients: { claim(): Promise<void> };
};

const FILES = __FILES__;
const CACHE = `gridward-home-${__VERSION__}`;
/** A gateway that does not answer a page for so long is taken for away. */
const PATIENCE_MS = 4_000;

worker.addEventListener("install", (event) => {
  const fill = async (): Promise<void> => {
    const cache = await caches.open(CACHE);
    await cache.addAll(FILES.map((path) => new Request(path, { cache: "no-cache" })));
    await worker.skipWaiting();
  };
  event.waitUntil(fill());
});

worker.addEventListener("activate", (event) => {
  const tidy = async (): Promise<void> => {
    for (const name of await caches.keys()) {
      if (name.startsWith("gridward-home-") && name !== CACHE) await caches.delete(name);
    }
    await worker.clients.claim();
  };
  event.waitUntil(tidy());
});

/** The page as the gateway has it, else as it was kept. */
async function page(request: Request): Promise<Response> {
  const kept = await (await caches.open(CACHE)).match("/");
  if (!kept) return fetch(request);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<Response>((done) => {
    timer = setTimeout(() => done(kept), PATIENCE_MS);
  });
  try {
    return await Promise.race([fetch(request), patience]);
  } catch {
    return kept;
  } finally {
    clearTimeout(timer);
  }
}

async function file(request: Request): Promise<Response> {
  return (await (await caches.open(CACHE)).match(request)) ?? fetch(request);
}

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate" && url.pathname === "/") event.respondWith(page(request));
  else if (FILES.includes(url.pathname)) event.respondWith(file(request));
});
