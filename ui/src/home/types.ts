/**
 * The home gateway's HTTP API, version 1, as this page uses it. Times are RFC 3339 UTC, energy in Wh, power in W,
 * negative while the home gives to the grid; null is no value.
 */

export interface HomeSession {
  name: string;
  zone: string;
  version: string;
  user: string;
  now: string;
  history: boolean;
  currency: string | null;
}

export interface PowerNow {
  w: number;
  at: string;
  error_ms: number;
  basis: "meter" | "receipt";
  received: string;
  cost_per_hour: number | null;
}

export interface Extreme {
  w: number;
  at: string;
}

export interface Register {
  wh: number;
  at: string;
  stale: boolean;
}

export interface Cost {
  total: number;
  fixed: number;
  parts: { name: string; wh: number; cost: number }[];
  currency: string;
  unpriced_wh: number;
}

export interface Period {
  from: string;
  to: string;
  complete: boolean;
  delivered_wh: number | null;
  received_wh: number | null;
  delivered_by_now_wh: number | null;
  cost: Cost | null;
}

export interface Gap {
  from: string;
  to: string | null;
}

export interface HomeState {
  now: string;
  power: PowerNow | null;
  price: { name: string; per_kwh: number; currency: string; until: string | null } | null;
  lowest_today: Extreme | null;
  highest_today: Extreme | null;
  meter: { id: string | null; state: "answers" | "silent" | "unknown"; last: string | null };
  link: {
    source: string;
    open: boolean;
    since: string;
    pushes: boolean;
    interval_s: number | null;
    reason: string | null;
  };
  registers: { delivered: Register | null; received: Register | null };
  today: Period | null;
  yesterday: Period | null;
  month: Period | null;
  last_month: Period | null;
  readings_today: { received: number; expected: number | null } | null;
  missing_today: Gap[];
}

export interface HistoryInterval {
  t: string;
  delivered_wh: number | null;
  received_wh: number | null;
  w: number | null;
  readings: number;
  partial: boolean;
}

export interface History {
  from: string;
  to: string;
  now: string;
  step: string;
  intervals: HistoryInterval[];
  gaps: Gap[];
}
