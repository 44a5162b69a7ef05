// How fast the adapter computes and moves memory, against one thread of this page's WebAssembly on the same work.
// What an adapter says of itself may be nothing; this it cannot help telling.

import { CodedError } from "../wire/errors";
import type { MeasureAnswer } from "../wire/messages";
import type { Speed } from "../wire/reports";

const FACTOR = 0.999; // x -> FACTOR * x + ADDEND goes to 1 from wherever it starts: the answer can be checked
const ADDEND = 0.001;
const BYTES = 1 << 24; // of each of the triad's three arrays: together more than most caches hold
const GROUP = 64;
const GROUPS = 4096; // threads enough to fill any GPU
const CHAINS = 12; // of vectors that do not wait for each other, which fill a CPU's pipelines
const GROWTH = 8; // at most, from one slice to the next: no slice is much longer than meant
const LONGEST = 80; // ms of a slice, after which Firefox looks at a GPU only every 100 ms

/**
 * Do work in slices that grow until each takes a good part of the time there is, and return the fastest slice's amount
 * per ms. The first slice is short, so that a GPU made in software is not given a real one's work.
 */
export async function fastest(work: (amount: number) => Promise<void> | void, ms: number): Promise<number> {
  const slice = Math.min(LONGEST, ms / 5);
  const start = performance.now();
  let [amount, best] = [1, 0];
  for (;;) {
    const began = performance.now();
    await work(amount);
    const now = performance.now();
    const taken = now - began;
    const last = amount / Math.max(taken, 0.02);
    // A short one tells more of the clock and of the way there than of the work.
    if (taken >= slice / 4) best = Math.max(best, last);
    if (now - start + Math.min(taken, slice) > ms) return best || last;
    amount = Math.max(1, Math.min(2 ** 30, Math.ceil(amount * Math.min(GROWTH, slice / Math.max(taken, 0.02)))));
  }
}

const PLAN = `
struct Plan { rounds: u32, factor: f32, addend: f32, unused: f32 }
@group(0) @binding(0) var<uniform> plan: Plan;
`;
const ARITHMETIC = `${PLAN}
@group(0) @binding(1) var<storage, read_write> results: array<f32>;
@compute @workgroup_size(${GROUP}) fn main(@builtin(global_invocation_id) id: vec3u) {
  let factor = vec4f(plan.factor);
  let addend = vec4f(plan.addend);
  var a = vec4f(0.0, 0.25, 0.5, 0.75) + f32(id.x & 15u);
  var b = a + 1.0;
  var c = a + 2.0;
  var d = a + 3.0;
  for (var round = 0u; round < plan.rounds; round++) {
    a = fma(a, factor, addend);
    b = fma(b, factor, addend);
    c = fma(c, factor, addend);
    d = fma(d, factor, addend);
  }
  results[id.x] = dot(a + b + c + d, vec4f(1.0 / 16.0));
}`;
const TRIAD = `${PLAN}
@group(0) @binding(1) var<storage, read> left: array<vec4f>;
@group(0) @binding(2) var<storage, read> right: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> results: array<vec4f>;
@compute @workgroup_size(${GROUP}) fn main(@builtin(global_invocation_id) id: vec3u) {
  results[id.x] = left[id.x] + plan.factor * right[id.x];
}`;
const OPERATIONS = GROUP * GROUPS * 16 * 2; // of one round of all threads

/** One kernel of a device with its buffers, which it fills with ones. */
class Kernel {
  readonly #pipeline: GPUComputePipeline;
  readonly #bindings: GPUBindGroup;
  readonly #plan: GPUBuffer;
  readonly #buffers: GPUBuffer[];

