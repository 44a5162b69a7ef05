// Names of inputs and outputs are the model's to choose, those of JavaScript's own among them: what holds tensors by name
// has no prototype, or is a Map.

import type { Runtime, Session } from "./runtime";

type Tensor = InstanceType<Runtime["Tensor"]>;
type RuntimeOutputs = Awaited<ReturnType<Session["run"]>>;

/** Tensors by input, without a prototype. */
export type Feeds = Record<string, Tensor>;

/** Tensors by output, in the order of the names asked for, or else in the model's. */
export type Outputs = ReadonlyMap<string, Tensor>;

// The runtime gathers outputs in plain objects, where assigning this name sets the object's prototype.
const LOST = "__proto__";
const ALIAS = "\0__proto__"; // no name in a file: they reach the runtime as text that ends at \0

export const makeFeeds = (): Feeds => Object.create(null) as Feeds;

/** Have a session call an output that its own objects cannot hold by another name. */
export function renameOutputs(session: Session): Session {
  const { handler } = session as unknown as { readonly handler: { outputNames: readonly string[] } };
  if (session.outputNames.includes(LOST)) handler.outputNames = session.outputNames.map(toRuntime);
  return session;
}

/** Return a session's outputs as the model calls them. */
export const namesOf = (session: Session): string[] => session.outputNames.map(toModel);

/** Return a name as the runtime knows it. */
export const toRuntime = (name: string): string => (name === LOST ? ALIAS : name);

/** Return outputs by the model's names, in the order of `names`: an object's own puts numbers first. */
export function readOutputs(results: RuntimeOutputs, names: Iterable<string>): Map<string, Tensor> {
  const outputs = new Map<string, Tensor>();
  for (const name of names) {
    const known = toRuntime(name);
    if (Object.hasOwn(results, known)) outputs.set(name, results[known]!);
  }
  return outputs;
}

const toModel = (name: string): string => (name === ALIAS ? LOST : name);
