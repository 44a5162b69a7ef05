// Which execution provider each node went to. The runtime tells it only in the verbose log of a session's creation, so
// that log is switched on then, read here, and shown to nobody.

import type { Backend, Placement } from "../wire/reports";

const PROVIDERS: Readonly<Record<string, Backend>> = {
  CPUExecutionProvider: "wasm",
  WebGpuExecutionProvider: "webgpu",
  WebNNExecutionProvider: "webnn",
};
const COPIES = /^Memcpy(?:To|From)Host$/;

const PLACED = /(?:All nodes|Node\(s\)) placed on \[(\w+)\]\. Number of nodes: (\d+)/;
const NODE = /VerifyEachNodeIsAssignedToAnEp\]\s+(\S+) \((.*)\)/;
const PARTITIONS =
  /partitions supported by WebNN: (\d+) number of nodes in the graph: \d+ number of nodes supported by WebNN: (\d+)/;
const REFUSED = [
  /Operator type: \[(\w+)\] index: \[(\d+)\] .*supported: \[0\]/, // WebNN
  /webgpu kernel not found in registries for Op type: (\S+) node name: (.*?)\s*$/,
];

// Lines of these severities, warnings among them, are written for us alone: the runtime's level is otherwise "errors".
const ASKED_FOR = /\[[VIW]:onnxruntime/;

/** Read the log of a session's creation. Returns undefined where it does not tell. */
export function readPlacement(backend: Backend, lines: readonly string[]): Placement | undefined {
  const reader = new PlacementReader(backend);
  for (const line of lines) reader.read(line);
  return reader.placement();
}

/** Reads the log of one session's creation, line by line. */
class PlacementReader {
  readonly #nodes: Record<string, number> = {};
  readonly #listed: Record<string, number> = {};
  readonly #refused = new Map<string, string>(); // operators by node: the runtime asks for each node several times
  readonly #compiled: [graphs: number, nodes: number][] = []; // by WebNN, each time that it was asked about a graph
  #copies = 0;
  #provider = ""; // whose nodes the runtime lists now

  constructor(private readonly backend: Backend) {}

  read(line: string): void {
    const placed = PLACED.exec(line);
    const partitions = PARTITIONS.exec(line);
    const node = this.#provider === "" ? null : NODE.exec(line);
    if (placed !== null) this.#begin(placed[1] ?? "", Number(placed[2]));
    else if (partitions !== null) this.#compiled.push([Number(partitions[1]), Number(partitions[2])]);
    else if (node !== null) this.#list(node[1] ?? "");
    else this.#refuse(line);
  }

  /** Return what the lines told, or undefined where they did not tell. */
  placement(): Placement | undefined {
    if (this.#provider === "") return undefined;
    const nodes = this.#nodes;
    const graphs = this.#compiled.length > 0 ? (nodes[this.backend] ?? 0) : 0; // a compiled graph counts as one node there
    if (graphs > 0) nodes[this.backend] = inside(graphs, this.#compiled);
    // Where all went to one backend, the runtime lists no nodes: then it is what was refused that went elsewhere.
    const elsewhere = Object.keys(nodes).some((name) => name !== this.backend);
    const fallen = elsewhere && Object.keys(this.#listed).length === 0 ? count(this.#refused.values()) : this.#listed;
    return { nodes, fallen, copies: this.#copies, graphs };
  }

  #begin(provider: string, nodes: number): void {
    this.#provider = PROVIDERS[provider] ?? provider;
    this.#nodes[this.#provider] = (this.#nodes[this.#provider] ?? 0) + nodes;
  }

  #list(operator: string): void {
    // The runtime lists copies between backends as nodes; the model has none of them.
    if (COPIES.test(operator)) {
      this.#copies += 1;
      this.#nodes[this.#provider] = (this.#nodes[this.#provider] ?? 1) - 1;
    } else if (this.#provider !== this.backend) {
      this.#listed[operator] = (this.#listed[operator] ?? 0) + 1;
    }
  }

  #refuse(line: string): void {
    for (const pattern of REFUSED) {
      const match = pattern.exec(line);
      if (match !== null) this.#refused.set(`${match[1] ?? ""} ${match[2] ?? ""}`, match[1] ?? "");
    }
  }
}

/** Return how many nodes are in so many graphs: by the last answer for the whole, or by those for parts of it. */
function inside(graphs: number, compiled: readonly [number, number][]): number {
  const last = compiled.at(-1) ?? [0, 0];
  const total = compiled.reduce(([some, within], [more, nodes]) => [some + more, within + nodes], [0, 0]);
  return last[0] !== graphs && total[0] === graphs ? total[1] : last[1];
}

function count(operators: Iterable<string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const operator of operators) counts[operator] = (counts[operator] ?? 0) + 1;
  return counts;
}

type Writer = (...data: unknown[]) => void;

/** The runtime's log, which it writes to the console. Made before the runtime is imported, which keeps its console. */
export class RuntimeLog {
  #lines: string[] | undefined;

  constructor(scope: { error: Writer } = console) {
    const write = scope.error.bind(scope);
    scope.error = (...data) => {
      const line = data[0];
      if (typeof line !== "string" || !ASKED_FOR.test(line)) write(...data);
      else this.#lines?.push(line);
    };
  }

  /** Keep what the runtime says from now on. */
  open(): void {
    this.#lines = [];
  }

  /** Return what it said, and keep nothing more. */
  close(): string[] {
    const lines = this.#lines ?? [];
    this.#lines = undefined;
    return lines;
  }
}