  constructor(
    private readonly device: GPUDevice,
    code: string,
    sizes: readonly number[],
    private readonly groups: number,
  ) {
    const module = device.createShaderModule({ code });
    this.#pipeline = device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
    this.#plan = device.createBuffer({ size: 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    this.#buffers = sizes.map((size) => {
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
      const buffer = device.createBuffer({ size, usage, mappedAtCreation: true });
      new Float32Array(buffer.getMappedRange()).fill(1);
      buffer.unmap();
      return buffer;
    });
    const entries = [this.#plan, ...this.#buffers].map((buffer, binding) => ({ binding, resource: { buffer } }));
    this.#bindings = device.createBindGroup({ layout: this.#pipeline.getBindGroupLayout(0), entries });
  }

  async run(rounds: number, times = 1): Promise<void> {
    const plan = new ArrayBuffer(16);
    new Uint32Array(plan).set([rounds]);
    new Float32Array(plan).set([FACTOR, ADDEND], 1);
    this.device.queue.writeBuffer(this.#plan, 0, plan);
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(this.#pipeline);
    pass.setBindGroup(0, this.#bindings);
    for (let time = 0; time < times; time++) pass.dispatchWorkgroups(this.groups);
    pass.end();
    this.device.queue.submit([encoder.finish()]);
    await this.device.queue.onSubmittedWorkDone();
  }

  /** Check the first results: a kernel that did something else proves nothing. */
  async check(expected: readonly number[]): Promise<void> {
    const size = 4 * expected.length;
    const copy = this.device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    try {
      const encoder = this.device.createCommandEncoder();
      encoder.copyBufferToBuffer(this.#buffers.at(-1)!, 0, copy, 0, size);
      this.device.queue.submit([encoder.finish()]);
      await copy.mapAsync(GPUMapMode.READ);
      const results = new Float32Array(copy.getMappedRange());
      const wrong = expected.findIndex((value, place) => !(Math.abs((results[place] ?? NaN) - value) <= 1e-3 * Math.abs(value)));
      if (wrong >= 0)
        throw new CodedError(
          "backend.run",
          `The adapter answered ${results[wrong]} to the timed kernel, not ${expected[wrong]}.`,
        );
    } finally {
      copy.destroy();
    }
  }

  destroy(): void {
    for (const buffer of [this.#plan, ...this.#buffers]) buffer.destroy();
  }
}

/** What the arithmetic kernel's first threads end with after so many rounds. */
export function expected(rounds: number): number[] {
  // The fixed point is 1, so that x becomes 1 + (x - 1) * FACTOR ** rounds. A thread's sixteen x have this mean.
  return Array.from({ length: 16 }, (_, thread) => 1 + (thread + 0.375 + 1.5 - 1) * FACTOR ** rounds);
}

async function timeGpu(device: GPUDevice, hasten: () => () => void, ms: number): Promise<Speed> {
  const swiftly = async (running: Promise<void>) => running.finally(hasten());
  const arithmetic = new Kernel(device, ARITHMETIC, [4 * GROUP * GROUPS], GROUPS);
  const triad = new Kernel(device, TRIAD, [BYTES, BYTES, BYTES], BYTES / 16 / GROUP);
  try {
    let rounds = 0;
    const warm = [arithmetic.run(1), triad.run(1)]; // the compilation of shaders is no part of it
    await swiftly(Promise.all(warm).then(() => undefined));
    const operations = await fastest((amount) => swiftly(arithmetic.run((rounds = amount))), ms / 2);
    await swiftly(arithmetic.check(expected(rounds)));
    const moved = await fastest((amount) => swiftly(triad.run(1, amount)), ms / 2);
    await swiftly(triad.check(Array.from({ length: 16 }, () => 1 + FACTOR)));
    return { gflops: (operations * OPERATIONS) / 1e6, gbps: (moved * 3 * BYTES) / 1e6 };
  } finally {
    arithmetic.destroy();
    triad.destroy();
  }
}

interface Loops {
  readonly memory: WebAssembly.Memory;
  arithmetic(rounds: number, start: number): number;
  triad(bytes: number): void;
}

function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)];
}
const sized = (bytes: readonly number[]) => [...leb(bytes.length), ...bytes];
const listed = (...items: readonly (readonly number[])[]) => [...leb(items.length), ...items.flat()];
const single = (value: number) => [0x43, ...new Uint8Array(new Float32Array([value]).buffer)];

/** The same two loops in WebAssembly with vectors, written out in its binary form. */
export function assemble(): Uint8Array<ArrayBuffer> {
  const [I32, F32, V128] = [0x7f, 0x7d, 0x7b];
  const [LOOP, END, BRANCH_IF, EMPTY] = [0x03, 0x0b, 0x0d, 0x40];
  const get = (local: number) => [0x20, local];
  const set = (local: number) => [0x21, local];
  const tee = (local: number) => [0x22, local];
  // Operators of vectors stand behind the prefix 0xfd; all codes are those of the WebAssembly specification.
  const splat = [0xfd, 0x13];
  const add = [0xfd, 0xe4, 0x01];
  const multiply = [0xfd, 0xe6, 0x01];
  const load = (offset: number) => [0xfd, 0x00, 4, ...leb(offset)];
  const store = (offset: number) => [0xfd, 0x0b, 4, ...leb(offset)];

  const chains = Array.from({ length: CHAINS }, (_, chain) => 2 + chain); // locals, behind the two arguments
  const [factor, addend] = [2 + CHAINS, 3 + CHAINS];
  const arithmetic = [
    ...listed([CHAINS + 2, V128]),
    ...chains.flatMap((at) => [...get(1), ...splat, ...(at > 2 ? [...get(at - 1), ...add] : []), ...set(at)]),
    ...[...single(FACTOR), ...splat, ...set(factor), ...single(ADDEND), ...splat, ...set(addend)],
    ...[LOOP, EMPTY],
    ...chains.flatMap((at) => [...get(at), ...get(factor), ...multiply, ...get(addend), ...add, ...set(at)]),
    ...[...get(0), 0x41, 1, 0x6b, ...tee(0), BRANCH_IF, 0, END],
    ...chains.flatMap((at) => [...get(at), ...(at > 2 ? add : [])]),
    ...[0xfd, 0x1f, 0, END],
  ];
  const triad = [
    ...listed([1, I32], [1, V128]),
    ...[...single(FACTOR), ...splat, ...set(2), LOOP, EMPTY],
    ...[...get(1), ...get(1), ...load(BYTES), ...get(1), ...load(2 * BYTES), ...get(2), ...multiply, ...add, ...store(0)],
    ...[...get(1), 0x41, 16, 0x6a, ...tee(1), ...get(0), 0x49, BRANCH_IF, 0, END, END],
  ];
  const named = (name: string, kind: number, index: number) => [...sized([...new TextEncoder().encode(name)]), kind, index];
  const section = (number: number, ...items: readonly (readonly number[])[]) => [number, ...sized(listed(...items))];
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [0x60, ...listed([I32], [F32]), ...listed([F32])], [0x60, ...listed([I32]), ...listed()]),
    ...section(3, [0], [1]),
    ...section(5, [0, ...leb((3 * BYTES) / 65536)]),
    ...section(7, named("arithmetic", 0, 0), named("triad", 0, 1), named("memory", 2, 0)),
    ...section(10, sized(arithmetic), sized(triad)),
  ]);
}

