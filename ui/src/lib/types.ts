/** The head end's HTTP API, version 1, as this interface uses it. Times are RFC 3339 UTC; null is no value. */

export type StateName = "ok" | "warn" | "crit" | "off" | "miss" | "new" | "pend" | "info" | "run";

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

/** One path through a SCION network, as the reference programs print it. */
export interface PathTaken {
  hops: string;
  fingerprint: string;
  verified: boolean;
}

/** Readings one after the other that came by the same paths. */
export interface PathRun {
  first: string;
  last: string;
  associations: number;
  sent: PathTaken | null;
  received: PathTaken | null;
  carried: { obis: string; from: string; to: string }[];
}

/** What a list and a page say alike of a meter. */
type MeterWords = Pick<
  MeterRow,
  "id" | "name" | "place" | "feeder" | "phase" | "via" | "state" | "state_text" | "last_read"
>;

export interface Meter extends MeterWords {
  /** The concentrator through which it is reached. */
  concentrator: { id: string; name: string } | null;
  endpoint: string;
  system_title: string;
  enrolled: string;
  breaker: { state: "closed" | "open" | "ready" | null; at: string | null };
  clock: { offset_s: number | null; at: string | null; zone: string };
  firmware: string | null;
  protection: { suite: number; mode: string };
  key_age_days: number | null;
  counter: { used: number; of: number };
  gaps: { intervals: number; oldest: string | null };
  power: Power;
  path: { hops: string[]; rtt_ms: number | null; scion: PathRun | null };
  previous: string | null;
  next: string | null;
}

export interface ConcentratorRow {
  id: string;
  name: string;
  endpoint: string;
  via: string;
  state: StateName;
  state_text: string;
  as_of: string | null;
  rtt_ms: number | null;
  media: string[];
  meters: number | null;
  there: number | null;
  enrolled: number;
  read_today: { received: number; expected: number };
  collected: number | null;
  held_rows: number | null;
  firmware: string | null;
  outages: number;
  meters_out: number;
  out_since: string | null;
  balance: {
    state: StateName;
    state_text: string;
    feeder: string;
    phase: string;
    loss_permille: number | null;
  } | null;
  pair: Pair | null;
}

/** How a concentrator stands with the other of its pair, by its word. */
export interface Pair {
  state: "none" | "ready" | "behind" | "away" | "standby";
  peer: string;
  peer_id: string | null;
  mode: "standby" | "active";
  epoch: number;
  held: number;
  held_there: number;
  segments: number;
  behind_ms: number | null;
  taken: string | null;
  takeovers: number;
}

/** What handing over to the standby would mean. */
export interface SwitchoverDryRun {
  as_of: string;
  name: string;
  confirm: string;
  possible: boolean;
  why_not: string | null;
  steps: string[];
  peer: string;
  told: string | null;
  in_step: boolean;
  behind_ms: number | null;
  meters: number | null;
  waiting: number;
  armed_s: number;
  second_person: boolean;
}

export interface Outage {
  number: number;
  began: string;
  ended: string | null;
  meters: number;
  out: number;
  sites: string[];
  first: { name: string; id: string | null; place: string; out: boolean }[];
}

export interface Outages {
  total: number;
  open: number;
  meters_out: number;
  offset: number;
  rows: Outage[];
}

export interface Notices {
  total: number;
  offset: number;
  rows: {
    number: number;
    at: string;
    code: number;
    state: StateName;
    title: string;
    detail: string;
    meters: number | null;
  }[];
}

export interface BalancePoint {
  t: string;
  supplied_wh: number | null;
  metered_wh: number;
  meters: number;
  weight: "weighed" | "incomplete" | "unmetered" | "fed_back";
}

export interface Branch {
  feeder: string;
  phase: string;
  state: StateName;
  state_text: string;
  supplied_wh: number | null;
  metered_wh: number | null;
  loss_permille: number | null;
  meters: number;
  told: number;
  weighed: number;
  incomplete: number;
  unmetered: number;
  fed_back: number;
  points: BalancePoint[];
}

export interface Balance {
  from: string;
  to: string;
  loss_percent: number;
  excess_percent: number;
  least_wh: number;
  run: number;
  total: number;
  offset: number;
  rows: Branch[];
}

export interface ConcentratorList {
  total: number;
  offset: number;
  rows: ConcentratorRow[];
}

export interface SegmentView {
  number: number;
  medium: string;
  open: boolean;
  waiting: number;
  there: number;
  bit_rate: number | null;
}

/** A way to a concentrator, as the head end finds it. */
export interface Way {
  endpoint: string;
  carries: "all" | "orders";
  state: "up" | "down" | "new";
  since: string | null;
  tried: string | null;
  rtt_ms: number | null;
}

/** The ways of a concentrator to head ends, by its word; those that are preferred first. */
export interface Wan {
  ways: WanWay[];
  current: number | null;
  change: { from: number; to: number; at: string; took_ms: number | null } | null;
}

