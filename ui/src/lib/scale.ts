/** Axes: round steps from zero, and times of a zone. */
import { clock, DAY, HOUR, MINUTE, monthName, weekday, weekdayDay, type Zone } from "./time.ts";

/** Round ticks from `low` to `high`: at most `most` of them, at 1, 2, 2.5 or 5 times a power of ten. */
export function ticks(low: number, high: number, most: number): number[] {
  const span = high - low;
  if (!(span > 0) || most < 2) return [low];
  const raw = span / (most - 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999_999) ?? 10 * power;
  const out: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) {
    out.push(Number((i * step).toPrecision(12)));
  }
  return out;
}

/** The end of an axis that holds `high` with round ticks: 0.47 becomes 0.5. Zero is always on the axis. */
export function niceRange(low: number, high: number, most: number): [number, number] {
  const bottom = Math.min(0, low);
  const top = Math.max(0, high);
  if (bottom === top) return [0, 1];
  const raw = (top - bottom) / (most - 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  for (const m of [1, 2, 2.5, 5, 10]) {
    const step = m * power;
    const from = Math.floor(bottom / step + 1e-9) * step;
    const to = Math.ceil(top / step - 1e-9) * step;
    if ((to - from) / step <= most - 1 + 1e-9)
      return [Number(from.toPrecision(12)), Number(to.toPrecision(12))];
  }
  return [bottom, top];
}

/** Digits after the point that tell the ticks apart. */
export function tickDigits(values: number[]): number {
  const step = values.length > 1 ? Math.abs((values[1] ?? 0) - (values[0] ?? 0)) : 1;
  for (let digits = 0; digits < 6; digits += 1) {
    const shifted = step * 10 ** digits;
    if (Math.abs(shifted - Math.round(shifted)) < 1e-6) return digits;
  }
  return 6;
}

export interface TimeTick {
  at: number;
  text: string;
  strong: boolean;
}

const STEPS = [1, 2, 5, 10, 15, 30].map((m) => m * MINUTE).concat([1, 2, 3, 6, 12].map((h) => h * HOUR));

/** Ticks on the wall clock of a zone, days bold; `most` is how many labels have room. */
export function timeTicks(from: number, to: number, zone: Zone, most: number): TimeTick[] {
  const span = to - from;
  const step = STEPS.find((s) => span / s <= most);
  if (step !== undefined && span <= 3 * DAY) return clockTicks(from, to, zone, step);
  const days: number[] = [];
  for (let d = zone.startOfDay(from); d < to; d = zone.startOfDay(d, 1)) {
    if (d >= from) days.push(d);
    if (days.length > 800) break;
  }
  if (days.length > 62) return monthTicks(days, zone, most);
  const every = [1, 2, 7, 14].find((n) => days.length / n <= most) ?? 28;
  if (every === 7 || every === 14 || every === 28) {
    const mondays = days.filter((d) => zone.local(d).weekday === 1);
    const some = mondays.filter((_, i) => i % (every / 7) === 0);
    return some.map((at) => ({ at, text: dayLabel(at, zone), strong: false }));
  }
  return days
    .filter((_, i) => i % every === 0)
    .map((at) => ({
      at,
      text: every === 1 && days.length <= 9 ? weekdayDay(at, zone) : dayLabel(at, zone),
      strong: days.length <= 9,
    }));
}

function dayLabel(at: number, zone: Zone): string {
  return `${zone.local(at).day} ${monthName(at, zone)}`;
}

function clockTicks(from: number, to: number, zone: Zone, step: number): TimeTick[] {
  const out: TimeTick[] = [];
  for (let day = zone.startOfDay(from); day < to; day = zone.startOfDay(day, 1)) {
    const end = Math.min(to, zone.startOfDay(day, 1));
    if (day >= from)
      out.push({
        at: day,
        text: to - from > DAY * 1.5 ? weekdayDay(day, zone) : weekday(day, zone),
        strong: true,
      });
    const first = zone.offset(day);
    // The clocks move by two hours at most, so that earlier steps cannot reach the range.
    const early = Math.max(1, Math.floor((from - day - 2 * HOUR) / step));
    for (let wall = step * early; wall < 26 * HOUR && day + wall < end + 2 * HOUR; wall += step) {
      // Wall clock time on this day, whatever the clocks do between.
      const guess = day + wall;
      const at = guess + first - zone.offset(guess);
      if (at <= day || at >= end || at < from) continue;
      const { hour, minute, second } = zone.local(at);
      if ((hour * HOUR + minute * MINUTE + second * 1000) % step !== 0) continue;
      if (out.at(-1)?.at === at) continue;
      out.push({ at, text: clock(at, zone).slice(0, 5), strong: false });
    }
    if (out.length > 400) break;
  }
  return out;
}

function monthTicks(days: number[], zone: Zone, most: number): TimeTick[] {
  const firsts = days.filter((d) => zone.local(d).day === 1);
  const every = Math.max(1, Math.ceil(firsts.length / most));
  return firsts
    .filter((_, i) => i % every === 0)
    .map((at) => {
      const january = zone.local(at).month === 1;
      return { at, text: january ? String(zone.local(at).year) : monthName(at, zone), strong: january };
    });
}
