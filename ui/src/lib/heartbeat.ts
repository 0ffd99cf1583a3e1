/** The strip of thirty days in a row: one path per state, since a table has thousands of them. */

export interface HeartbeatPaths {
  full: string;
  partial: string;
  none: string;
  bad: number;
  days: number;
}

const STEP = 4;
const WIDTH = 3;

/** Days oldest first, per mille read, null where nothing was due. Complete days are full bars. */
export function heartbeat(days: (number | null)[]): HeartbeatPaths {
  const out: HeartbeatPaths = { full: "", partial: "", none: "", bad: 0, days: 0 };
  const first = 30 - days.length;
  for (const [i, day] of days.entries()) {
    if (day === null) continue;
    out.days += 1;
    const x = 1 + (first + i) * STEP;
    if (day >= 1000) {
      out.full += `M${x} 1h${WIDTH}v14h-${WIDTH}z`;
    } else {
      out.bad += 1;
      if (day <= 0) out.none += `M${x + 0.5} 1.5h2v13h-2z`;
      else {
        const height = Math.max(3, Math.round((14 * day) / 1000 / 2));
        out.partial += `M${x} ${15 - height}h${WIDTH}v${height}h-${WIDTH}z`;
      }
    }
  }
  return out;
}
