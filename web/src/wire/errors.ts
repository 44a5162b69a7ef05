// Errors as data: what fails in the page or a lane becomes an ErrorBody, whose code the host turns into an exception.

/** An error as it crosses the wire; `code` is one of those of the Python package's errors. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly name?: string;
  readonly stack?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** An error with a code that the host knows. */
export class CodedError extends Error {
  override readonly name: string = "CodedError";

  constructor(
    readonly code: string,
    message: string,
    readonly data?: Readonly<Record<string, unknown>>,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A message that the protocol does not allow. `id` is the request to answer, or 0. */
export class WireError extends CodedError {
  override readonly name = "WireError";

  // eslint-disable-next-line @typescript-eslint/no-useless-constructor -- it narrows the codes
  constructor(
    code: "protocol.malformed" | "protocol.too_large" | "protocol.kind",
    message: string,
    data?: Readonly<Record<string, unknown>>,
  ) {
    super(code, message, data);
  }
}

/** Return what was thrown, which need not be an Error: WebAssembly throws C++ exceptions as bare numbers. */
export function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  if (typeof thrown === "number")
    return new Error(`The runtime threw C++ exception ${thrown} without saying more; most often, memory ran out.`);
  if (typeof thrown === "object" && thrown !== null && "message" in thrown) return new Error(String(thrown.message));
  return new Error(String(thrown));
}

const LONGEST = 8000; // characters of a text, so that an error always fits into a message

/** Make the wire's form of an error. A CodedError keeps its own code and data. */
export function toBody(thrown: unknown, code: string, message?: string, data?: Readonly<Record<string, unknown>>): ErrorBody {
  const error = asError(thrown);
  const coded = error instanceof CodedError ? error : undefined;
  const details = coded?.data ?? data;
  return {
    code: coded?.code ?? code,
    message: (coded === undefined && message !== undefined ? message : error.message).slice(0, LONGEST),
    name: error.name,
    ...(error.stack === undefined ? {} : { stack: error.stack.slice(0, LONGEST) }),
    ...(details === undefined ? {} : { data: details }),
  };
}
