/** The head end's HTTP API, version 1, as this interface uses it. Times are RFC 3339 UTC; null is no value. */

export type StateName = "ok" | "warn" | "crit" | "off" | "miss" | "new" | "pend" | "info";

export interface Session {
  site: string;
  zone: string;
  version: string;
  user: string;
  now: string;
}

export interface DayCount {
  date: string;
  received: number;
  expected: number;
}

export interface Need {
  state: StateName;
  title: string;
  detail: string;
  since: string;
  href: string;
}

export interface Fleet {
  as_of: string;
  meters: number;
  read_today: { received: number; expected: number };
  read_30d: { received: number; expected: number; days_under_target: number };
  target_permille: number;
  late: number;
  silent: number;
  alarms_open: number;
  alarms_critical: number;
  queue: number;
  meter_days_per_s: number | null;
  days: DayCount[];
  needs: Need[];
  feeders: string[];
}

export type FleetUpdate = Pick<
  Fleet,
  "as_of" | "read_today" | "late" | "silent" | "queue" | "meter_days_per_s" | "alarms_open"
>;

export interface MeterRow {
  id: string;
  name: string;
  place: string;
  feeder: string;
  phase: string;
  via: string;
  state: StateName;
  state_text: string;
  power_w: number | null;
  power_at: string | null;
  last_read: string | null;
  days: (number | null)[];
  read_permille: number | null;
}

export interface MeterList {
  total: number;
  offset: number;
  rows: MeterRow[];
}

export interface Meter {
  id: string;
  name: string;
  place: string;
  feeder: string;
  phase: string;
  via: string;
  endpoint: string;
  system_title: string;
  state: StateName;
  state_text: string;
  last_read: string | null;
  enrolled: string;
  breaker: { state: "closed" | "open" | "ready" | null; at: string | null };
  clock: { offset_s: number | null; at: string | null; zone: string };
  firmware: string | null;
  protection: { suite: number; mode: string };
  key_age_days: number | null;
  counter: { used: number; of: number };
  gaps: { intervals: number; oldest: string | null };
  power: Power;
  path: { hops: string[]; rtt_ms: number | null };
  previous: string | null;
  next: string | null;
}

export interface Power {
  w: number | null;
  l1_w: number | null;
  l2_w: number | null;
  l3_w: number | null;
  at: string | null;
}

export interface Channel {
  key: string;
  obis: string;
  name: string;
  unit: string;
}

export interface ProfileInterval {
  t: string;
  status: string[];
  [channel: string]: string | string[] | number | null | undefined;
}

export interface Gap {
  from: string;
  to: string;
  intervals: number;
  held_by_meter: boolean | null;
}

export interface Profile {
  from: string;
  to: string;
  step_s: number;
  now: string;
  channels: Channel[];
  intervals: ProfileInterval[];
  gaps: Gap[];
}

export interface Register {
  obis: string;
  name: string;
  value: number | null;
  text: string;
  unit: string;
  scaler: number;
  at: string;
  /** Whether it is a running total. */
  counter: boolean;
  since_yesterday: number | null;
}

export interface Registers {
  read_at: string | null;
  rows: Register[];
}

export interface MeterEvent {
  at: string;
  state: "warn" | "crit" | "info";
  title: string;
  detail: string;
  code: number | null;
  source: "meter" | "headend";
}

export interface Events {
  total: number;
  rows: MeterEvent[];
}

export interface FindGroup {
  name: string;
  hits: { title: string; detail: string; href: string }[];
}

export interface PowerEvent {
  id: string;
  at: string;
  w: number | null;
  l1_w: number | null;
  l2_w: number | null;
  l3_w: number | null;
}

export interface PowerErrorEvent {
  id: string;
  at: string;
  reason: string;
}