export interface WanWay {
  name: string;
  place: string;
  dialled: boolean;
  class: string;
  connections: number;
  state: "up" | "quiet" | "down" | "new";
  gained: string | null;
  lost: string | null;
  heard: string | null;
}

export interface Concentrator {
  row: ConcentratorRow;
  system_title: string;
  serial: string | null;
  place: string;
  feeders: string[];
  failing: string | null;
  failing_since: string | null;
  clock_offset_s: number | null;
  sap_changes: number | null;
  port: number | null;
  every_s: number;
  segments: SegmentView[];
  ways: Way[];
  connections: { peer: string; dialled: boolean; since: string }[];
  wan: Wan | null;
  metering: { feeder: string; voltage_mv: number[]; current_ma: number[]; energy_wh: number[] }[];
  forwarded: Record<
    "down" | "up" | "unknown" | "full" | "expired" | "unasked" | "nobody" | "unfit" | "conflicts",
    number
  > | null;
  collection: {
    rounds: number;
    failed: number;
    held_octets: number;
    dropped: number;
    keep_days: number | null;
  } | null;
  target_permille: number;
  notices: string[];
  previous: string | null;
  next: string | null;
}

export interface BehindMeter {
  name: string;
  sap: number;
  sap_since: string | null;
  id: string | null;
  place: string;
  feeder: string;
  phase: string;
  state: StateName | null;
  state_text: string;
  segment: number | null;
  there: boolean;
  heard: string | null;
  hops: number;
  quality_permille: number | null;
  /** The SAP of the meter through which it is reached; 0: heard directly; null: not told. */
  behind: number | null;
  repeated_today: number | null;
  mode: "direct" | "conventional";
  has_keys: boolean;
  held_rows: number;
  read_today: { received: number; expected: number } | null;
}

