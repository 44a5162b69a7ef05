// Finds out what this browser is and can do. Strings are empty where it says nothing.

import { readLimits, requestAdapter } from "../gpu/devices";
import { asError } from "../wire/errors";
import type {
  AdapterReport,
  CapabilityReport,
  ContextReport,
  DeviceType,
  Engine,
  WebGpuReport,
  WebNnReport,
} from "../wire/reports";

export interface Identity {
  readonly engine: Engine;
  readonly version: string;
}

interface UserAgentData {
  readonly platform: string;
  getHighEntropyValues(hints: string[]): Promise<{ fullVersionList?: { brand: string; version: string }[] }>;
}

type Browser = Navigator & {
  readonly userAgentData?: UserAgentData;
  readonly deviceMemory?: number;
  readonly ml?: { createContext(options: { deviceType: DeviceType }): Promise<{ destroy?(): void }> };
};

// From https://github.com/GoogleChromeLabs/wasm-feature-detect: a function that returns i8x16.popcnt(i8x16.splat(0)),
// and one that does an i32.atomic.load of a shared memory.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
const THREADS = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 5, 4, 1, 3, 1, 1, 10, 11, 1, 9, 0, 65, 0, 254, 16, 2, 0, 26, 11,
];

/** Tell the engine and its version from a user agent string. */
export function identify(userAgent: string): Identity {
  const version = (pattern: RegExp) => pattern.exec(userAgent)?.[1] ?? "";
  if (userAgent.includes("Firefox/")) return { engine: "firefox", version: version(/Firefox\/([\d.]+)/) };
  const chromium = version(/(?:Headless)?(?:Chrome|Chromium)\/([\d.]+)/);
  if (chromium !== "") return { engine: "chromium", version: chromium };
  return { engine: "webkit", version: version(/Version\/([\d.]+)/) || version(/AppleWebKit\/([\d.]+)/) };
}

/** Name the platform. An empty hint says nothing, and some browsers give no other than the deprecated one. */
function platformOf(browser: Browser): string {
  const hint = browser.userAgentData?.platform;
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- Firefox and WebKit have no successor of it
  return hint === undefined || hint === "" ? browser.platform : hint;
}

/** Like `identify`, but with the whole version where the user agent string holds a shortened one. */
export async function identifyFully(browser: Browser = navigator): Promise<Identity> {
  const identity = identify(browser.userAgent);
  const values = await browser.userAgentData?.getHighEntropyValues(["fullVersionList"]);
  const major = identity.version.split(".")[0] ?? "";
  const full = values?.fullVersionList?.find(({ brand, version }) => brand.includes("Chrom") && version.startsWith(`${major}.`));
  return full === undefined ? identity : { ...identity, version: full.version };
}

async function reportGpu(browser: Browser): Promise<WebGpuReport> {
  const none = (error: string): WebGpuReport => ({ available: false, error, adapter: null, features: [], limits: {} });
  const gpu = browser.gpu as GPU | undefined;
  if (gpu === undefined) return none("the browser has no WebGPU");
  try {
    const adapter = await requestAdapter(gpu);
    if (adapter === null) return none("the browser offers no GPU adapter");
    const features = [...adapter.features].map(String).sort();
    return { available: true, error: null, adapter: reportAdapter(adapter), features, limits: readLimits(adapter.limits) };
  } catch (error) {
    return none(asError(error).message);
  }
}

function reportAdapter(adapter: GPUAdapter): AdapterReport {
  const info = (adapter as unknown as { info?: Partial<Record<string, unknown>> }).info ?? {}; // older browsers have none
  const text = (name: string) => (typeof info[name] === "string" ? info[name] : "");
  const size = (name: string) => (typeof info[name] === "number" && info[name] > 0 ? info[name] : null);
  const older = (adapter as { isFallbackAdapter?: boolean }).isFallbackAdapter;
  return {
    vendor: text("vendor"),
    architecture: text("architecture"),
    device: text("device"),
    description: text("description"),
    type: text("type"),
    backend: text("backend"),
    driver: text("driver"),
    is_fallback: Boolean(info["isFallbackAdapter"] ?? older ?? false),
    subgroup_min_size: size("subgroupMinSize"),
    subgroup_max_size: size("subgroupMaxSize"),
  };
}

async function reportMl(browser: Browser): Promise<WebNnReport> {
  const context = async (type: DeviceType): Promise<ContextReport> => {
    if (browser.ml === undefined) return { ok: false, error: "the browser has no WebNN" };
    try {
      const trial = await browser.ml.createContext({ deviceType: type });
      trial.destroy?.();
      return { ok: true, error: null };
    } catch (error) {
      return { ok: false, error: asError(error).message };
    }
  };
  const [cpu, gpu, npu] = await Promise.all([context("cpu"), context("gpu"), context("npu")]);
  const available = cpu.ok || gpu.ok || npu.ok;
  return { available, error: available ? null : cpu.error, contexts: { cpu, gpu, npu } };
}

/** Report everything that the host may want to know about this browser. */
export async function reportCapabilities(browser: Browser = navigator): Promise<CapabilityReport> {
  const [identity, webgpu, webnn] = await Promise.all([identifyFully(browser), reportGpu(browser), reportMl(browser)]);
  const validate = (bytes: number[]) => typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(bytes));
  return {
    user_agent: browser.userAgent,
    engine: identity.engine,
    engine_version: identity.version,
    platform: platformOf(browser),
    hardware_concurrency: browser.hardwareConcurrency,
    device_memory: browser.deviceMemory ?? null,
    cross_origin_isolated: globalThis.crossOriginIsolated,
    secure_context: globalThis.isSecureContext,
    wasm: {
      simd: validate(SIMD),
      threads: globalThis.crossOriginIsolated && typeof SharedArrayBuffer === "function" && validate(THREADS),
      jspi: "Suspending" in WebAssembly,
    },
    webgpu,
    webnn,
  };
}
