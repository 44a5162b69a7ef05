// Tensors that stay on the lane: outputs of one run that are inputs of the next, such as a decoder's keys and values, and
// inputs that are the same in each, such as what it was told at first.

import { CodedError } from "../wire/errors";
import type { KeptTensor, Run } from "../wire/messages";
import type { Feeds, Outputs } from "../runtime/names";
import type { Runtime } from "../runtime/runtime";

type Tensor = InstanceType<Runtime["Tensor"]>;

/** The kept tensors of one lane, by handle. A handle is the host's to choose, and names one tensor until it is freed. */
export class Residents {
  readonly #tensors = new Map<string, Tensor>();

  get size(): number {
    return this.#tensors.size;
  }

  /** Add the kept tensors that a run takes to its inputs. Throws a CodedError where one is not here. */
  feed(message: Run, feeds: Feeds): void {
    for (const [input, handle] of Object.entries(message.feeds)) feeds[input] = this.get(handle);
  }

  /** Return a kept tensor. Throws a CodedError where it is not here. */
  get(handle: string): Tensor {
    const tensor = this.#tensors.get(handle);
    if (tensor !== undefined) return tensor;
    throw new CodedError("backend.handle", `The tensor ${handle} is not on this lane: start over.`, { handle });
  }

  /** Return kept tensors with their data on the CPU, by handle. Throws a CodedError where one is not here. */
  async read(handles: readonly string[]): Promise<[string, Tensor][]> {
    const tensors = handles.map((handle): [string, Tensor] => [handle, this.get(handle)]);
    await Promise.all(tensors.map(([, tensor]) => tensor.getData()));
    return tensors;
  }

  /** Say of what type and size the tensors are that a run kept, where that was asked for. */
  describe({ keep, describe }: Run): { kept?: Record<string, KeptTensor> } {
    if (!describe) return {};
    const handles = Object.values(keep).map((handle) => [handle, this.get(handle)] as const);
    return { kept: Object.fromEntries(handles.map(([handle, { type, dims }]) => [handle, { dtype: type, dims }])) };
  }

  /** Return the outputs that a run must make: those to send and those to keep; undefined for all. */
  wanted({ outputs, keep }: Run, feeds: Feeds): readonly string[] | undefined {
    if (outputs === null) return undefined;
    return [...new Set([...outputs, ...Object.keys(keep).filter((name) => !Object.hasOwn(feeds, name))])];
  }

  /** Keep what a run leaves here of its inputs and outputs, release what it names, and return what is to be sent. */
  settle({ outputs, keep, free }: Run, feeds: Feeds, results: Outputs): [string, Tensor][] {
    const sent = [...results].filter(([name]) => !Object.hasOwn(keep, name) || outputs?.includes(name) === true);
    for (const [name, handle] of Object.entries(keep)) {
      const value = feeds[name] ?? results.get(name);
      if (value === undefined) throw new CodedError("input.output", `The model has no output ${name} to keep.`, { name });
      this.#release(handle);
      this.#tensors.set(handle, value);
    }
    // Last, because `free` names tensors of the step before, which this run has read.
    this.free(free);
    return sent;
  }

  free(handles: readonly string[]): void {
    for (const handle of handles) this.#release(handle);
  }

  #release(handle: string): void {
    this.#tensors.get(handle)?.dispose();
    this.#tensors.delete(handle);
  }
}
