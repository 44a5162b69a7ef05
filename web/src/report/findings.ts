// What Python gathered from the database; see src/webinfer/metrics/report/findings.py. Times are in seconds.

export interface Key {
  model_name: string | null;
  backend: string | null;
  precision: string | null;
  browser_name: string | null;
}

export interface Configuration extends Key {
  label: string;
  weights: string | null;
  verdict: string | null;
  engine_version: string | null;
  model_mb: number | null;
  requests: number;
  items: number;
  failed: number;
  recovered: number;
  lanes: number;
  batch: number;
  throughput: number | null;
  p5: number;
  p25: number;
  p50: number;
  p75: number;
  p95: number;
  p99: number;
  slowest: number;
  run_p50: number;
  queue: number;
  wait: number;
  transfer: number;
  run_time: number;
}

export interface Bin extends Key {
  bin: number;
  count: number;
}

export interface Moment {
  t: number;
  step: number;
  answered: number;
  failed: number;
  throughput: number | null;
  p50: number | null;
  p95: number | null;
}

export interface Load extends Key {
  loads: number;
  failed: number;
  seconds: number | null;
  fetch: number | null;
  create: number | null;
  mb: number | null;
  kept: number | null;
}

export interface First extends Key {
  first: number;
  later: number;
  sessions: number;
}

export interface Level extends Key {
  level: number;
  throughput: number;
  windows: number;
  source: string;
}

export interface Accuracy extends Key {
  reference: string | null;
  metric: string;
  value: number | null;
  threshold: number | null;
  passed: boolean | null;
  mb: number | null;
}

export interface Sample {
  t: number;
  queued: number;
  running: number;
  lanes: number;
  busy: number;
  browser_mb: number | null;
  python_mb: number | null;
}

export interface Judged {
  browser_name: string;
  engine_version: string | null;
  backend: string;
  verdict: string;
  evidence: string[] | null;
  adapter: string | null;
}

export interface Placed extends Key {
  placement: { nodes: Record<string, number>; fallen?: Record<string, number>; copies?: number; graphs?: number };
}

export interface Failure {
  error_code: string;
  model_name: string | null;
  backend: string | null;
  times: number;
  example: string | null;
}

export interface Fault {
  kind: string;
  code: string;
  times: number;
  retried: number;
  example: string | null;
}

export interface Recovery {
  kind: string;
  times: number;
  seconds: number | null;
  slowest: number | null;
}

export interface Benched extends Key {
  level: number;
  verdict: string | null;
  time: number | null;
  low: number | null;
  high: number | null;
  scope: string | null;
  throughput: number | null;
  native: number | null;
  over_native: number | null;
  over_low: number | null;
  over_high: number | null;
  cold: number | null;
  warm: number | null;
  cached: number | null;
  first: number | null;
  mb: number | null;
  difference: number | null;
}

export interface Earlier extends Key {
  run_p50: number;
  earlier_run_p50: number;
  p50: number;
  earlier_p50: number;
  change: number | null;
  requests: number;
  earlier_requests: number;
  earlier: string;
  earlier_version: string | null;
  earlier_revision: string | null;
}

export interface Run {
  started: string | null;
  ended: string | null;
  version: string | null;
  revision: string | null;
  requests: number;
  dropped: number | null;
  options: Record<string, unknown> | null;
}

export interface Connection {
  browser_name: string;
  connection_id: string | null;
  browser_version: string | null;
  connection_success: boolean;
  connection_duration_sec: number | null;
  models_executed: number;
  error_count: number;
  adapter_info: string | null;
}

export interface Findings {
  written: string;
  path: string;
  machine: string;
  notes: string[];
  method: string[];
  summary: {
    requests: number;
    answered: number;
    failed: number;
    recovered: number;
    items: number;
    busy: number | null;
    first: string | null;
    last: string | null;
    p50: number | null;
    p95: number | null;
    p99: number | null;
    runs: number;
    started: number;
  };
  runs: Run[];
  configurations: Configuration[];
  distributions: Bin[];
  timeline: Moment[];
  loads: Load[];
  first: First[];
  scaling: Level[];
  accuracy: Accuracy[];
  memory: Sample[];
  browsers: Connection[];
  verdicts: Judged[];
  placement: Placed[];
  failures: Failure[];
  faults: Fault[];
  recoveries: Recovery[];
  benched: Benched[];
  earlier: Earlier[];
}

/** Say what tells one key from the others; what is the same in all is left out. */
export function labeller(rows: readonly Key[]): (row: Key) => string {
  const parts = ["model_name", "backend", "precision", "browser_name"] as const;
  const telling = parts.filter((part) => new Set(rows.map((row) => row[part])).size > 1);
  const used = telling.length ? telling : (["model_name", "backend"] as const);
  return (row) =>
    used
      .map((part) => row[part])
      .filter(Boolean)
      .join(" · ");
}
