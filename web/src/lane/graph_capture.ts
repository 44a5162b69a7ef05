// A graph whose run the GPU records once and then replays: the same shaders over the same buffers, whatever they hold.

import { makeFeeds, namesOf, readOutputs, type Feeds, type Outputs } from "../runtime/names";
import { RUN_OPTIONS, type Runtime, type Session } from "../runtime/runtime";

type Tensor = InstanceType<Runtime["Tensor"]>;

interface Place {
  readonly buffer: GPUBuffer;
  readonly tensor: Tensor;
}

/** Counts the bind groups that a device makes: a run that is replayed makes none, any other one for each shader. */
class BindGroups {
  static readonly #of = new WeakMap<GPUDevice, BindGroups>();
  count = 0;

  static of(device: GPUDevice): BindGroups {
    const known = this.#of.get(device) ?? new BindGroups(device);
    this.#of.set(device, known);
    return known;
  }

  private constructor(device: GPUDevice) {
    const make = device.createBindGroup.bind(device);
    device.createBindGroup = (descriptor) => {
      this.count += 1;
      return make(descriptor);
    };
  }
}

const whole = (nbytes: number) => Math.max(16, Math.ceil(nbytes / 16) * 16); // what the runtime's own buffers are rounded to

/**
 * A session made with graph capture, and its inputs' buffers.
 *
 * Inputs are written into buffers that stay the same, since a replay reads those that it was recorded with. Outputs
 * stay in the GPU's memory, in buffers that the session keeps; they are read from there after each run.
 */
export class CapturedGraph {
  readonly #places = new Map<string, Place>();
  readonly #groups: BindGroups;
  /** Whether the last run was replayed, which the first cannot be. */
  replayed = false;

  constructor(
    private readonly ort: Runtime,
    private readonly device: GPUDevice,
    private readonly session: Session,
  ) {
    this.#groups = BindGroups.of(device);
  }

  /** Run, and return the outputs wanted, on the CPU. All are made each time: the first run fixes which there are. */
  async run(feeds: Feeds, wanted: readonly string[] | null): Promise<Outputs> {
    const fixed = makeFeeds();
    for (const [name, tensor] of Object.entries(feeds)) fixed[name] = this.#write(name, tensor);
    const before = this.#groups.count;
    const results = await this.session.run(fixed, RUN_OPTIONS);
    this.replayed = this.#groups.count === before;
    const sent = [...readOutputs(results, wanted ?? namesOf(this.session))];
    const values = await Promise.all(sent.map(([, value]) => value.getData()));
    const outputs = new Map<string, Tensor>();
    // The runtime's own types pair every dtype with its array, as the tensor that they were read from does.
    sent.forEach(([name, { type, dims }], at) => outputs.set(name, new this.ort.Tensor(type, values[at] as never, dims)));
    for (const value of Object.values(results)) value.dispose();
    return outputs;
  }

  /** Release the inputs' buffers. The session is another's to release. */
  release(): void {
    for (const { buffer } of this.#places.values()) buffer.destroy();
    this.#places.clear();
  }

  #write(name: string, { type, dims, data }: Tensor): Tensor {
    const { buffer: memory, byteOffset, byteLength } = data as Uint8Array;
    const place = this.#places.get(name) ?? this.#make(name, type, dims, byteLength);
    const bytes = new Uint8Array(memory, byteOffset, byteLength);
    if (byteLength % 4 === 0) this.device.queue.writeBuffer(place.buffer, 0, bytes as Uint8Array<ArrayBuffer>);
    else {
      const padded = new Uint8Array(whole(byteLength)); // the GPU takes words only
      padded.set(bytes);
      this.device.queue.writeBuffer(place.buffer, 0, padded);
    }
    return place.tensor;
  }

  #make(name: string, type: Tensor["type"], dims: readonly number[], nbytes: number): Place {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = this.device.createBuffer({ label: `webinfer input ${name}`, size: whole(nbytes), usage });
    const tensor = this.ort.Tensor.fromGpuBuffer(buffer, { dataType: type as "float32", dims });
    const place = { buffer, tensor };
    this.#places.set(name, place);
    return place;
  }
}
