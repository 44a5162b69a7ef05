// Every message between host, page and lane, as discriminated unions, and the checks that make one of a frame's header.

import { WireError, type ErrorBody } from "./errors";
import type { Backend, CapabilityReport, DeviceType, Engine, Operator, Phases, Placement, Speed } from "./reports";

export type { Backend, DeviceType } from "./reports";

export const PROTOCOL = 4;

export type Bundle = "jspi" | "asyncify" | "wasm";

export interface FileSource {
  readonly url: string;
  readonly nbytes: number;
}

export interface ExternalSource extends FileSource {
  readonly path: string;
}

export interface RuntimeInfo {
  readonly name: string;
  readonly version: string;
  readonly bundle: Bundle;
  readonly threads: number;
}

/** A decoded header whose kind and id are checked and whose other fields are not yet. */
export type Header = Readonly<Record<string, unknown>> & { readonly kind: string; readonly id: number };

// ---- answers, from page and lane alike ----

export interface LoadTiming {
  readonly fetch: number;
  readonly create: number;
}

/** `encode` is set once the frame is made. */
export interface RunTiming {
  readonly wait: number;
  readonly run: number;
  encode?: number;
}

/** Whether a session's last run was replayed, or why none will be; only where capture was asked for. */
export type Captured = { readonly captured?: boolean | string };

export type LoadAnswer = Captured & {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly timing: LoadTiming;
  readonly nbytes: number;
  readonly stored: number;
  readonly placement: Placement | null;
};

/** A tensor that stays on the lane. */
export interface KeptTensor {
  readonly dtype: string;
  readonly dims: readonly number[];
}

export type RunAnswer = Captured & {
  readonly timing: RunTiming;
  /** What was kept, by handle, where that was asked for. */
  readonly kept?: Readonly<Record<string, KeptTensor>>;
  /** The build of the runtime that ran it, where it is another than the lane's own. */
  readonly bundle?: Bundle;
};

export type MeasureAnswer = {
  readonly gpu: Speed;
  /** Null where WebAssembly has no vectors. */
  readonly cpu: Speed | null;
};

export type ProfileAnswer = {
  /** The parts of each run but the first; empty where the runtime did not tell. */
  readonly phases: readonly Phases[];
  /** The nodes that each run had, by operator; empty where they were not asked for. */
  readonly operators: readonly Operator[];
};

/** The answer to each request, beside its kind and its id. */
export interface Answers {
  start_lane: { readonly lane: string };
  stop_lane: object;
  load: LoadAnswer;
  run: RunAnswer;
  unload: object;
  free: object;
  read: object;
  features: { readonly timing: RunTiming };
  measure: MeasureAnswer;
  profile: ProfileAnswer;
}

export type Ok<Kind extends keyof Answers> = { readonly kind: "ok"; readonly id: number } & Answers[Kind];
export type Failure = { readonly kind: "error"; readonly id: number; readonly error: ErrorBody };

// ---- page ----

export type Welcome = { kind: "welcome"; browser: string; heartbeat: number; patience: number | null; max_message_bytes: number };
export type StartLane = {
  kind: "start_lane";
  id: number;
  lane: string;
  token: string;
  access: string;
  threads: number;
  max_message_bytes: number;
};
export type StopLane = { kind: "stop_lane"; id: number; lane: string };
export type HostToPage = Welcome | StartLane | StopLane | { kind: "ping" } | { kind: "goodbye" };

export type PageToHost =
  | { kind: "hello"; protocol: number; role: "page"; user_agent: string; engine: Engine; engine_version: string }
  | { kind: "capabilities"; capabilities: CapabilityReport }
  | { kind: "lane_failed"; lane: string; error: ErrorBody }
  | { kind: "pong" }
  | Ok<"start_lane" | "stop_lane">
  | Failure;

// ---- lane ----

