/** What is missing in a profile, and what is only not due yet. */

export interface Span {
  from: number;
  to: number;
  intervals: number;
}

/** Runs of intervals without a value. `times` are starts in order, `stepMs` apart where nothing is absent. */
export function runsOfNull(times: number[], values: (number | null)[], stepMs: number): Span[] {
  const spans: Span[] = [];
  let open: Span | null = null;
  for (const [i, time] of times.entries()) {
    const missing = (values[i] ?? null) === null;
    if (missing && open !== null && open.to === time) {
      open.to = time + stepMs;
      open.intervals += 1;
    } else if (missing) {
      open = { from: time, to: time + stepMs, intervals: 1 };
      spans.push(open);
    } else {
      open = null;
    }
  }
  return spans;
}

/** Joins overlapping and touching spans, clipped to a range; spans outside are left out. */
export function clip(spans: Span[], from: number, to: number, stepMs: number): Span[] {
  const out: Span[] = [];
  for (const span of [...spans].sort((a, b) => a.from - b.from)) {
    const start = Math.max(span.from, from);
    const end = Math.min(span.to, to);
    if (start >= end) continue;
    const whole = start === span.from && end === span.to;
    const intervals = whole ? span.intervals : Math.round((end - start) / stepMs);
    const last = out.at(-1);
    if (last && start <= last.to) {
      if (end > last.to) {
        last.intervals += start === last.to ? intervals : Math.round((end - last.to) / stepMs);
        last.to = end;
      }
    } else {
      out.push({ from: start, to: end, intervals });
    }
  }
  return out;
}

/** Puts a null wherever two samples are further apart than `most`, so that a lost sample is not joined. */
export function breakWherever(
  times: number[],
  values: (number | null)[],
  most: number,
): { times: number[]; values: (number | null)[] } {
  const outTimes: number[] = [];
  const outValues: (number | null)[] = [];
  let last: number | null = null;
  for (const [i, time] of times.entries()) {
    if (last !== null && time - last > most) {
      outTimes.push((last + time) / 2);
      outValues.push(null);
    }
    outTimes.push(time);
    outValues.push(values[i] ?? null);
    last = time;
  }
  return { times: outTimes, values: outValues };
}

/** Stretches without a sample from the first one to `end`; up to `most` apart, samples follow each other. */
export function silences(times: number[], end: number, most: number, periodMs: number): Span[] {
  const out: Span[] = [];
  for (const [i, time] of times.entries()) {
    const next = times[i + 1] ?? end;
    if (next - time > most)
      out.push({ from: time, to: next, intervals: Math.floor((next - time) / periodMs) });
  }
  return out;
}

export type At = { kind: "value"; index: number } | { kind: "gap"; span: Span } | { kind: "none" };

/** What a position on the time axis is: an interval with a value, a gap, or not due. */
export function locate(
  at: number,
  times: number[],
  values: (number | null)[],
  stepMs: number,
  gaps: Span[],
): At {
  let low = 0;
  let high = times.length - 1;
  while (low <= high) {
    const mid = (low + high) >> 1;
    const start = times[mid] ?? 0;
    if (at < start) high = mid - 1;
    else if (at >= start + stepMs) low = mid + 1;
    else {
      if ((values[mid] ?? null) !== null) return { kind: "value", index: mid };
      break;
    }
  }
  for (const span of gaps) if (at >= span.from && at < span.to) return { kind: "gap", span };
  return { kind: "none" };
}
