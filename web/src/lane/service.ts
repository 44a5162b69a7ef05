// What a lane does with messages: loads models, runs them, unloads them, one request after another.

import { CapturedGraph } from "./graph_capture";
import { classify, lostLane, toBystander } from "../runtime/failures";
import { Devices } from "../gpu/devices";
import { CodedError, WireError, asError, toBody, type ErrorBody } from "../wire/errors";
import { fetchModel, type FetchedModel } from "../model/download";
import { Residents } from "./residents";
import { Listener } from "../audio/features";
import {
  readHostToLane,
  type Answers,
  type Captured,
  type HostToLane,
  type LaneToHost,
  type Load,
  type MakeFeatures,
  type Measure,
  type Profile,
  type Read,
  type Run,
  type RunTiming,
  type Unload,
} from "../wire/messages";
import { makeFeeds, namesOf, readOutputs, toRuntime, type Feeds, type Outputs } from "../runtime/names";
import { readPlacement, type RuntimeLog } from "../runtime/placement";
import { Profiler } from "../runtime/profiler";
import { SerialQueue } from "./queue";
import {
  RUN_OPTIONS,
  createSession,
  makeSmallest,
  sessionOptions,
  type Runtime,
  type Session,
  type Target,
} from "../runtime/runtime";
import { ModelStore } from "../model/store";
import { timeSpeeds } from "../gpu/speed";
import { RuntimeTrace } from "../runtime/trace";
import { countOf, packStrings, unpackStrings } from "../wire/strings";
import { decode, isDtype, type Frame, type TensorData, type WireTensor } from "../wire/frames";

type Tensor = InstanceType<Runtime["Tensor"]>;
type Send = (message: LaneToHost, tensors?: readonly WireTensor[], complete?: () => void) => void;

interface Job {
  readonly message: HostToLane;
  readonly tensors: readonly WireTensor[];
  readonly received: number;
  answered: boolean;
}

interface Loaded {
  session: Session;
  /** The build of the runtime that holds it. */
  readonly ort: Runtime;
  readonly gpu: boolean;
  readonly message: Load;
  /** Replays its runs; undefined where they are not recorded. */
  graph?: CapturedGraph | undefined;
  /** Why they are not, where somebody asked for it. */
  refusal?: string | undefined;
}

/** ms with a resolution of 1 us, which is finer than any browser's clock. */
const round = (ms: number) => Math.round(ms * 1000) / 1000;

/** The requests of one lane on one runtime. */
export class LaneService {
  readonly #sessions = new Map<string, Loaded>();
  readonly #devices = new Devices((error) => this.lose(toBody(error, error.code)));
  readonly #queue = new SerialQueue<Job>((job) => this.#start(job));
  readonly #residents = new Residents();
  readonly #listener = new Listener(this.#devices);
  readonly #profiler: Profiler;
  readonly #warm: Promise<unknown>;
  #active: Job | undefined;
  #lost: ErrorBody | undefined;

  constructor(
    private readonly ort: Runtime,
    private readonly access: string,
    private readonly send: Send,
    private readonly log?: RuntimeLog,
    trace = new RuntimeTrace(),
    /** Imports the build for WebAssembly alone, which has the operators of classical machine learning. */
    private readonly plain?: () => Promise<Runtime>,
  ) {
    this.#profiler = new Profiler(ort, this.#devices, access, trace);
    // If it fails, so will the first load, which can tell somebody.
    this.#warm = makeSmallest(ort).catch(() => undefined);
  }

