// Measures where a model's time goes: a session of its own is made for it, run some times, and released.

import type { Devices } from "../gpu/devices";
import { fetchModel } from "../model/download";
import type { Profile, ProfileAnswer } from "../wire/messages";
import { readOperators } from "./operators";
import { createSession, sessionOptions, type Runtime, type Session, type SessionOptions, type Target } from "./runtime";
import { ModelStore } from "../model/store";
import { splitRun, type RuntimeTrace } from "./trace";
import type { WireTensor } from "../wire/frames";
import type { Phases } from "../wire/reports";

type Outputs = Awaited<ReturnType<Session["run"]>>;

/** The part of WebNN's context that its types do not have yet. */
interface Reader {
  readTensor(tensor: object): Promise<ArrayBuffer>;
}

/** The measurements of one lane. */
export class Profiler {
  constructor(
    private readonly ort: Runtime,
    private readonly devices: Devices,
    private readonly access: string,
    private readonly trace: RuntimeTrace,
  ) {}

  /** Run a model once, then until `runs` or `limit` ms are reached, once at least, and tell of these. */
  async profile(message: Profile, tensors: readonly WireTensor[]): Promise<ProfileAnswer> {
    const target = await this.devices.obtain(message.backend, message.device);
    const session = await this.#create(message, target);
    const release = this.devices.hasten();
    const work = message.operators ? this.#operators(session, message, tensors) : this.#phases(session, target, message, tensors);
    // The session is released whatever happens: a second copy of the model must not stay on the lane.
    const [outcome] = await Promise.allSettled([work]);
    release();
    await session.release();
    // What the GPU reported explains a failure, and spoils an answer.
    const fault = target.backend === "webgpu" ? this.devices.takeFault() : undefined;
    if (fault !== undefined) throw new Error(`The GPU reported: ${fault.message}`);
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  }

  async #create(message: Profile, target: Target): Promise<Session> {
    const store = message.store ? await ModelStore.open() : undefined;
    const { model, external } = await fetchModel(message.model, message.external, this.access, () => undefined, store);
    const options = { ...sessionOptions(target, message.dimensions, external), ...measured(message, target) };
    return createSession(this.ort, model, target, options);
  }

  async #phases(session: Session, target: Target, message: Profile, tensors: readonly WireTensor[]): Promise<ProfileAnswer> {
    const phases: Phases[] = [];
    const runs = await this.#repeat(message, async (counts) => {
      const one = await this.#measure(session, target, tensors);
      if (counts && one !== undefined) phases.push(one);
    });
    // Where the marks of one run are missing, those of the others are not typical.
    return { phases: phases.length === runs - 1 ? phases : [], operators: [] };
  }

  async #operators(session: Session, message: Profile, tensors: readonly WireTensor[]): Promise<ProfileAnswer> {
    const runs = await this.#repeat(message, async () => {
      const outputs = await session.run(this.#feeds(tensors));
      for (const output of Object.values(outputs)) output.dispose();
    });
    const lines = this.trace.profile(() => session.endProfiling());
    return { phases: [], operators: readOperators(lines, runs) };
  }

  /** Return how often it was run. */
  async #repeat({ runs, limit }: Profile, run: (counts: boolean) => Promise<void>): Promise<number> {
    await run(false);
    const start = performance.now();
    let done = 1;
    do {
      await run(true);
      done += 1;
    } while (done <= runs && performance.now() - start < limit);
    return done;
  }

  async #measure(session: Session, target: Target, tensors: readonly WireTensor[]): Promise<Phases | undefined> {
    const start = performance.now();
    const { value, marks } = await this.trace.mark(this.ort.env, () => session.run(this.#feeds(tensors)));
    const returned = performance.now();
    const outputs = Object.values(value);
    const [settled, end] = await read(outputs, target);
    for (const output of outputs) output.dispose();
    return splitRun(marks, { start, returned, settled, end });
  }

  #feeds(tensors: readonly WireTensor[]): Parameters<Session["run"]>[0] {
    return Object.fromEntries(
      tensors.map(({ name, dtype, data, dims }) => [name, new this.ort.Tensor(dtype, data as never, dims)]),
    );
  }
}

// Outputs stay on the device while phases are measured: only then can computing be told from reading.
function measured({ operators }: Profile, target: Target): SessionOptions {
  if (operators) return { enableProfiling: true };
  if (target.backend === "wasm") return {};
  return { preferredOutputLocation: target.backend === "webgpu" ? "gpu-buffer" : "ml-tensor" };
}

/** Return when the device had computed the outputs, and when they had been read. */
async function read(outputs: readonly Outputs[string][], target: Target): Promise<[settled: number, end: number]> {
  if (target.backend === "webgpu") {
    await target.device.queue.onSubmittedWorkDone();
    const settled = performance.now();
    await Promise.all(outputs.map((output) => output.getData()));
    return [settled, performance.now()];
  }
  const start = performance.now();
  if (target.backend === "wasm") return [start, start];
  // WebNN says of nothing when it is computed. So outputs are read twice: the second reading waits for nothing else.
  const context = target.context as Reader;
  const tensors = outputs.filter((output) => output.location === "ml-tensor");
  const once = () => Promise.all(tensors.map((output) => context.readTensor(output.mlTensor)));
  await once();
  const end = performance.now();
  await once();
  return [Math.max(start, end - (performance.now() - end)), end];
}