export interface BehindMeters {
  as_of: string | null;
  total: number;
  offset: number;
  rows: BehindMeter[];
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
  source: "meter" | "headend" | "concentrator";
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

export interface OutletMeterRow {
  id: number;
  place: string;
  outlets: number;
  state: StateName;
  state_text: string;
  connected: boolean;
  last_heard: string | null;
  power_w: number | null;
  power_at: string | null;
  missing: number;
  days: (number | null)[];
  read_permille: number | null;
}

export interface OutletMeterList {
  served: boolean;
  utc_offset_min: number;
  rows: OutletMeterRow[];
}

export interface Outlet {
  number: number;
  name: string;
  ordered: "on" | "off" | null;
  ordered_at: string | null;
  agrees: boolean | null;
  section: string | null;
  volts: number | null;
  milliamperes: number | null;
  watts: number | null;
  warned_at: string | null;
}

export interface OutletCost {
  t: string;
  month: number;
  day_start: number;
  day_end: number;
  total_cost: number;
}

export interface OutletMeter {
  id: number;
  place: string;
  state: StateName;
  state_text: string;
  connected: boolean;
  connected_since: string;
  last_heard: string | null;
  expected_from: string;
  utc_offset_min: number;
  today: string;
  keeps_days: number;
  missing: number;
  days: DayCount[];
  outlets: Outlet[];
  refused: number;
  refused_text: string | null;
  cost: OutletCost | null;
  warnings: number;
  previous: number | null;
  next: number | null;
}

export interface OutletSection {
  number: number;
  t: string;
  state: "read" | "missing" | "not_due" | "before";
  volts: number | null;
  milliamperes: number | null;
  watts: number | null;
}

export interface OutletUsage {
  outlet: number;
  date: string;
  from: string;
  received: number;
  missing: number;
  energy_wh: number | null;
  sections: OutletSection[];
}

export interface OutletWarnings {
  total: number;
  rows: { t: string; outlet: number; name: string; report: number }[];
}

export interface OutletOrders {
  rows: {
    number: number;
    t: string;
    kind: "switch" | "cost" | "request" | "open" | "close";
    what: string;
    reason: string;
    outcome: "sent" | "waits" | "refused" | null;
    ended: string | null;
  }[];
}

export interface OrderAnswer {
  number: number;
  outcome: "sent" | "waits" | "refused";
}

export interface BreakerPreview {
  as_of: string;
  place: string;
  confirm: string;
  possible: boolean;
  why_not: string | null;
  draws_w: number | null;
  draws_section: string | null;
  outlets: { number: number; name: string; watts: number | null }[];
}

export type MeterOrderKind = "read" | "connect" | "disconnect" | "text" | "switchover";
export type MeterOrderState =
  "armed" | "waiting" | "sent" | "done" | "unconfirmed" | "refused" | "not_sent" | "unknown" | "stopped";

export interface MeterOrder {
  number: number;
  meter: string;
  name: string;
  place: string;
  t: string;
  who: string;
  kind: MeterOrderKind;
  text: string;
  reason: string;
  state: MeterOrderState;
  due: string;
  sent: string | null;
  answer: string | null;
  read_back: {
    output: boolean | null;
    control: "open" | "closed" | "ready" | null;
    text: string | null;
    at: string;
  } | null;
  ended: string | null;
}

export interface MeterOrders {
  total: number;
  rows: MeterOrder[];
}

export interface DryRun {
  as_of: string;
  name: string;
  place: string;
  confirm: string;
  possible: boolean;
  why_not: string | null;
  steps: string[];
  client: number;
  last_read: string | null;
  failing: string | null;
  breaker: "open" | "closed" | "ready" | null;
  breaker_at: string | null;
  draws_w: number | null;
  draws_at: string | null;
  armed_s: number;
  second_person: boolean;
  disconnections: number;
  disconnections_max: number;
}

export type CampaignStep = "waiting" | "receiving" | "asked" | "verified" | "active" | "failed";
export type CampaignReason = "unreachable" | "refused" | "not_verified" | "not_activated" | "lost";

/** How many meters are at which step. */
export interface CampaignCounts extends Record<CampaignStep, number> {
  meters: number;
}

export interface CampaignImage {
  model: string;
  identifier: string;
  version: number;
  length: number;
}

export interface CampaignRow {
  id: number;
  name: string;
  created: string;
  ended: string | null;
  phase: string;
  state: StateName;
  state_text: string;
  image: CampaignImage;
  counts: CampaignCounts;
}

export interface CampaignList {
  total: number;
  offset: number;
  rows: CampaignRow[];
}

export interface CampaignBound {
  blocks: number;
  pass_s: number;
  passes_s: number;
  rounds_s: number;
  repair_s: number;
  alone_s: number;
  bound_s: number;
  factor: number;
  unicast_s: number;
}

/** What a segment is like. */
export interface CampaignLine {
  medium: string;
  credit: number;
  hops: number;
  loss_permille: number;
}

/** A signed image that the head end keeps. */
export interface FirmwareImage extends CampaignImage {
  /** The SHA-256 of all its octets. */
  id: string;
  uploaded: string;
  signature: "verified" | "unchecked" | "refused";
  campaigns: number[];
}

export interface FirmwareImages {
  most: number;
  rows: FirmwareImage[];
}

/** A campaign to plan, and with the last four fields to begin. */
export interface NewCampaign {
  image_id: string;
  meters?: string[];
  endpoint?: string;
  feeder?: string;
  q?: string;
  skip: ("silent" | "no_broadcast_key")[];
  settings: {
    rings: number[];
    soak_s: number;
    failures_permille: number;
    pace_ms?: number;
    line?: CampaignLine;
  };
  reason?: string;
  confirm?: string;
  plan?: string;
  as_of?: string;
}

export type PlanReason = "no_keys" | "in_campaign" | "runs_it" | "newer" | "no_broadcast_key" | "silent";

export interface PlanMeter {
  id: string;
  name: string;
  place: string;
  firmware: string | null;
  reason: PlanReason | null;
  campaign: number | null;
}

/** What a campaign would come to. */
export interface CampaignPlan {
  as_of: string;
  plan: string;
  name: string;
  image: CampaignImage;
  image_id: string;
  chosen: number;
  meters: number;
  out: { reason: PlanReason; meters: number }[];
  left_out: PlanMeter[];
  silent: number;
  unknown_version: number;
  rings: { permille: number; meters: number }[];
  first: PlanMeter[];
  shared: number;
  alone: number;
  groups: {
    endpoint: string;
    meters: number;
    shares: boolean;
    blocks: number;
    bound: CampaignBound | null;
  }[];
  allowed_s: number | null;
  soak_s: number;
  line_pace_ms: number | null;
}

export interface CampaignGroup {
  endpoint: string;
  phase: "initiating" | "broadcasting" | "asking" | "repairing" | "finishing" | "done";
  meters: number;
  blocks_sent: number;
  blocks_blind: number;
  began: string | null;
  taken_s: number | null;
  bound: CampaignBound | null;
}

export interface CampaignRing {
  permille: number;
  state: "todo" | "soaking" | "run" | "done" | "stopped";
  begins: string | null;
  counts: CampaignCounts;
}

export interface Campaign extends CampaignRow {
  settings: {
    passes: number;
    parallel: number;
    tries: number;
    retry_s: number;
    rings: number[];
    soak_s: number;
    failures_permille: number;
    pace_ms: number;
    broadcast_from: number;
    line: CampaignLine | null;
  };
  /** Why it was begun, where that was said. */
  reason: string | null;
  progress: CampaignCounts & {
    ring: number | null;
    rings: CampaignRing[];
    blocks_sent: number;
    blocks_blind: number;
    rounds: { meters: number; reads: number; most_of_one: number }[];
    groups: CampaignGroup[];
  };
  reasons: { reason: CampaignReason; meters: number; counts: boolean }[];
  failed: { name: string; reason: CampaignReason }[];
}

export interface CampaignMeter {
  id: string;
  name: string;
  place: string;
  endpoint: string;
  ring: number;
  step: CampaignStep;
  reason: CampaignReason | null;
  tries: number;
  next_try: string | null;
  told: boolean;
  busy: boolean;
  bitmaps: [number, number];
}

export interface CampaignMeters {
  total: number;
  offset: number;
  rows: CampaignMeter[];
}