  /** Take one WebSocket message. */
  receive(data: unknown): void {
    const received = performance.now();
    let frame: Frame | undefined;
    try {
      frame = decode(data);
      const job = { message: readHostToLane(frame.header), tensors: frame.tensors, received, answered: false };
      if (this.#lost === undefined) this.#queue.submit(job);
      else this.#fail(job, this.#lost);
    } catch (error) {
      this.send({ kind: "error", id: frame?.header.id ?? 0, error: toBody(error, "protocol.malformed") });
    }
  }

  /** Answer everything asked, now and later, with an error: the device or the runtime is gone. */
  lose(error: ErrorBody): void {
    if (this.#lost !== undefined) return;
    // Set first: a second loss is ignored, and requests that come from now on are refused.
    this.#lost = toBystander(error);
    if (this.#active !== undefined) this.#fail(this.#active, error);
    this.send({ kind: "lost", error }); // before the others, so that theirs are not taken for the reason
    for (const job of this.#queue.clear()) this.#fail(job, this.#lost);
  }

  /** Judge an exception that no promise of the runtime's brought: after a trap, its own promise may never settle. */
  crash(thrown: unknown): void {
    const { body, fatal } = classify(thrown, "run");
    if (!fatal) return;
    if (this.#active !== undefined) this.#fail(this.#active, body);
    this.lose(lostLane(thrown));
  }

  #start(job: Job): Promise<void> | undefined {
    this.#active = job;
    switch (job.message.kind) {
      case "run":
        return this.#run(job, job.message);
      case "load":
        return this.#load(job, job.message).then(undefined, (error: unknown) => this.#judge(job, error, "load"));
      case "features":
        return this.#makeFeatures(job, job.message).catch((error: unknown) => this.#judge(job, error, "run"));
      case "free":
        this.#residents.free(job.message.handles);
        this.#reply(job, job.message, {});
        return undefined;
      case "read":
        return this.#read(job, job.message).then(undefined, (error: unknown) => this.#judge(job, error, "run"));
      case "unload":
        return this.#unload(job, job.message).then(undefined, (error: unknown) => this.#judge(job, error, "load"));
      case "measure":
        return this.#measure(job, job.message).then(undefined, (error: unknown) => this.#judge(job, error, "run"));
      case "profile":
        return this.#profile(job, job.message).then(undefined, (error: unknown) => this.#judge(job, error, "run"));
    }
  }

  async #makeFeatures(job: Job, message: MakeFeatures): Promise<void> {
    const { tensor, timing } = await this.#listener.hear(message, job.tensors, job.received);
    this.#reply(job, message, { timing }, [tensor]);
  }

  async #read(job: Job, message: Read): Promise<void> {
    const tensors = await this.#residents.read(message.handles);
    this.#reply(
      job,
      message,
      {},
      tensors.map(([handle, value]) => toWire(handle, value)),
    );
  }

  async #profile(job: Job, message: Profile): Promise<void> {
    await this.#warm;
    this.#reply(job, message, await this.#profiler.profile(message, job.tensors));
  }