export type Load = {
  kind: "load";
  id: number;
  session: string;
  backend: Backend;
  model: FileSource;
  external: readonly ExternalSource[];
  dimensions: Readonly<Record<string, number>>;
  device: DeviceType | null;
  store: boolean;
  /** Outputs that WebGPU leaves in its own memory, since later runs take them from there. */
  resident: readonly string[];
  /** Have the GPU record a run and replay it, if the runtime can. */
  capture: boolean;
};
/** Names of inputs or outputs, and the handles of tensors that stay on the lane. */
export type Handles = Readonly<Record<string, string>>;
export type Run = {
  kind: "run";
  id: number;
  session: string;
  outputs: readonly string[] | null;
  feeds: Handles;
  keep: Handles;
  free: readonly string[];
  /** Have the answer say what was kept. */
  describe: boolean;
};
export type Unload = { kind: "unload"; id: number; session: string };
export type Free = { kind: "free"; id: number; handles: readonly string[] };
/** Send tensors that stay on the lane, each named by its handle. */
export type Read = { kind: "read"; id: number; handles: readonly string[] };
/** Make `samples` a log-mel spectrogram, with the mel filters `filters`, in workgroups of this shape. */
export type MakeFeatures = { kind: "features"; id: number; length: number; hop: number; workgroup: readonly [number, number] };
/** Time the GPU device against the CPU, in about `limit` ms. */
export type Measure = { kind: "measure"; id: number; limit: number };
/** Measure a model in a session of its own: the parts of a run, or with `operators` each operator's time. */
export type Profile = Omit<Load, "kind" | "session" | "resident" | "capture"> & {
  kind: "profile";
  operators: boolean;
  /** Runs that count, at most. */
  runs: number;
  /** ms after which no further run begins. */
  limit: number;
};
export type HostToLane = Load | Run | Unload | Free | Read | MakeFeatures | Measure | Profile;

export type LaneToHost =
  | { kind: "hello"; protocol: number; role: "lane"; lane: string; runtime: RuntimeInfo }
  | { kind: "progress"; id: number; done: number; total: number | null }
  | { kind: "lost"; error: ErrorBody }
  | Ok<HostToLane["kind"]>
  | Failure;

// ---- page and its workers, by postMessage ----

export type WorkerStart = Omit<StartLane, "kind" | "id">;
export type WorkerEvent = { type: "started" } | { type: "failed"; error: ErrorBody };

// ---- reading ----

function malformed(header: Header, field: string, expected: string): WireError {
  return new WireError("protocol.malformed", `A "${header.kind}" message needs ${expected} as its ${field}.`, { field });
}

function text(header: Header, field: string): string {
  const value = header[field];
  if (typeof value !== "string" || value === "") throw malformed(header, field, "a string");
  return value;
}

function positive(header: Header, field: string): number {
  const value = header[field];
  if (typeof value !== "number" || !(value > 0)) throw malformed(header, field, "a number above 0");
  return value;
}

function request(header: Header): number {
  if (header.id === 0) throw malformed(header, "id", "a whole number above 0");
  return header.id;
}

function source(header: Header, field: string, value: unknown): FileSource {
  const file = (value ?? {}) as Partial<Record<keyof FileSource, unknown>>;
  if (typeof file.url !== "string" || !Number.isSafeInteger(file.nbytes) || (file.nbytes as number) < 0)
    throw malformed(header, field, "{url, nbytes}");
  return { url: file.url, nbytes: file.nbytes as number };
}

function external(header: Header): ExternalSource[] {
  const value = header["external"] ?? [];
  if (!Array.isArray(value)) throw malformed(header, "external", "a list");
  return value.map((entry: unknown) => {
    const path = (entry as { path?: unknown } | null)?.path;
    if (typeof path !== "string") throw malformed(header, "external", "a list of {path, url, nbytes}");
    return { path, ...source(header, "external", entry) };
  });
}

function dimensions(header: Header): Record<string, number> {
  const value = header["dimensions"] ?? {};
  const whole = (size: unknown) => Number.isSafeInteger(size) && (size as number) >= 0;
  if (typeof value !== "object" || Array.isArray(value) || !Object.values(value).every(whole))
    throw malformed(header, "dimensions", "an object of whole numbers");
  return value as Record<string, number>;
}

function oneOf<T extends string>(header: Header, field: string, allowed: readonly T[]): T {
  const value = header[field];
  if (!allowed.includes(value as T)) throw malformed(header, field, `one of ${allowed.join(", ")}`);
  return value as T;
}

function names(header: Header, field: string): readonly string[] {
  const value = header[field] ?? [];
  if (!Array.isArray(value) || !value.every((name) => typeof name === "string"))
    throw malformed(header, field, "a list of names");
  return value;
}

