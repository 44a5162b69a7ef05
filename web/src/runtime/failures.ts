// Turns what the runtime throws into the codes that the host knows. The runtime only has texts, so this is the one
// place that reads them; each pattern was provoked in a browser with the pinned version.

import { CodedError, asError, toBody } from "../wire/errors";
import type { ErrorBody } from "../wire/errors";

export type Phase = "load" | "run";

export interface Verdict {
  readonly body: ErrorBody;
  /** The runtime itself is dead: nothing can run on this lane any more. */
  readonly fatal: boolean;
}

interface Pattern {
  readonly code: string;
  readonly text: RegExp;
  readonly phase?: Phase;
  /** What to say in front of the runtime's own text: the culprit and the remedy. */
  readonly say: (match: RegExpExecArray) => string;
  readonly data?: (match: RegExpExecArray) => Readonly<Record<string, unknown>>;
}

const OUT_OF_MEMORY = "Memory ran out in the browser: use a smaller batch, model or precision, or fewer lanes and sessions.";
const named = (match: RegExpExecArray) => ({ name: match[1] ?? "" });

const nodeName = (operator = "", node = "") => (node === "" ? `a node ${operator}` : `the node ${node} (${operator})`);

// The first that matches counts, so the particular ones come first.
export const PATTERNS: readonly Pattern[] = [
  {
    code: "backend.memory",
    text: /out of memory|bad_alloc|allocation failed|failed to allocate|cannot enlarge memory|\bOOM\b|Invalid (?:typed )?array length|Tensor shape is too large|Failed to create (?:Web)?GPU buffer/i,
    say: () => OUT_OF_MEMORY,
  },
  {
    code: "model.operator",
    text: /Could not find an implementation for (?:the node )?(?:.*?:)?(\w+)\((\d+)\)/,
    say: ([, operator, opset]) =>
      `The runtime has no kernel for the operator ${operator} (opset ${opset}): export with another opset or precision.`,
    data: ([, operator, opset]) => ({ operator, opset: Number(opset) }),
  },
  {
    code: "model.operator",
    text: /No Op registered for (\S+) with domain_version of (\d+)/,
    say: ([, operator, opset]) => `The runtime does not know the operator ${operator} (opset ${opset}).`,
    data: ([, operator, opset]) => ({ operator, opset: Number(opset) }),
  },
  {
    code: "model.operator",
    text: /(?:Unrecognized schema:|Fatal error:) ?([\w.]+:\w+)(?:\(-?\d+\))? (?:is not a registered function\/op|\(domain)/,
    say: ([, operator]) => `The runtime does not know the operator ${operator}.`,
    data: ([, operator]) => ({ operator: operator?.split(":").pop() }),
  },
  {
    code: "model.operator",
    text: /Provider type for (\w+) node with name '.*?' is not set/,
    say: ([, operator]) =>
      `Neither the backend nor WebAssembly has a kernel for the operator ${operator} with its types: export with another precision.`,
    data: ([, operator]) => ({ operator }),
  },
  {
    code: "model.operator",
    text: /ONNX Runtime only \*?guarantees\*? support for models stamped with official released onnx opset versions.*?domain (\S+)/,
    say: () => "The model's opset is newer than the runtime: export it with an older one.",
  },
  {
    code: "model.invalid",
    text: /Failed to load external data file "*([^",]+)"*/,
    say: ([, path]) => `The model's external data ${path} is missing or too short.`,
    data: ([, path]) => ({ path }),
  },
  {
    code: "model.invalid",
    text: /Unsupported model IR version: (\d+), max supported IR version: (\d+)/,
    say: ([, version, newest]) =>
      `The model's IR version ${version} is newer than the runtime's ${newest}: export it with an older onnx.`,
  },
  {
    code: "model.invalid",
    phase: "load",
    text: /Type Error:|ShapeInferenceError|Invalid model\. Node|ERROR_CODE: 10,/,
    say: () => "The model contradicts itself: export it again.",
  },
  {
    code: "model.invalid",
    phase: "load",
    text: /protobuf parsing failed|ERROR_CODE: 7,|No graph was found in the protobuf|ModelProto does not have a graph/i,
    say: () => "The model file is corrupt, truncated or not ONNX: export or fetch it again.",
  },
  {
    code: "input.missing",
    phase: "run",
    text: /input '(.+?)' is missing in 'feeds'|Missing Input: (\S+)/,
    say: ([, feed, name]) => `The input ${feed ?? name} is missing.`,
    data: ([, feed, name]) => ({ name: feed ?? name }),
  },
  {
    code: "input.unknown",
    phase: "run",
    text: /invalid input '(.+?)'|Invalid input name: ?(\S+)/i,
    say: ([, feed, name]) => `The model has no input ${feed ?? name}.`,
    data: ([, feed, name]) => ({ name: feed ?? name }),
  },
  {
    code: "input.dtype",
    phase: "run",
    text: /Unexpected input data type\.? *(?:for \S+ )?Actual: \(tensor\((\w+)\)\) ?,? expected: \(tensor\((\w+)\)\)/i,
    say: ([, actual, expected]) => `An input is ${actual} where the model takes ${expected}.`,
    data: ([, actual, expected]) => ({ actual, expected }),
  },
  {
    code: "input.shape",
    phase: "run",
    text: /Invalid rank for input: (\S+)/,
    say: ([, name]) => `The input ${name} has the wrong number of dimensions.`,
    data: named,
  },
  {
    code: "input.shape",
    phase: "run",
    text: /Got invalid dimensions for input: (\S+)/,
    say: ([, name]) => `The input ${name} has the wrong shape.`,
    data: named,
  },
  {
    code: "input.shape",
    phase: "run",
    text: /while running (\w+) node\. Name:'(.*?)'[\s\S]*?(?:Attempting to broadcast an axis|cannot be reshaped|left operand cannot broadcast|ShapeInferenceError|dimension mismatch)/i,
    say: ([, operator, node]) => `The inputs' shapes do not fit together at ${nodeName(operator, node)}.`,
    data: ([, operator, node]) => ({ operator, node }),
  },
  {
    code: "backend.run",
    phase: "run",
    text: /while running (\w+) node\. Name:'(.*?)'/,
    say: ([, operator, node]) => `The model failed at ${nodeName(operator, node)}.`,
    data: ([, operator, node]) => ({ operator, node }),
  },
];

