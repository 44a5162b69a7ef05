// Chooses, imports and configures ONNX Runtime Web.

import type * as Ort from "onnxruntime-web";

import { classify } from "./failures";
import { renameOutputs } from "./names";
import type { Bundle, DeviceType, RuntimeInfo } from "../wire/messages";

export type Runtime = typeof Ort;
export type Session = Ort.InferenceSession;
export type SessionOptions = Ort.InferenceSession.SessionOptions;

const FILES: Record<Bundle, string> = {
  jspi: "ort.jspi.bundle.min.mjs",
  asyncify: "ort.webgpu.bundle.min.mjs",
  wasm: "ort.wasm.bundle.min.mjs",
};

const LOG_LEVEL = 3; // errors only
const EVERYTHING = 0;

/** What a browser has, as far as the choice of a bundle needs it. */
export interface Abilities {
  readonly jspi: boolean;
  readonly gpu: boolean;
  readonly ml: boolean;
}

/** Return the bundle for a browser: JSPI costs a run no more than plain WebAssembly, Asyncify twice as much. */
export function chooseBundle(abilities: Abilities): Bundle {
  if (abilities.jspi) return "jspi";
  return abilities.gpu || abilities.ml ? "asyncify" : "wasm";
}

export function findAbilities(): Abilities {
  return { jspi: "Suspending" in WebAssembly, gpu: "gpu" in navigator, ml: "ml" in navigator };
}

/** Return how many of the threads asked for there can be: they share memory, which WebKit denies even isolated pages. */
export function countThreads(
  asked: number,
  scope: { readonly crossOriginIsolated?: boolean; readonly SharedArrayBuffer?: unknown } = globalThis,
): number {
  const sharing = scope.crossOriginIsolated === true && scope.SharedArrayBuffer !== undefined;
  return sharing ? Math.max(1, Math.floor(asked)) : 1;
}

/**
 * Import the runtime.
 *
 * Its paths are left alone on purpose: then a bundle uses the loader inside it, takes its .wasm from beside itself,
 * and no further file is fetched.
 */
export async function importRuntime(
  threads: number,
  bundle = chooseBundle(findAbilities()),
): Promise<{ ort: Runtime; info: RuntimeInfo }> {
  const url = `/runtime/${FILES[bundle]}`;
  const ort = (await import(url)) as Runtime;
  const usable = countThreads(threads);
  ort.env.wasm.numThreads = usable;
  ort.env.logLevel = "error";
  return {
    ort,
    info: { name: "onnxruntime-web", version: ort.env.versions.web ?? ort.env.versions.common, bundle, threads: usable },
  };
}

// y = Identity(x), of one float: the smallest model there is.
const SMALLEST = "CAcSADo3ChAKAXgSAXkiCElkZW50aXR5EgFnWg8KAXgSCgoICAESBAoCCAFiDwoBeRIKCggIARIECgIIAUIECgAQDQ==";

/**
 * Make and release the smallest session.
 *
 * That starts the runtime's WebAssembly, which it would do only for the first model, after that has been fetched. And
 * it puts the runtime right after a WebNN session that could not be made: the runtime then still holds its context,
 * hands it to the next session, whichever backend that is for, and refuses to run the WebNN sessions made before.
 */
export async function makeSmallest(ort: Runtime, target: Target = { backend: "wasm" }): Promise<void> {
  const model = Uint8Array.from(atob(SMALLEST), (byte) => byte.charCodeAt(0));
  const session = await ort.InferenceSession.create(model, sessionOptions(target, {}, []));
  await session.release();
}

/** What the backend runs on: a GPUDevice, an MLContext, or nothing. */
export type Target =
  | { readonly backend: "webgpu"; readonly device: GPUDevice }
  | { readonly backend: "webnn"; readonly context: object; readonly deviceType: DeviceType | null }
  | { readonly backend: "wasm" };

/**
 * Make a session's options. The one execution provider asked for is the only one named. `verbose`: log everything.
 * `capture`: have the GPU record its run.
 */
export function sessionOptions(
  target: Target,
  dimensions: Readonly<Record<string, number>>,
  external: { path: string; data: Uint8Array }[],
  verbose = false,
  resident: readonly string[] = [],
  capture = false,
): SessionOptions {
  return {
    executionProviders: [provider(target)],
    graphOptimizationLevel: "all",
    logSeverityLevel: verbose ? EVERYTHING : LOG_LEVEL,
    freeDimensionOverrides: dimensions,
    externalData: external,
    ...(target.backend === "webgpu" && resident.length > 0 ? { preferredOutputLocation: inGpu(resident) } : {}),
    ...(capture ? { enableGraphCapture: true, preferredOutputLocation: "gpu-buffer" as const } : {}),
  };
}

/** Make a session, and leave the runtime as it was if that fails; see `makeSmallest`. */
export function createSession(ort: Runtime, model: Uint8Array, target: Target, options: SessionOptions): Promise<Session> {
  const creating = ort.InferenceSession.create(model, options).then(renameOutputs);
  const recover = async (error: unknown): Promise<never> => {
    if (!classify(error, "load").fatal) await makeSmallest(ort, target).catch(() => undefined);
    throw error;
  };
  return target.backend === "webnn" ? creating.catch(recover) : creating;
}

// Without a prototype, since the runtime looks every output up in it.
const inGpu = (names: readonly string[]) =>
  Object.assign(Object.create(null) as object, Object.fromEntries(names.map((name) => [name, "gpu-buffer" as const])));

function provider(target: Target): Ort.InferenceSession.ExecutionProviderConfig {
  switch (target.backend) {
    case "webgpu":
      return { name: "webgpu", device: target.device };
    case "webnn":
      return {
        name: "webnn",
        context: target.context,
        ...(target.deviceType === null ? {} : { deviceType: target.deviceType }),
      };
    case "wasm":
      return "wasm";
  }
}

export const RUN_OPTIONS: Ort.InferenceSession.RunOptions = { logSeverityLevel: LOG_LEVEL };