function handles(header: Header, field: string): Handles {
  const value = header[field] ?? {};
  if (typeof value !== "object" || Array.isArray(value) || !Object.values(value).every((one) => typeof one === "string"))
    throw malformed(header, field, "an object of handles");
  return value as Handles;
}

function run(header: Header): Run {
  const outputs = (header["outputs"] ?? null) === null ? null : names(header, "outputs");
  const keep = handles(header, "keep");
  if (outputs?.length === 0 && Object.keys(keep).length === 0) throw malformed(header, "outputs", "null or a list of names");
  return {
    kind: "run",
    id: request(header),
    session: text(header, "session"),
    outputs,
    feeds: handles(header, "feeds"),
    keep,
    free: names(header, "free"),
    describe: header["describe"] === true,
  };
}

function whole(header: Header, field: string, value: unknown = header[field]): number {
  if (!Number.isSafeInteger(value) || (value as number) < 1) throw malformed(header, field, "whole numbers above 0");
  return value as number;
}

/** Read what a session is made of. */
function files(header: Header): Omit<Load, "kind" | "session" | "resident" | "capture"> {
  return {
    id: request(header),
    backend: oneOf(header, "backend", ["webgpu", "webnn", "wasm"]),
    model: source(header, "model", header["model"]),
    external: external(header),
    dimensions: dimensions(header),
    device: (header["device"] ?? null) === null ? null : oneOf<DeviceType>(header, "device", ["cpu", "gpu", "npu"]),
    store: header["store"] === true,
  };
}

function profile(header: Header): Profile {
  const runs = whole(header, "runs");
  return { kind: "profile", operators: header["operators"] === true, runs, limit: positive(header, "limit"), ...files(header) };
}

function features(header: Header): MakeFeatures {
  const shape = header["workgroup"];
  if (!Array.isArray(shape) || shape.length !== 2) throw malformed(header, "workgroup", "two whole numbers");
  const [wide, high] = shape.map((size: unknown) => whole(header, "workgroup", size)) as [number, number];
  const [length, hop] = [whole(header, "length"), whole(header, "hop")];
  if (hop > length) throw malformed(header, "hop", "no more than its length");
  return { kind: "features", id: request(header), length, hop, workgroup: [wide, high] };
}

function unknownKind(header: Header, receiver: string): WireError {
  return new WireError("protocol.kind", `A ${receiver} does not take "${header.kind}" messages.`, { kind: header.kind });
}

/** Check a header that the host sent to a page. Throws a WireError. */
export function readHostToPage(header: Header): HostToPage {
  switch (header.kind) {
    case "ping":
    case "goodbye":
      return { kind: header.kind };
    case "welcome":
      return {
        kind: "welcome",
        browser: text(header, "browser"),
        heartbeat: positive(header, "heartbeat"),
        patience: header["patience"] === null ? null : positive(header, "patience"),
        max_message_bytes: positive(header, "max_message_bytes"),
      };
    case "start_lane":
      return {
        kind: "start_lane",
        id: request(header),
        lane: text(header, "lane"),
        token: text(header, "token"),
        access: text(header, "access"),
        threads: positive(header, "threads"),
        max_message_bytes: positive(header, "max_message_bytes"),
      };
    case "stop_lane":
      return { kind: "stop_lane", id: request(header), lane: text(header, "lane") };
    default:
      throw unknownKind(header, "page");
  }
}

/** Check a header that the host sent to a lane. Throws a WireError. */
export function readHostToLane(header: Header): HostToLane {
  switch (header.kind) {
    case "run":
      return run(header);
    case "load":
      return {
        kind: "load",
        session: text(header, "session"),
        resident: names(header, "resident"),
        capture: header["capture"] === true,
        ...files(header),
      };
    case "unload":
      return { kind: "unload", id: request(header), session: text(header, "session") };
    case "free":
    case "read":
      return { kind: header.kind, id: request(header), handles: names(header, "handles") };
    case "features":
      return features(header);
    case "measure":
      return { kind: "measure", id: request(header), limit: positive(header, "limit") };
    case "profile":
      return profile(header);
    default:
      throw unknownKind(header, "lane");
  }
}
