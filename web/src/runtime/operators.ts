// Where the time of a run went by operator, by the profile that the runtime writes.

import type { Operator } from "../wire/reports";

interface Event {
  readonly category: string;
  readonly name: string;
  readonly at: number;
  readonly us: number;
  readonly operator: string;
  readonly provider: string;
}

const EVENT = /^\{"cat" : "(\w+)",.*"dur" :(\d+),"ts" :(\d+),"ph" : "X","name" :"(.*)","args" : \{/;
const OPERATOR = /"op_name" : "([^"]*)"/;
const PROVIDER = /"provider" : "([^"]*)"/;
const HERE = "CPUExecutionProvider"; // whose kernels run while the runtime waits for them
const GPU = "WebGpuExecutionProvider";
const COPY = "Memcpy"; // which waits for all that was handed to the device before
const COMPILED = /^WEBNN_\d+_\d+$/; // a graph that WebNN compiled is one node, under a name made from its hash

/** Read a profile of so many runs, of which the first does not count: it compiles, and fills caches. */
export function readOperators(lines: readonly string[], runs: number): Operator[] {
  const events = lines.map(readEvent).filter((event) => event !== undefined);
  const starts = events.filter((event) => event.name === "model_run").map((event) => event.at);
  const since = starts.sort((one, other) => one - other)[1];
  if (since === undefined) return [];
  const sums = new Map<string, { operator: string; provider: string; nodes: number; us: number }>();
  for (const { category, at, us, operator, provider } of events) {
    if (category !== "Node" || at < since) continue;
    const key = `${operator} ${provider}`;
    const sum = sums.get(key) ?? { operator, provider, nodes: 0, us: 0 };
    sums.set(key, { ...sum, nodes: sum.nodes + 1, us: sum.us + us });
  }
  const programs = sumPrograms(events, runs);
  const spent = (operator: string, provider: string, us: number): number | undefined => {
    if (provider === HERE) return us;
    return provider === GPU && !operator.startsWith(COPY) && programs !== undefined ? (programs.get(operator) ?? 0) : undefined;
  };
  return [...sums.values()].map(({ operator, provider, nodes, us }) => {
    const time = spent(operator, provider, us);
    return { operator, provider, nodes: nodes / (runs - 1), ms: time === undefined ? null : time / 1e3 / (runs - 1) };
  });
}

function readEvent(line: string): Event | undefined {
  const match = EVENT.exec(line);
  if (match === null) return undefined;
  const [, category = "", us, at, name = ""] = match;
  const operator = (OPERATOR.exec(line)?.[1] ?? "").replace(COMPILED, "compiled graph");
  return { category, name, at: Number(at), us: Number(us), operator, provider: PROVIDER.exec(line)?.[1] ?? "" };
}

/**
 * Sum up what the GPU's own clock says of each shader, by operator, without the first run. Returns undefined where it
 * says nothing.
 *
 * Its events come in the order of the runs, but not in the runtime's time. So the first of each shader's are left out:
 * as many as one run has, with those that only the first run has.
 */
function sumPrograms(events: readonly Event[], runs: number): Map<string, number> | undefined {
  const programs = new Map<string, number[]>();
  for (const { category, name, us } of events) {
    if (category !== "Api") continue;
    const spent = programs.get(name) ?? [];
    spent.push(us);
    programs.set(name, spent);
  }
  if (programs.size === 0) return undefined;
  const sums = new Map<string, number>();
  for (const [name, spent] of programs) {
    const operator = name.split("&").at(-2) ?? ""; // "node&operator&program"
    const counted = spent.slice(Math.ceil(spent.length / runs)).reduce((sum, us) => sum + us, 0);
    sums.set(operator, (sums.get(operator) ?? 0) + counted);
  }
  return sums;
}
