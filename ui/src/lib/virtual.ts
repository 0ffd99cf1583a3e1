/** Which rows of a long list are drawn. Pure. */

/** A browser draws no taller element than this without fault. */
export const TALLEST_PX = 10_000_000;

const STEP = 8;

export interface WindowOfRows {
  /** First row drawn. */
  start: number;
  /** Row after the last one drawn. */
  end: number;
  /** Height of the whole list. */
  height: number;
  /** Rows that fit into the tallest element. */
  total: number;
}

/** `above` is how far the top of the list is above the top of what is seen; negative while it is below. */
export function rowsInView(
  total: number,
  rowPx: number,
  above: number,
  viewPx: number,
  spare: number,
): WindowOfRows {
  const shown = Math.min(total, Math.floor(TALLEST_PX / rowPx));
  const first = Math.floor(Math.max(0, above) / rowPx);
  const last = Math.ceil(Math.max(0, above + viewPx) / rowPx);
  // Rows come and go by STEP, so that most movements draw nothing new.
  const start = Math.floor(Math.max(0, Math.min(first - spare, shown)) / STEP) * STEP;
  const end = Math.min(shown, Math.ceil((last + spare) / STEP) * STEP);
  return { start, end: Math.max(start, end), height: shown * rowPx, total: shown };
}

/** The windows of `size` rows that hold rows start..end. */
export function windowsOf(start: number, end: number, size: number): number[] {
  const out: number[] = [];
  if (end <= start) return out;
  for (let w = Math.floor(start / size); w * size < end; w += 1) out.push(w);
  return out;
}
