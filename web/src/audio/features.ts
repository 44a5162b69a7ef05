// Makes recordings what an audio model hears, on the lane's GPU device.

import type { Devices } from "../gpu/devices";
import { WireError } from "../wire/errors";
import { LogMel } from "./logmel";
import type { MakeFeatures } from "../wire/messages";
import type { WireTensor } from "../wire/frames";

export interface Spectrogram {
  readonly tensor: WireTensor;
  readonly timing: { readonly wait: number; readonly run: number };
}

/** The one maker of spectrograms of a lane, made when it is first needed. */
export class Listener {
  #logMel: LogMel | undefined;

  constructor(private readonly devices: Devices) {}

  /** Return the spectrogram, of shape (1, mels, frames), and the time that it took. */
  async hear(message: MakeFeatures, tensors: readonly WireTensor[], received: number): Promise<Spectrogram> {
    const samples = floats(tensors, "samples", 1);
    const filters = floats(tensors, "filters", 2);
    const [mels, bins] = filters.dims as [number, number];
    const { length, hop, workgroup } = message;
    if (mels < 1 || bins < 2 || length < 2 * bins)
      throw new WireError("protocol.malformed", `Filters of ${mels} x ${bins} do not fit a length of ${length}.`);
    const target = await this.devices.obtain("webgpu", null);
    if (target.backend !== "webgpu") throw new Error("A GPU device was asked for.");
    this.#logMel ??= new LogMel(target.device);
    const started = performance.now();
    const data = await this.#logMel
      .make(samples.data, filters.data, { length, hop, mels, bins }, workgroup)
      .finally(this.devices.hasten());
    const run = performance.now() - started;
    const fault = this.devices.takeFault();
    if (fault !== undefined) throw new Error(`The GPU reported: ${fault.message}`);
    const tensor = { name: "input_features", dtype: "float32" as const, dims: [1, mels, data.length / mels], data };
    return { tensor, timing: { wait: started - received, run } };
  }
}

function floats(tensors: readonly WireTensor[], name: string, rank: number) {
  const tensor = tensors.find((one) => one.name === name);
  if (tensor?.dtype !== "float32" || tensor.dims.length !== rank)
    throw new WireError("protocol.malformed", `A "features" message needs the tensor ${name}, float32 of rank ${rank}.`);
  return { data: tensor.data as Float32Array<ArrayBuffer>, dims: tensor.dims };
}
