import { EventParser, type StreamEvent } from "./event-stream.ts";
import { failureOf, send, signedOut } from "./api.ts";
import { LiveMachine, type LiveAction, type LiveView } from "./live.ts";
import { Store } from "./store.ts";
import { now } from "./session.ts";

type Handler = (data: unknown, type: string) => void;

/**
 * The one stream of this tab. It speaks the protocol of EventSource over fetch, since an EventSource that is
 * opened again after a pause of our own cannot send `Last-Event-ID`, and does not say why it was refused.
 */
class LiveClient {
  readonly view = new Store<LiveView>({ state: "connecting", last: null, retryAt: null, refused: false });
  /** Grows whenever values may have been missed; pages then read again. */
  readonly refills = new Store(0);
  /** Whether the first second is over, so that "Connecting" may be shown. */
  private machine = new LiveMachine(10_000);
  private readonly topics = new Map<string, number>();
  private readonly handlers = new Map<string, Set<Handler>>();
  private parser = new EventParser();
  private abort: AbortController | null = null;
  private timer: ReturnType<typeof setInterval> | null = null;
  private opened = "";
  private broken = false;
  private path = "/stream";
  private settle: ReturnType<typeof setTimeout> | null = null;

  /** Opens the stream at `path`; one without topics tells everything. */
  start(path = "/stream", topics = ["fleet"]): void {
    if (this.timer !== null) return;
    this.path = path;
    this.machine = new LiveMachine(10_000);
    this.parser = new EventParser();
    this.timer = setInterval(() => this.tick(), 500);
    document.addEventListener("visibilitychange", this.onVisibility);
    addEventListener("online", this.onOnline);
    this.follow(topics);
    this.act(this.machine.start(now()));
  }

  stop(): void {
    if (this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
    document.removeEventListener("visibilitychange", this.onVisibility);
    removeEventListener("online", this.onOnline);
    this.close();
    this.topics.clear();
    this.view.set({ state: "connecting", last: null, retryAt: null, refused: false });
  }

  /** Adds topics to the stream; the function returned takes them away. */
  follow(topics: string[]): () => void {
    for (const topic of topics) this.topics.set(topic, (this.topics.get(topic) ?? 0) + 1);
    this.later();
    return () => {
      for (const topic of topics) {
        const left = (this.topics.get(topic) ?? 1) - 1;
        if (left <= 0) this.topics.delete(topic);
        else this.topics.set(topic, left);
      }
      this.later();
    };
  }

  on(type: string, handler: Handler): () => void {
    const set = this.handlers.get(type) ?? new Set();
    set.add(handler);
    this.handlers.set(type, set);
    return () => set.delete(handler);
  }

  tryNow(): void {
    this.act(this.machine.tryNow(now()));
    this.publish();
  }

  private readonly onVisibility = (): void => {
    if (document.hidden) this.machine.hidden(now());
    else this.act(this.machine.shown(now()));
    this.publish();
  };

  private readonly onOnline = (): void => this.tryNow();

  /** Pages come and go together; the stream is changed once after that. */
  private later(): void {
    if (this.timer === null || this.settle !== null) return;
    this.settle = setTimeout(() => {
      this.settle = null;
      if (this.timer !== null && this.abort !== null && this.wanted() !== this.opened) this.connect();
    }, 30);
  }

  private wanted(): string {
    return [...this.topics.keys()].sort().join(",");
  }

  private tick(): void {
    this.act(this.machine.tick(now()));
    if (this.machine.dead(now())) this.lost();
    this.publish();
  }

  private act(action: LiveAction): void {
    if (action === "open") this.connect();
    else if (action === "close") {
      this.broken = true;
      this.close();
    }
  }

  private close(): void {
    this.abort?.abort();
    this.abort = null;
  }

  private lost(): void {
    this.close();
    this.broken = true;
    this.machine.failed(now(), Math.random());
    this.publish();
  }

  private connect(): void {
    this.close();
    const abort = new AbortController();
    this.abort = abort;
    this.opened = this.wanted();
    void this.read(abort, this.opened);
  }

  private async read(abort: AbortController, topics: string): Promise<void> {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (this.parser.lastId !== null) headers["last-event-id"] = this.parser.lastId;
    const resumed = new EventParser();
    resumed.lastId = this.parser.lastId;
    this.parser = resumed;
    try {
      const wanted = encodeURIComponent(topics).replaceAll("%2C", ",").replaceAll("%3A", ":");
      const path = topics === "" ? this.path : `${this.path}?topics=${wanted}`;
      const response = await send(path, { headers, signal: abort.signal });
      if (abort !== this.abort) return;
      if (!response.ok || !response.body) {
        const failure = await failureOf(response);
        if (abort !== this.abort) return;
        if (failure.failure === "signed_out") {
          this.machine.refuse(now());
          signedOut.set(signedOut.value + 1);
          this.publish();
          return;
        }
        this.lost();
        return;
      }
      this.machine.opened(now());
      if (this.broken) {
        this.broken = false;
        this.refills.set(this.refills.value + 1);
      }
      this.publish();
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      for (;;) {
        const { done, value } = await reader.read();
        if (abort !== this.abort) return;
        if (done) break;
        for (const event of resumed.push(decoder.decode(value, { stream: true }))) this.deliver(event);
      }
      this.lost();
    } catch {
      if (abort !== this.abort) return;
      this.lost();
    }
  }

  private deliver(event: StreamEvent): void {
    let data: unknown;
    try {
      data = JSON.parse(event.data);
    } catch {
      return;
    }
    this.machine.event(now());
    this.publish();
    for (const handler of [...(this.handlers.get(event.type) ?? [])]) handler(data, event.type);
  }

  private publish(): void {
    const next = this.machine.view(now());
    const old = this.view.value;
    const lastShown =
      old.last !== null && next.last !== null && next.state === "live" && old.state === "live";
    if (next.state === old.state && next.retryAt === old.retryAt && next.refused === old.refused) {
      if (next.last === old.last || lastShown) return;
    }
    this.view.set(next);
  }
}

export const live = new LiveClient();
