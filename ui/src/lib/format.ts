/** Numbers as the interface writes them. Pure: text in the page, on a canvas and in a file differ only here. */

export interface Scaled {
  /** Digits with a point and U+2212 as minus, without groups. */
  text: string;
  unit: string;
}

const MINUS = "\u2212";
const THIN = "\u2009";

/** Replaces the hyphen of a number by the minus sign. */
export function minus(text: string): string {
  return text.startsWith("-") ? MINUS + text.slice(1) : text;
}

/** Three significant figures, never fewer digits than the whole part has. */
function significant(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** Whether rounding to the figures shown leaves nothing, so that "-0.00" is not written. */
function unsignedZero(text: string): string {
  return /^-0(\.0*)?$/.test(text) ? text.slice(1) : text;
}

const PREFIXES = ["", "k", "M", "G", "T"] as const;

/** At a glance: W below 1000, then kW, MW; three significant figures. */
export function glance(value: number, unit: string): Scaled {
  let scaled = value;
  let step = 0;
  // 999.6 W is 1.00 kW, not 1000 W.
  while (Math.abs(step === 0 ? Math.round(scaled) : scaled) >= (step === 0 ? 1000 : 999.5)) {
    if (step + 1 >= PREFIXES.length) break;
    scaled /= 1000;
    step += 1;
  }
  const text = step === 0 ? Math.round(scaled).toString() : significant(scaled);
  return { text: minus(unsignedZero(text)), unit: `${PREFIXES[step] ?? ""}${unit}` };
}

/** How long something took, from its milliseconds: three figures at a glance, seconds from a thousand, no silent zero. */
export function duration(ms: number): Scaled {
  if (ms >= 999.5) return { text: significant(ms / 1000), unit: "s" };
  return { text: ms < 0.05 ? "< 0.1" : ms >= 99.95 ? ms.toFixed(0) : ms.toFixed(1), unit: "ms" };
}

/** The same in one text, for sentences. */
export function durationText(ms: number): string {
  const { text, unit } = duration(ms);
  return `${text} ${unit}`;
}

/** A column of a table keeps one unit: kilowatts with as many digits as tell 10 W apart. */
export function kilo(value: number): string {
  const scaled = value / 1000;
  const size = Math.abs(scaled);
  const text = size >= 99.95 ? scaled.toFixed(0) : size >= 9.995 ? scaled.toFixed(1) : scaled.toFixed(2);
  return minus(unsignedZero(text));
}

/** A share in per cent, cut and not rounded, so that 100.0 means all. Null where nothing was due. */
export function percent(part: number, whole: number): string | null {
  if (whole <= 0) return null;
  return percentOfPermille(Math.floor((part * 1000) / whole));
}

/** Per cent with one digit from whole per mille. */
export function percentOfPermille(permille: number): string {
  const cut = Math.floor(permille);
  return `${Math.trunc(cut / 10)}.${Math.abs(cut % 10)}`;
}

/** Splits digits into groups of three from five digits up: ["100", "412"]. The page draws the gap in CSS. */
export function groups(text: string): { sign: string; parts: string[]; rest: string } {
  const match = /^([-\u2212]?)(\d+)(.*)$/s.exec(text);
  if (!match) return { sign: "", parts: [text], rest: "" };
  const [, sign = "", whole = "", rest = ""] = match;
  if (whole.length < 5) return { sign, parts: [whole], rest };
  const parts: string[] = [];
  for (let end = whole.length; end > 0; end -= 3) parts.unshift(whole.slice(Math.max(0, end - 3), end));
  return { sign, parts, rest };
}

/** Groups with thin spaces, for a canvas or a label where CSS does not reach. */
export function grouped(text: string): string {
  const { sign, parts, rest } = groups(text);
  return sign + parts.join(THIN) + rest;
}

/** Moves the decimal point of an exact number in text by `places` to the left; nothing is rounded. */
export function shiftPoint(text: string, places: number): string {
  const match = /^([-\u2212]?)(\d+)(?:\.(\d+))?$/.exec(text.trim());
  if (!match) return text;
  const [, sign = "", whole = "", fraction = ""] = match;
  const digits = whole + fraction;
  const point = whole.length - places;
  const padded = point <= 0 ? "0".repeat(1 - point) + digits : digits;
  const at = Math.max(point, 1);
  const head = padded.slice(0, at).replace(/^0+(?=\d)/, "");
  const tail = padded.slice(at);
  return minus(sign === "" ? "" : "-") + head + (tail === "" ? "" : `.${tail}`);
}

const KILO_UNITS = new Set(["Wh", "varh", "VAh", "W", "var", "VA"]);

/** A register at the meter's full resolution, in kilo units where the unit is an energy or a power. */
export function register(text: string, unit: string): Scaled {
  if (KILO_UNITS.has(unit) && /^[-\u2212]?\d+(\.\d+)?$/.test(text.trim())) {
    return { text: minus(shiftPoint(text, 3)), unit: `k${unit}` };
  }
  return { text: minus(text), unit };
}

/** Energy of an interval at a glance, in kWh with the watt-hour as last digit. */
export function kwh(wattHours: number): string {
  return minus(unsignedZero((wattHours / 1000).toFixed(3)));
}

/** Quotes a field of a CSV file; a leading sign of a formula is made text. */
export function csvField(value: string | number | null): string {
  if (value === null) return "";
  const text = String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Rows of a CSV file with CRLF line ends (RFC 4180). */
export function csv(rows: (string | number | null)[][]): string {
  return rows.map((row) => row.map(csvField).join(",")).join("\r\n") + "\r\n";
}