/** Time one thread of WebAssembly, or return null where it has no vectors. */
export async function timeCpu(ms: number): Promise<Speed | null> {
  const bytes = assemble();
  if (!WebAssembly.validate(bytes)) return null;
  const { instance } = await WebAssembly.instantiate(bytes);
  const loops = instance.exports as unknown as Loops;
  new Float32Array(loops.memory.buffer).fill(1);
  let sum = 0;
  const operations = await fastest((amount) => void (sum = loops.arithmetic(amount * 1000, 2)), ms / 2);
  if (!Number.isFinite(sum)) throw new CodedError("backend.run", `WebAssembly answered ${sum} to the timed loop.`);
  const moved = await fastest((amount) => {
    for (let time = 0; time < amount; time++) loops.triad(BYTES);
  }, ms / 2);
  return { gflops: (operations * 1000 * CHAINS * 4 * 2) / 1e6, gbps: (moved * 3 * BYTES) / 1e6 };
}

/** Time a device and one thread of the CPU beside it, in about so many ms. */
export async function timeSpeeds(device: GPUDevice, hasten: () => () => void, ms: number): Promise<MeasureAnswer> {
  const cpu = await timeCpu(ms / 2);
  return { gpu: await timeGpu(device, hasten, ms / 2), cpu };
}
