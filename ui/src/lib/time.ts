/** Times in a named zone. Pure: the zone and the present come in. */

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export interface Local {
  year: number;
  /** 1 to 12. */
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  /** 0 is Sunday. */
  weekday: number;
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"] as const;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] as const;

const pad = (n: number, width = 2): string => String(n).padStart(width, "0");

/**
 * A time zone with its offsets. Asking Intl for each time is slow, so offset and name are kept per quarter of an
 * hour of UTC: no zone changes between two of them.
 */
export class Zone {
  readonly name: string;
  private readonly format: Intl.DateTimeFormat;
  private readonly kept = new Map<number, number>();
  private namer: Intl.DateTimeFormat | null = null;
  private readonly names = new Map<number, string>();

  constructor(name: string) {
    let format: Intl.DateTimeFormat;
    let used = name;
    const options: Intl.DateTimeFormatOptions = {
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      era: "short",
    };
    try {
      format = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: name });
    } catch {
      used = "UTC";
      format = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" });
    }
    this.name = used;
    this.format = format;
  }

  /** "Zurich" for "Europe/Zurich". */
  get city(): string {
    return (this.name.split("/").at(-1) ?? this.name).replaceAll("_", " ");
  }

  private ask(ms: number): number {
    const parts: Record<string, number> = {};
    for (const part of this.format.formatToParts(ms)) parts[part.type] = Number(part.value);
    const local = Date.UTC(
      parts.year ?? 1970,
      (parts.month ?? 1) - 1,
      parts.day ?? 1,
      parts.hour ?? 0,
      parts.minute ?? 0,
      parts.second ?? 0,
    );
    return local - Math.floor(ms / 1000) * 1000;
  }

  /** Milliseconds by which local time is ahead of UTC at the time. */
  offset(ms: number): number {
    const quarter = Math.floor(ms / (15 * MINUTE));
    const known = this.kept.get(quarter);
    if (known !== undefined) return known;
    const start = this.ask(quarter * 15 * MINUTE);
    if (this.kept.size > 20_000) this.kept.clear();
    this.kept.set(quarter, start);
    return start;
  }

  local(ms: number): Local {
    const d = new Date(ms + this.offset(ms));
    return {
      year: d.getUTCFullYear(),
      month: d.getUTCMonth() + 1,
      day: d.getUTCDate(),
      hour: d.getUTCHours(),
      minute: d.getUTCMinutes(),
      second: d.getUTCSeconds(),
      weekday: d.getUTCDay(),
    };
  }

  /** The time at which local date begins, 0:00 or the first time there is. `day` may be out of its month. */
  startOfDate(year: number, month: number, day: number): number {
    const wall = Date.UTC(year, month - 1, day);
    // The offsets a day before and a day after bracket any change; the earlier valid time is the start.
    const candidates = [wall - this.offset(wall - DAY), wall - this.offset(wall + DAY)].sort((a, b) => a - b);
    for (const time of candidates) if (time + this.offset(time) === wall) return time;
    // Midnight does not exist: the day begins where the clocks were put forward.
    return candidates[1] ?? wall;
  }

  /** The start of the local day that holds the time, moved by whole local days. */
  startOfDay(ms: number, days = 0): number {
    const { year, month, day } = this.local(ms);
    return this.startOfDate(year, month, day + days);
  }

  /** "+01:00". */
  offsetText(ms: number): string {
    const minutes = Math.round(this.offset(ms) / MINUTE);
    const size = Math.abs(minutes);
    return `${minutes < 0 ? "-" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}`;
  }

  /** "CET" or what the platform calls it. */
  abbreviation(ms: number): string {
    const quarter = Math.floor(ms / (15 * MINUTE));
    const known = this.names.get(quarter);
    if (known !== undefined) return known;
    this.namer ??= new Intl.DateTimeFormat("en-GB", {
      timeZone: this.name,
      timeZoneName: "short",
      hour: "2-digit",
    });
    const parts = this.namer.formatToParts(ms);
    const text = parts.find((part) => part.type === "timeZoneName")?.value ?? this.offsetText(ms);
    if (this.names.size > 20_000) this.names.clear();
    this.names.set(quarter, text);
    return text;
  }

  /** Whether the same wall clock comes twice around the time, once on each side of a change of the clocks. */
  isDoubled(ms: number): boolean {
    const here = this.offset(ms);
    for (const apart of [30 * MINUTE, HOUR, 2 * HOUR]) {
      const before = this.offset(ms - apart);
      if (before - here === apart) return true;
      const after = this.offset(ms + apart);
      if (here - after === apart) return true;
    }
    return false;
  }
}