  // The hot path: no async function, one promise of ours beside the runtime's own.
  #run(job: Job, message: Run): Promise<void> | undefined {
    const started = performance.now();
    try {
      const loaded = this.#find(message.session);
      const { session, gpu, ort } = loaded;
      const feeds = makeFeeds();
      // The runtime's own types pair every dtype with its array; the frame's decoder has just done so.
      for (const { name, dtype, data, dims } of job.tensors)
        feeds[name] = new ort.Tensor(dtype, dtype === "string" ? unpackStrings(data as Uint8Array, countOf(dims)) : data, dims);
      this.#residents.feed(message, feeds);
      const wanted = this.#residents.wanted(message, feeds);
      let running: Promise<Outputs>;
      if (loaded.graph !== undefined) running = this.#replay(loaded, loaded.graph, message, feeds);
      else running = runSession(session, feeds, wanted ?? namesOf(session));
      return (gpu ? running.finally(this.#devices.hasten()) : running)
        .then((outputs) => this.#answer(job, message, feeds, started, gpu, outputs))
        .then(undefined, (error: unknown) => this.#judge(job, error, "run"));
    } catch (error) {
      this.#judge(job, error, "run");
      return undefined;
    }
  }

  #answer(job: Job, message: Run, feeds: Feeds, started: number, gpu: boolean, outputs: Outputs): Promise<void> | void {
    const ran = performance.now();
    // WebGPU reports errors beside the run, whose promise resolves all the same: its outputs are wrong then.
    const fault = gpu ? this.#devices.takeFault() : undefined;
    if (fault !== undefined) throw new Error(`The GPU reported: ${fault.message}`);
    const timing: RunTiming = { wait: round(started - job.received), run: round(ran - started), encode: 0 };
    const sent = this.#residents.settle(message, feeds, outputs);
    const away = sent.filter(([, value]) => value.location !== "cpu");
    const finish = () => this.#deliver(job, message, sent, timing, ran);
    return away.length === 0 ? finish() : Promise.all(away.map(([, value]) => value.getData())).then(finish);
  }

  #deliver(job: Job, message: Run, sent: [string, Tensor][], timing: RunTiming, ran: number): void {
    const tensors = sent.map(([name, value]) => toWire(name, value));
    this.#reply(
      job,
      message,
      {
        timing,
        ...replayed(this.#find(message.session)),
        ...this.#bundle(message.session),
        ...this.#residents.describe(message),
      },
      tensors,
      () => (timing.encode = round(performance.now() - ran)),
    );
    // What the host keeps stays; all else would hold memory of the GPU until it is collected.
    for (const [name, value] of sent) if (!Object.hasOwn(message.keep, name)) value.dispose();
  }

  async #load(job: Job, message: Load): Promise<void> {
    if (this.#sessions.has(message.session))
      throw new WireError("protocol.malformed", `The session ${message.session} exists already.`, { session: message.session });
    const target = await this.#devices.obtain(message.backend, message.device);
    const start = performance.now();
    const progress = (done: number, total: number) => {
      if (!job.answered) this.send({ kind: "progress", id: message.id, done, total });
    };
    const store = message.store ? await ModelStore.open() : undefined;
    const files = await fetchModel(message.model, message.external, this.access, progress, store);
    const { nbytes, stored } = files;
    const fetched = performance.now();
    await this.#warm; // the runtime cannot make two sessions at once
    this.log?.open();
    let lines: string[] = [];
    const loaded = await this.#open(files, target, message)
      .catch((error: unknown) => this.#openInPlain(error, target, message))
      .finally(() => (lines = this.log?.close() ?? []));
    const timing = { fetch: round(fetched - start), create: round(performance.now() - fetched) };
    const { session, gpu } = loaded;
    // A buffer that the GPU refused shows only here, and every run would compute with it.
    const fault = gpu ? this.#devices.takeFault() : undefined;
    if (fault !== undefined) {
      await session.release();
      throw new Error(`The GPU reported: ${fault.message}`);
    }
    this.#sessions.set(message.session, loaded);
    const placement = readPlacement(message.backend, lines) ?? null;
    const [inputs, outputs] = [session.inputNames, namesOf(session)];
    this.#reply(job, message, { inputs, outputs, timing, nbytes, stored, placement, ...replayed(loaded) });
  }

  /** Have the build for WebAssembly alone hold a model with operators that the lane's own does not know. */
  async #openInPlain(error: unknown, target: Target, message: Load): Promise<Loaded> {
    const { code } = classify(error, "load").body;
    if (this.plain === undefined || target.backend !== "wasm" || code !== "model.operator") throw error;
    const ort = await this.plain();
    const store = message.store ? await ModelStore.open() : undefined;
    const { model, external } = await fetchModel(message.model, message.external, this.access, () => undefined, store);
    const options = sessionOptions(target, message.dimensions, external, this.log !== undefined);
    return { session: await createSession(ort, model, target, options), ort, gpu: false, message };
  }

  async #open(files: FetchedModel, target: Target, message: Load): Promise<Loaded> {
    const { ort } = this;
    const gpu = target.backend === "webgpu";
    if (!gpu || !message.capture) return { session: await this.#create(files, target, message), ort, gpu, message };
    try {
      // A copy: `#create` empties what it is given, and the second try needs the bytes.
      const session = await this.#create({ ...files }, target, message, true);
      return { session, ort, gpu, message, graph: new CapturedGraph(ort, target.device, session) };
    } catch (error) {
      const refusal = why(error);
      this.log?.open(); // what it said of the first one is not of this one
      return { session: await this.#create(files, target, { ...message, dimensions: {} }), ort, gpu, message, refusal };
    }
  }

  // Not async, and the bytes are taken out of `files`: nothing of ours may hold them while the session is made.
  #create(files: FetchedModel, target: Target, message: Load, capture = false): Promise<Session> {
    const { model, external } = files;
    files.model = new Uint8Array();
    files.external = [];
    const verbose = this.log !== undefined;
    const options = sessionOptions(target, message.dimensions, external, verbose, message.resident, capture);
    return createSession(this.ort, model, target, options);
  }

  /** Run a recorded graph; where it cannot be, make a session that needs no recording, once for all. */
  #replay(loaded: Loaded, graph: CapturedGraph, message: Run, feeds: Feeds): Promise<Outputs> {
    return graph.run(feeds, message.outputs).catch(async (error: unknown) => {
      if (classify(error, "run").fatal) throw error;
      await this.#relinquish(loaded, why(error));
      return runSession(loaded.session, feeds, message.outputs ?? namesOf(loaded.session));
    });
  }