// Where the runtime was built says nothing to anybody.
const BUILD_PATH = /\/\S*\/(?=onnxruntime\/core\/)/g;

// What is left of the runtime after these cannot be trusted: a trap leaves its stack and locks as they were.
const DEAD = /^Aborted\(|\bunreachable\b|memory access out of bounds|table index is out of bounds|null function|indirect call/;

function isFatal(error: Error): boolean {
  const trap = typeof WebAssembly.RuntimeError === "function" && error instanceof WebAssembly.RuntimeError;
  return trap || DEAD.test(error.message);
}

function describe(error: Error, phase: Phase): Omit<ErrorBody, "name" | "stack"> {
  const text = error.message.replace(BUILD_PATH, "").trim();
  for (const pattern of PATTERNS) {
    if (pattern.phase !== undefined && pattern.phase !== phase) continue;
    const match = pattern.text.exec(error.message);
    if (match === null) continue;
    const message = `${pattern.say(match)} (${text})`;
    return { code: pattern.code, message, ...(pattern.data === undefined ? {} : { data: pattern.data(match) }) };
  }
  return { code: `backend.${phase}`, message: text };
}

/** Classify what loading or running threw. */
export function classify(thrown: unknown, phase: Phase): Verdict {
  const error = asError(thrown);
  if (error instanceof CodedError) return { body: toBody(error, error.code), fatal: false };
  const fatal = isFatal(error);
  const { code, message, data } = describe(error, phase);
  // Memory that runs out kills the runtime, too. But the caller can ask for less, so it hears the cause.
  if (fatal && code !== "backend.memory") return { body: lostLane(error), fatal };
  return { body: toBody(error, code, message, data), fatal };
}

/** The error of requests that a lost lane had not begun: none of them is to blame for the loss. */
export function toBystander(error: ErrorBody): ErrorBody {
  return { ...error, code: error.code === "lost.runtime" ? "lost.lane" : error.code, data: { ...error.data, bystander: true } };
}

/** The error of a lane whose runtime died of `cause`. */
export function lostLane(cause: unknown): ErrorBody {
  const error = asError(cause);
  return toBody(error, "lost.runtime", `The runtime of this lane died: ${error.message}. The lane must be started anew.`);
}