/** Intervals of `stepMs` between two times: 92 or 100 quarters on days on which the clocks change. */
export function intervalsBetween(from: number, to: number, stepMs: number): number {
  return Math.max(0, Math.round((to - from) / stepMs));
}

/** "10:30"; the hour that comes twice has the zone's name: "02:00 CEST". */
export function clock(ms: number, zone: Zone): string {
  const { hour, minute } = zone.local(ms);
  const text = `${pad(hour)}:${pad(minute)}`;
  return zone.isDoubled(ms) ? `${text} ${zone.abbreviation(ms)}` : text;
}

/** "14:32:08". */
export function clockSeconds(ms: number, zone: Zone): string {
  const { hour, minute, second } = zone.local(ms);
  return `${pad(hour)}:${pad(minute)}:${pad(second)}`;
}

/** "19 Nov", with the year where it is not the present one. */
export function shortDate(ms: number, zone: Zone, now = ms): string {
  const { year, month, day } = zone.local(ms);
  const text = `${day} ${MONTHS[month - 1] ?? ""}`;
  return year === zone.local(now).year ? text : `${text} ${year}`;
}

/** "Thu 19 Nov". */
export function weekdayDate(ms: number, zone: Zone): string {
  return `${WEEKDAYS[zone.local(ms).weekday] ?? ""} ${shortDate(ms, zone)}`;
}

/** "Thu 19". */
export function weekdayDay(ms: number, zone: Zone): string {
  const { weekday, day } = zone.local(ms);
  return `${WEEKDAYS[weekday] ?? ""} ${day}`;
}

/** "Thu". */
export function weekday(ms: number, zone: Zone): string {
  return WEEKDAYS[zone.local(ms).weekday] ?? "";
}

/** "Nov". */
export function monthName(ms: number, zone: Zone): string {
  return MONTHS[zone.local(ms).month - 1] ?? "";
}

/** "Thu 19 Nov 2026". */
export function longDate(ms: number, zone: Zone): string {
  return `${weekdayDate(ms, zone)} ${zone.local(ms).year}`;
}

/** "Thu 19 Nov 2026, 14:32:08 CET": the exact time, for a title or a reader. */
export function exact(ms: number, zone: Zone): string {
  return `${longDate(ms, zone)}, ${clockSeconds(ms, zone)} ${zone.abbreviation(ms)}`;
}

/** An interval is named by both ends: "Thu 19 Nov, 10:30–10:45", over midnight with both dates. */
export function interval(from: number, to: number, zone: Zone): string {
  if (zone.startOfDay(from) === from && zone.startOfDay(from, 1) === to) return longDate(from, zone);
  const sameDay = zone.startOfDay(from) === zone.startOfDay(to - 1);
  if (sameDay) return `${weekdayDate(from, zone)}, ${clock(from, zone)}–${clock(to, zone)}`;
  return `${weekdayDate(from, zone)} ${clock(from, zone)} – ${weekdayDate(to, zone)} ${clock(to, zone)}`;
}

/** "4 s", "41 min", "6 h 12 min", "3 days": how long ago, in the words of a table. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 || hours >= 10 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  const days = Math.floor(hours / 24);
  return days === 1 ? "1 day" : `${days} days`;
}

/** Relative up to 60 minutes, then clock time, then the date. */
export function when(ms: number, now: number, zone: Zone): string {
  const past = now - ms;
  if (past >= 0 && past < HOUR) return age(past);
  const today = zone.startOfDay(now);
  if (ms >= today) return `today ${clock(ms, zone)}`;
  if (ms >= zone.startOfDay(now, -1)) return `yesterday ${clock(ms, zone)}`;
  return shortDate(ms, zone, now);
}

/** Parses an RFC 3339 time; null where there is none. */
export function parse(text: string | null | undefined): number | null {
  if (!text) return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}

/** RFC 3339 in UTC, without a fraction where there is none. */
export function iso(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}