  async #relinquish(loaded: Loaded, refusal: string): Promise<void> {
    // The files are fetched first: if that fails, the session that there is stays whole.
    const message = { ...loaded.message, dimensions: {}, capture: false };
    const target = await this.#devices.obtain(message.backend, message.device);
    const store = message.store ? await ModelStore.open() : undefined;
    const files = await fetchModel(message.model, message.external, this.access, () => undefined, store);
    loaded.graph?.release();
    await loaded.session.release();
    loaded.session = await this.#create(files, target, message);
    loaded.graph = undefined;
    loaded.refusal = refusal;
  }

  async #unload(job: Job, message: Unload): Promise<void> {
    const { session, graph } = this.#find(message.session);
    this.#sessions.delete(message.session);
    graph?.release();
    await session.release();
    this.#reply(job, message, {});
  }

  async #measure(job: Job, message: Measure): Promise<void> {
    const target = await this.#devices.obtain("webgpu", null);
    if (target.backend !== "webgpu") return;
    const speeds = await timeSpeeds(target.device, () => this.#devices.hasten(), message.limit);
    const fault = this.#devices.takeFault();
    if (fault !== undefined) throw new Error(`The GPU reported: ${fault.message}`);
    this.#reply(job, message, speeds);
  }

  /** The build that ran a session, where it is another than the lane's own. */
  #bundle(name: string): { bundle?: "wasm" } {
    return this.#find(name).ort === this.ort ? {} : { bundle: "wasm" };
  }

  #find(name: string): Loaded {
    const loaded = this.#sessions.get(name);
    if (loaded !== undefined) return loaded;
    throw new CodedError("backend.run", `There is no session ${name} on this lane: load the model first.`, { session: name });
  }

  #judge(job: Job, thrown: unknown, phase: "load" | "run"): void {
    const { body, fatal } = classify(thrown, phase);
    this.#fail(job, body);
    if (fatal) this.lose(lostLane(thrown));
  }

  /** Answer a request with what its kind is answered with. */
  #reply<Kind extends HostToLane["kind"]>(
    job: Job,
    message: { readonly kind: Kind; readonly id: number },
    answer: Answers[Kind],
    tensors?: readonly WireTensor[],
    complete?: () => void,
  ): void {
    if (job.answered) return;
    this.send({ kind: "ok", id: message.id, ...answer }, tensors, complete);
    job.answered = true;
  }

  #fail(job: Job, error: ErrorBody): void {
    if (job.answered) return;
    job.answered = true;
    this.send({ kind: "error", id: job.message.id, error });
  }
}

/** What the runtime says against recording, without its error's name. */
function why(error: unknown): string {
  return asError(error)
    .message.replace(/^.*?ERROR_CODE: \d+, ERROR_MESSAGE: /, "")
    .replace(/\s+/g, " ")
    .trim();
}

/** Whether a session's last run was replayed, or why it never is; nothing where nobody asked for it. */
function replayed({ graph, refusal }: Loaded): Captured {
  const captured = graph?.replayed ?? refusal;
  return captured === undefined ? {} : { captured };
}

function runSession(session: Session, feeds: Feeds, names: readonly string[]): Promise<Outputs> {
  return session.run(feeds, names.map(toRuntime), RUN_OPTIONS).then((made) => readOutputs(made, names));
}

function toWire(name: string, value: Tensor): WireTensor {
  const { type, dims, data } = value;
  if (!isDtype(type))
    throw new CodedError(
      "backend.run",
      `The output ${name} is of ${type}, which cannot cross to Python: ask for other outputs.`,
      { name, dtype: type },
    );
  return { name, dtype: type, dims, data: type === "string" ? packStrings(data as string[]) : (data as TensorData) };
}
