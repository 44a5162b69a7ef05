// What the runtime tells of a run, and only when asked: marks of its JavaScript, and the profile of its kernels, which
// `operators.ts` reads. It writes both to the console, from where they are taken.

import type { Phases } from "../wire/reports";

type Writer = (...data: unknown[]) => void;

interface Scope {
  log: Writer;
  time(label?: string): void;
  timeEnd(label?: string): void;
  timeStamp?: ((label?: string) => void) | undefined;
}

/** A moment between two steps of a run, by the runtime's name of the step. */
export interface Mark {
  readonly step: string;
  readonly end: boolean;
  readonly at: number;
}

const PREFIX = "ORT::";
const WRITTEN = /^(?:\{"cat" :|[[\]]$)/; // the profile is JSON, a line for each event

/** The runtime's traces and profiles. Made before the runtime is imported, which keeps its console. */
export class RuntimeTrace {
  #lines: string[] | undefined;
  #marks: Mark[] | undefined;

  constructor(private readonly scope: Scope = console) {
    const write = scope.log.bind(scope);
    scope.log = (...data) => {
      const line = data[0];
      if (this.#lines === undefined || typeof line !== "string" || !WRITTEN.test(line)) write(...data);
      else this.#lines.push(line);
    };
    for (const [name, end] of [
      ["time", false],
      ["timeEnd", true],
    ] as const) {
      const time = scope[name].bind(scope);
      scope[name] = (label?: string) => {
        if (this.#marks === undefined || label?.startsWith(PREFIX) !== true) time(label);
        else this.#marks.push({ step: label.slice(PREFIX.length), end, at: performance.now() });
      };
    }
  }

  /** Return the profile that the runtime writes during this. */
  profile(written: () => void): string[] {
    const lines: string[] = (this.#lines = []);
    try {
      written();
    } finally {
      this.#lines = undefined;
    }
    return lines;
  }

  /** Return what this does, and the marks that the runtime sets meanwhile. `env`: the runtime's, by which it is told to. */
  async mark<T>(env: { trace?: boolean }, done: () => Promise<T>): Promise<{ value: T; marks: Mark[] }> {
    const marks: Mark[] = (this.#marks = []);
    const before = env.trace ?? false;
    const stamp = this.scope.timeStamp;
    this.scope.timeStamp = () => undefined; // the runtime stamps its functions as well, even where a console cannot
    env.trace = true;
    try {
      return { value: await done(), marks };
    } finally {
      env.trace = before;
      this.scope.timeStamp = stamp;
      this.#marks = undefined;
    }
  }
}

const UPLOADED = ["wasm bindInputsOutputs", "wasm prepareInputOutputTensor"]; // the first is missing where nothing is bound
const COMPUTED = "wasm ProcessOutputTensor";

/**
 * Split a run by the runtime's marks. Returns undefined where it set none.
 *
 * `start` is before the tensors were made, `returned` when the runtime gave the outputs, `settled` when the device had
 * computed them, and `end` when they had been read.
 */
export function splitRun(
  marks: readonly Mark[],
  { start, returned, settled, end }: { start: number; returned: number; settled: number; end: number },
): Phases | undefined {
  const uploaded = UPLOADED.map((step) => marks.find((mark) => mark.end && mark.step === step)).find(
    (mark) => mark !== undefined,
  );
  const computed = marks.find((mark) => !mark.end && mark.step === COMPUTED);
  if (uploaded === undefined || computed === undefined) return undefined;
  // A GPU computes on after the runtime has returned, so both stretches count as computing.
  const run = computed.at - uploaded.at + (settled - returned);
  const readback = returned - computed.at + (end - settled);
  return { upload: uploaded.at - start, run, readback, total: end - start };
}
