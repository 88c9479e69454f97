/* The part of proto/gnomon/v1 that the page shows, as the API writes it: enums by name, 64-bit
 * numbers as numbers, absent messages left out. */
export type ResourceName =
  | "CPU" | "MEMORY" | "NETWORK_RX" | "NETWORK_TX" | "DISK_READ" | "DISK_WRITE" | "DISK_OPERATIONS";

export interface Session {
  account: string;
  role: "VIEWER" | "OPERATOR" | "ADMIN";
  csrf: string;
}

export interface Allocation {
  vcpus: number;
  vcpus_maximum: number;
  memory_bytes: number;
  memory_maximum_bytes: number;
}

export interface Ledger {
  cpu_capacity_milli: number;
  cpu_promised_milli: number;
  memory_capacity_bytes: number;
  memory_promised_bytes: number;
}

export interface CardStatus {
  version: string;
  board: string;
  started_us: number;
  now_us: number;
  shim_connected: boolean;
  shim_error: string;
  dataplane_connected: boolean;
  dataplane_error: string;
  host?: {
    hostname: string; hypervisor: string; libvirt_version: string; cpus: number; memory_bytes: number;
    memory_free_bytes: number; shim_version: string; kvm: boolean;
  };
  dataplane?: { version: string; workers: number; mbufs_total: number; mbufs_free: number; fdb_entries: number };
  ledger?: Ledger;
  samples: number;
  samples_lost: number;
  forecasts: number;
  store_bytes: number;
  store_error: string;
  vms: number;
  shadows: number;
  plans_pending: number;
}

export interface Demand {
  resource: ResourceName;
  value: number;
  allocated: number;
  source: string;
  source_reason: string;
}

export interface ResourcePolicy {
  resource: ResourceName;
  quantile_milli: number;
  horizon_us: number;
  minimum: number;
  maximum: number;
  step: number;
  headroom_milli: number;
  dead_band_milli: number;
  cooldown_us: number;
  shrink_after_us: number;
  max_change: number;
}

export type Mode = "OFF" | "FORECAST_ONLY" | "ENFORCE";

export interface Policy {
  name: string;
  mode: Mode;
  resources: ResourcePolicy[];
}

export interface Port {
  name: string;
  counters?: { rx_packets: number; tx_packets: number; rx_bytes: number; tx_bytes: number };
}

export interface Volume {
  name: string;
  vm: string;
  path: string;
  size_bytes: number;
  counters?: { reads: number; writes: number; read_bytes: number; write_bytes: number; errors: number };
  mirror_status?: { state: string; message: string; lag_bytes: number; lag_us: number; point_us: number };
}

export interface Vm {
  name: string;
  state: string;
  allocation?: Allocation;
  ports: Port[];
  volumes: Volume[];
  demands: Demand[];
  policy?: Policy;
  shadow: string;
  last_sample_us: number;
  note: string;
}

export interface Forecast {
  resource: ResourceName;
  horizon_us: number;
  p50: number;
  p90: number;
  p95: number;
  p99: number;
  period_us: number;
  history: number;
  error_ratio_q16: number;
  trusted: boolean;
  reason: string;
  explanation: string;
  observed: number;
  scored: number;
  change: string;
}

export interface ForecastSet {
  vm: string;
  made_us: number;
  forecasts: Forecast[];
}

export interface Point {
  wall_us: number;
  mean: number;
  maximum: number;
  allocated: number;
  forecast_p95: number;
}

export interface History {
  interval_us: number;
  points: Point[];
}

export interface Action {
  kind: string;
  vm: string;
  from: number;
  to: number;
  at_us: number;
  result?: { code: string; message: string };
}

export interface Plan {
  name: string;
  vm: string;
  state: string;
  created_us: number;
  updated_us: number;
  expires_us: number;
  reason: string;
  actions: Action[];
  must_move: boolean;
  inputs?: {
    resource: ResourceName; observed: number; predicted: number; quantile_milli: number; horizon_us: number;
    allocated: number; target: number; uncapped_target: number; bound_by: string; host_free: number;
    history: number; error_ratio_q16: number;
  };
}

export interface Lag {
  bytes: number;
  writes: number;
  us: number;
  resync_left_bytes: number;
  resync_done_bytes: number;
}

export interface Shadow {
  name: string;
  vm: string;
  state: string;
  reason: string;
  domain: string;
  created_us: number;
  disk_point_us: number;
  run_point_us: number;
  made_by: string;
  runs: boolean;
  armed: boolean;
  lag?: Lag;
  disks: { name: string; path: string }[];
  mirror?: { name: string };
}

export interface Mirror {
  name: string;
  vm: string;
  counters?: { seen: number; copied: number; filtered: number; sampled_out: number; dropped: number };
}

export interface Snapshot {
  name: string;
  created_us: number;
  point_us: number;
  automatic: boolean;
  size_bytes: number;
  reflink: boolean;
}

export interface Hazard {
  vm: string;
  made_us: number;
  horizons: { horizon_us: number; probability_q16: number; strongest: string }[];
  signs: { name: string; level_q8: number; detail: string }[];
}

export interface Alert {
  name: string;
  kind: string;
  state: string;
  resource: string;
  subject: string;
  text: string;
  raised_us: number;
  expected_us: number;
  probability_milli: number;
}

export interface Guest {
  vm: string;
  sampled_us: number;
  note: string;
  sample?: {
    state: string;
    kernel_release: string;
    top: { pid: number; name: string; cpu_milli: number; rss_bytes: number; read_bytes: number; write_bytes: number }[];
  };
}

export interface Model {
  role: string;
  name: string;
  serial: number;
  trees: number;
  since_us: number;
  decision: string;
}

export interface CardEvent {
  id: number;
  wall_us: number;
  kind: string;
  resource: string;
  text: string;
}

export interface AuditEntry {
  number: number;
  at_us: number;
  kind: string;
  who: string;
  resource: string;
  text: string;
  request: string;
  outcome: string;
  previous: string;
}

/* Lines are AuditEntry as text: their bytes are what the chain is made of. */
export interface AuditPage {
  lines: string[];
  total: number;
  trouble: string;
}
