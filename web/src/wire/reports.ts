// What pages and lanes tell of a browser and of a session. The Python package has the same types, and a test compares them.

export type Engine = "chromium" | "firefox" | "webkit";
export type Backend = "webgpu" | "webnn" | "wasm";
export type DeviceType = "cpu" | "gpu" | "npu";

export interface AdapterReport {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly type: string;
  readonly backend: string;
  readonly driver: string;
  readonly is_fallback: boolean;
  readonly subgroup_min_size: number | null;
  readonly subgroup_max_size: number | null;
}

export interface WebGpuReport {
  readonly available: boolean;
  readonly error: string | null;
  readonly adapter: AdapterReport | null;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

export interface ContextReport {
  readonly ok: boolean;
  readonly error: string | null;
}

export interface WebNnReport {
  readonly available: boolean;
  readonly error: string | null;
  readonly contexts: Readonly<Partial<Record<DeviceType, ContextReport>>>;
}

export interface WasmReport {
  readonly simd: boolean;
  readonly threads: boolean;
  readonly jspi: boolean;
}

/** What a page tells of its browser. Strings are empty where it says nothing. */
export interface CapabilityReport {
  readonly user_agent: string;
  readonly engine: Engine;
  readonly engine_version: string;
  readonly platform: string;
  readonly hardware_concurrency: number;
  readonly device_memory: number | null;
  readonly cross_origin_isolated: boolean;
  readonly secure_context: boolean;
  readonly wasm: WasmReport;
  readonly webgpu: WebGpuReport;
  readonly webnn: WebNnReport;
}

/** Where the nodes of a session went, after the runtime's own rewriting of the graph. */
export interface Placement {
  /** Nodes by backend; a backend that we have no name for goes by the runtime's. */
  readonly nodes: Readonly<Record<string, number>>;
  /** Nodes that did not go to the backend asked for, by operator. */
  readonly fallen: Readonly<Record<string, number>>;
  /** Nodes that the runtime added to copy tensors between backends. */
  readonly copies: number;
  /** Graphs that a backend compiled nodes into, one for each run of nodes that it can take; WebNN alone does so. */
  readonly graphs: number;
}

/** Arithmetic in 10^9 operations a second, a multiplication and an addition being two, and memory moved in GB/s. */
export interface Speed {
  readonly gflops: number;
  readonly gbps: number;
}

/** Where the time of a run went, in ms. */
export interface Phases {
  /** Making the input tensors, copying them into the runtime's memory, handing them to the device. */
  readonly upload: number;
  readonly run: number;
  /** Taking the outputs from the device and from the runtime's memory. */
  readonly readback: number;
  readonly total: number;
}

/** An operator's nodes in one run. */
export interface Operator {
  readonly operator: string;
  /** The execution provider, by the runtime's name. */
  readonly provider: string;
  readonly nodes: number;
  /** In its kernels; null where the runtime does not tell: it waits for nothing when it hands work to a device. */
  readonly ms: number | null;
}
