/** What the pages of campaigns compute. Pure. */

/** "0.6 s", "42 s", "12 min", "4 h 56 min", "41 days": how long something takes. */
export function span(seconds: number): string {
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.round(hours / 24)} days`;
}

/** Per cent of thousandths: "0.5", "10". */
export function perCent(permille: number): string {
  return String(permille / 10);
}

/** A share in whole per cent, cut, so that 100 means all of it. */
export function share(part: number, whole: number): string {
  return whole <= 0 ? "0" : String(Math.floor((part * 100) / whole));
}
