/** Parses a stream of server-sent events (WHATWG HTML, 9.2.6) from pieces of text. */

export interface StreamEvent {
  type: string;
  data: string;
  id: string | null;
}

/** A line or an event longer than this is not from a head end; the stream is given up. */
const LONGEST = 1 << 20;

export class EventParser {
  private buffer = "";
  private type = "";
  private data: string[] = [];
  private size = 0;
  /** The last id seen, which a new connection sends as `Last-Event-ID`. */
  lastId: string | null = null;
  private skipFeed = false;

  /** Takes the next piece and gives the events that are complete. */
  push(piece: string): StreamEvent[] {
    const out: StreamEvent[] = [];
    let text = this.buffer + piece;
    // A line feed at the start of a piece may belong to a carriage return that ended the piece before.
    if (this.skipFeed && text.startsWith("\n")) text = text.slice(1);
    if (text !== "") this.skipFeed = false;
    for (;;) {
      const end = text.search(/[\r\n]/);
      if (end < 0) break;
      const line = text.slice(0, end);
      const pair = text.startsWith("\r\n", end);
      if (text[end] === "\r" && end === text.length - 1) this.skipFeed = true;
      text = text.slice(end + (pair ? 2 : 1));
      const event = this.line(line);
      if (event) out.push(event);
    }
    if (text.length > LONGEST) throw new Error("line too long");
    this.buffer = text;
    return out;
  }

  private line(line: string): StreamEvent | null {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const raw = colon < 0 ? "" : line.slice(colon + 1);
    const value = raw.startsWith(" ") ? raw.slice(1) : raw;
    if (field === "event") this.type = value;
    else if (field === "id" && !value.includes("\0")) this.lastId = value;
    else if (field === "data") {
      this.size += value.length;
      if (this.size > LONGEST) throw new Error("event too long");
      this.data.push(value);
    }
    return null;
  }

  private dispatch(): StreamEvent | null {
    const { type, data } = this;
    this.type = "";
    this.data = [];
    this.size = 0;
    if (data.length === 0) return null;
    return { type: type === "" ? "message" : type, data: data.join("\n"), id: this.lastId };
  }
}
