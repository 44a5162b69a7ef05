// What the backends run on: the lane's one GPU device, and a WebNN context per type of device.

import { CodedError, asError } from "../wire/errors";
import type { Backend, DeviceType } from "../wire/messages";
import { needsNudging, nudge } from "./nudge";
import type { Target } from "../runtime/runtime";

interface MlNavigator {
  readonly ml?: { createContext(options?: { deviceType?: DeviceType }): Promise<object> };
}

export type Lost = (error: CodedError) => void;

const FEATURES: readonly string[] = ["shader-f16", "subgroups", "timestamp-query", "chromium-experimental-subgroup-matrix"];

// Browsers have listed these among the limits, though they are facts about an adapter that nobody may request.
const FACTS: readonly string[] = ["minSubgroupSize", "maxSubgroupSize"];

export function unavailable(backend: Backend, why: string): CodedError {
  const message = `This browser cannot run ${backend}: ${why}. Choose another backend or browser; \`webinfer doctor\` lists what each can do.`;
  return new CodedError("backend.unavailable", message, { backend });
}

/** Return every limit of an adapter or device by name. */
export function readLimits(limits: GPUSupportedLimits): Record<string, number> {
  const values: Record<string, number> = {};
  for (const name in limits) {
    const value: unknown = limits[name as keyof GPUSupportedLimits];
    if (typeof value === "number") values[name] = value;
  }
  return values;
}

/** Return the adapter to use, by the same choice in page and lanes, or null. */
export function requestAdapter(gpu: GPU): Promise<GPUAdapter | null> {
  return gpu.requestAdapter({ powerPreference: "high-performance" });
}

async function requestDevice(): Promise<GPUDevice> {
  const gpu = navigator.gpu as GPU | undefined;
  if (gpu === undefined) throw unavailable("webgpu", "it has no WebGPU (navigator.gpu)");
  try {
    const adapter = await requestAdapter(gpu);
    if (adapter === null) throw unavailable("webgpu", "it offers no GPU adapter");
    // The default limits are small (128 MiB per binding): models need what the adapter really allows.
    const limits = Object.entries(readLimits(adapter.limits)).filter(([name]) => !FACTS.includes(name));
    return await adapter.requestDevice({
      label: "webinfer",
      requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[],
      requiredLimits: Object.fromEntries(limits),
    });
  } catch (error) {
    throw error instanceof CodedError
      ? error
      : unavailable("webgpu", `its GPU device could not be had (${asError(error).message})`);
  }
}

async function createContext(type: DeviceType | null): Promise<object> {
  const ml = (navigator as MlNavigator).ml;
  if (ml === undefined) throw unavailable("webnn", "it has no WebNN (navigator.ml)");
  try {
    return await ml.createContext(type === null ? {} : { deviceType: type });
  } catch (error) {
    throw unavailable("webnn", `no context for ${type ?? "any device"} could be made (${asError(error).message})`);
  }
}

/** The devices of one lane, made when first needed and kept: the runtime can use only one GPU device in its life. */
export class Devices {
  #gpu: GPUDevice | undefined;
  #contexts = new Map<DeviceType | null, object>();
  #fault: GPUError | undefined;

  constructor(private readonly lost: Lost) {}

  /** Return what a backend runs on. Throws a CodedError `backend.unavailable`. */
  async obtain(backend: Backend, type: DeviceType | null): Promise<Target> {
    switch (backend) {
      case "webgpu":
        // A lane does one thing after another, so no second device is requested while this one is awaited.
        return { backend, device: (this.#gpu ??= this.#watch(await requestDevice())) };
      case "webnn": {
        const context = this.#contexts.get(type) ?? (await createContext(type));
        this.#contexts.set(type, context);
        return { backend, context, deviceType: type };
      }
      case "wasm":
        return { backend };
    }
  }

  /** Return and forget the GPU error that nobody was told of, if there was one: the numbers computed since are wrong. */
  takeFault(): GPUError | undefined {
    const fault = this.#fault;
    this.#fault = undefined;
    return fault;
  }

  /** Make the GPU answer as soon as it can, until the function returned is called. */
  hasten(): () => void {
    return this.#gpu !== undefined && needsNudging(navigator.userAgent) ? nudge(this.#gpu) : () => undefined;
  }

  #watch(device: GPUDevice): GPUDevice {
    // The first error is the cause; the others follow from it.
    device.addEventListener("uncapturederror", (event) => (this.#fault ??= event.error));
    void device.lost.then(({ reason, message }) => {
      const why = message === "" ? reason : `${reason}: ${message}`;
      this.lost(new CodedError("lost.device", `The GPU device was lost (${why}).`, { reason }));
    });
    return device;
  }
}
