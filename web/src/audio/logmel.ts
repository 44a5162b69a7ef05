// The log-mel spectrogram on the lane's GPU device.

import { SHADERS, filterSpans, hannWindow, sizes, waveTable, type Cut, type Workgroup } from "./spectrogram";

type Buffers = readonly GPUBuffer[];
type Floats = Float32Array<ArrayBuffer>;

/** A pass: its entry, the bindings that it uses, and how many rows it has. */
interface Pass {
  readonly entry: string;
  readonly bindings: readonly number[];
  readonly rows: number;
}

interface Plan {
  readonly key: string;
  readonly buffers: Buffers;
  readonly readback: GPUBuffer;
  readonly passes: readonly Pass[];
  readonly pipelines: Map<string, readonly GPUComputePipeline[]>;
}

const BANDS = 9; // the bindings of `bands` and `peak`, as the shaders number them
const PEAK = 10;

/** Makes spectrograms on one device. The buffers of the latest cut are kept, and the pipelines of each workgroup. */
export class LogMel {
  readonly #module: GPUShaderModule;
  #plan: Plan | undefined;

  constructor(private readonly device: GPUDevice) {
    this.#module = device.createShaderModule({ label: "log-mel", code: SHADERS });
  }

  /** Return the spectrogram, mels by frames. `filters` are mels by bins. */
  async make(samples: Floats, filters: Floats, cut: Cut, workgroup: Workgroup): Promise<Floats> {
    const { frames, groups, rows } = sizes(cut);
    const plan = this.#planFor(cut);
    const pipelines = await this.#pipelinesFor(plan, workgroup);
    const recording = samples.subarray(0, cut.length);
    const { queue } = this.device;
    const settings = [recording.length, cut.length, cut.hop, cut.bins, cut.mels, frames, groups, rows];
    const given = [Uint32Array.from(settings), recording, hannWindow(cut.bins), undefined, filters];
    for (const [binding, data] of given.entries()) if (data !== undefined) queue.writeBuffer(plan.buffers[binding]!, 0, data);
    queue.writeBuffer(plan.buffers[5]!, 0, filterSpans(filters, cut.mels, cut.bins));
    queue.submit([this.#encode(plan, pipelines, groups, workgroup)]);
    await plan.readback.mapAsync(GPUMapMode.READ);
    const wide = new Float32Array(plan.readback.getMappedRange().slice(0));
    plan.readback.unmap();
    return frames === 4 * groups ? wide : narrow(wide, cut.mels, frames, 4 * groups);
  }

  #encode(plan: Plan, pipelines: readonly GPUComputePipeline[], groups: number, [wide, high]: Workgroup): GPUCommandBuffer {
    const encoder = this.device.createCommandEncoder();
    // The peak only grows: that of a louder recording before would hide this one's.
    encoder.clearBuffer(plan.buffers[PEAK]!);
    const pass = encoder.beginComputePass();
    plan.passes.forEach(({ bindings, rows }, index) => {
      const pipeline = pipelines[index]!;
      // An automatic layout holds only what its entry uses, so each pass has a group of its own.
      const entries = bindings.map((binding) => ({ binding, resource: { buffer: plan.buffers[binding]! } }));
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, this.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
      pass.dispatchWorkgroups(Math.ceil(groups / wide), Math.ceil(rows / high));
    });
    pass.end();
    encoder.copyBufferToBuffer(plan.buffers[BANDS]!, 0, plan.readback, 0, plan.readback.size);
    return encoder.finish();
  }

  #planFor(cut: Cut): Plan {
    const key = JSON.stringify([cut.length, cut.hop, cut.mels, cut.bins]);
    if (this.#plan?.key === key) return this.#plan;
    for (const buffer of this.#plan === undefined ? [] : [...this.#plan.buffers, this.#plan.readback]) buffer.destroy();
    const { groups, rows, columns } = sizes(cut);
    const waves = waveTable(cut);
    const { length, mels, bins } = cut;
    // In floats, by binding: settings, samples, window, waves, filters, spans, even, odd, power, bands, peak.
    const lengths = [8, length, bins, waves.length, mels * bins, 2 * mels, 4 * rows * groups, 4 * rows * groups];
    lengths.push(4 * bins * groups, 4 * mels * groups, 1);
    const storage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = (size: number, usage: number) => this.device.createBuffer({ size: 4 * size, usage });
    const buffers = lengths.map((size, at) =>
      buffer(size, at === 0 ? GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST : storage),
    );
    this.device.queue.writeBuffer(buffers[3]!, 0, waves);
    const readback = buffer(4 * mels * groups, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    const passes: Pass[] = [
      { entry: "fold", bindings: [0, 1, 2, 6, 7], rows },
      { entry: "transform", bindings: [0, 3, 6, 7, 8], rows: columns },
      { entry: "mel", bindings: [0, 4, 5, 8, BANDS, PEAK], rows: mels },
      { entry: "level", bindings: [0, BANDS, PEAK], rows: mels },
    ];
    return (this.#plan = { key, buffers, readback, passes, pipelines: new Map() });
  }

  async #pipelinesFor(plan: Plan, [wide, high]: Workgroup): Promise<readonly GPUComputePipeline[]> {
    const key = `${wide}x${high}`;
    const known = plan.pipelines.get(key);
    if (known !== undefined) return known;
    const pipelines = await Promise.all(
      plan.passes.map(({ entry }) =>
        this.device.createComputePipelineAsync({
          label: `log-mel ${entry} ${key}`,
          layout: "auto",
          compute: { module: this.#module, entryPoint: entry, constants: { wide, high } },
        }),
      ),
    );
    plan.pipelines.set(key, pipelines);
    return pipelines;
  }
}

/** Return the first of each row's values. */
export function narrow(wide: Floats, rows: number, count: number, width: number): Floats {
  const narrowed = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++) narrowed.set(wide.subarray(row * width, row * width + count), row * count);
  return narrowed;
}
