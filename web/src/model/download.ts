// Fetches a model's files into memory, with progress.

import { CodedError, asError } from "../wire/errors";
import type { ExternalSource, FileSource } from "../wire/messages";
import type { ModelStore } from "./store";

const STEP = 0.01; // of the whole
const INTERVAL = 100; // ms
const AT_ONCE = 128 * 2 ** 20; // bytes that come from this machine before anybody would look at progress
const HERE = /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])[:/]/;

export type Report = (done: number, total: number) => void;

/** Passes on progress at the beginning, at the end, and in between each 1 % or 100 ms, by the time stamps given. */
export class ProgressThrottle {
  #done = 0;
  #reported = -Infinity;
  #at = -Infinity;

  constructor(
    private readonly total: number,
    private readonly report: Report,
  ) {}

  add(nbytes: number, now: number): void {
    this.#done += nbytes;
    const due = this.#done - this.#reported >= this.total * STEP || now - this.#at >= INTERVAL || this.#done >= this.total;
    if (!due) return;
    this.#reported = this.#done;
    this.#at = now;
    this.report(this.#done, this.total);
  }
}

export interface FetchedModel {
  model: Uint8Array;
  external: { path: string; data: Uint8Array }[];
  nbytes: number;
  /** Bytes of them that were in the browser's own store. */
  stored: number;
}

/**
 * Fetch a model and its external data, all at once.
 *
 * Each file goes straight into memory of its known size, from `store` where it has it. Throws a CodedError
 * `model.fetch` that names the file; the others are then abandoned.
 */
export async function fetchModel(
  model: FileSource,
  external: readonly ExternalSource[],
  access: string,
  report: Report,
  store?: ModelStore,
): Promise<FetchedModel> {
  const nbytes = external.reduce((sum, file) => sum + file.nbytes, model.nbytes);
  const progress = new ProgressThrottle(nbytes, report);
  progress.add(0, performance.now());
  let stored = 0;
  const abandon = new AbortController();
  const request: RequestInit = { headers: { Authorization: `Bearer ${access}` }, signal: abandon.signal };
  try {
    const obtain = async (file: FileSource): Promise<Uint8Array> => {
      const copy = await store?.take(file);
      if (copy !== undefined) {
        stored += copy.length;
        progress.add(copy.length, performance.now());
        return copy;
      }
      const bytes = await fetchFile(file, request, progress);
      await store?.put(file, bytes);
      return bytes;
    };
    const [first, ...rest] = await Promise.all([model, ...external].map(obtain));
    return {
      model: first!,
      external: external.map(({ path }, i) => ({ path, data: rest[i]! })),
      nbytes,
      stored,
    };
  } catch (error) {
    // `Promise.all` rejects at the first failure; the other files would go on coming for nothing.
    abandon.abort();
    throw error;
  }
}

async function fetchFile(file: FileSource, request: RequestInit, progress: ProgressThrottle): Promise<Uint8Array> {
  try {
    const response = await fetch(file.url, request);
    if (!response.ok)
      throw failure(file, `the host answered ${response.status} ${response.statusText}`, { status: response.status });
    const near = file.nbytes <= AT_ONCE && HERE.test(response.url);
    return near ? await takeWhole(file, response, progress) : await takeInPieces(file, response, progress);
  } catch (error) {
    throw error instanceof CodedError ? error : failure(file, asError(error).message);
  }
}

// The browser puts the pieces together, in half the time that it takes to see each of them here.
async function takeWhole(file: FileSource, response: Response, progress: ProgressThrottle): Promise<Uint8Array> {
  const buffer = await response.arrayBuffer().catch((error: unknown) => {
    throw error instanceof RangeError ? noMemory(file, error) : error;
  });
  if (buffer.byteLength > file.nbytes) throw tooLong(file);
  if (buffer.byteLength < file.nbytes) throw tooShort(file, buffer.byteLength);
  progress.add(buffer.byteLength, performance.now());
  return new Uint8Array(buffer);
}

async function takeInPieces(file: FileSource, response: Response, progress: ProgressThrottle): Promise<Uint8Array> {
  const bytes = allocate(file);
  let filled = 0;
  const reader = response.body?.getReader();
  for (let chunk = await reader?.read(); chunk?.value !== undefined; chunk = await reader?.read()) {
    if (filled + chunk.value.length > file.nbytes) throw tooLong(file);
    bytes.set(chunk.value, filled);
    filled += chunk.value.length;
    progress.add(chunk.value.length, performance.now());
  }
  if (filled !== file.nbytes) throw tooShort(file, filled);
  return bytes;
}

function allocate(file: FileSource): Uint8Array {
  try {
    return new Uint8Array(file.nbytes);
  } catch (error) {
    throw noMemory(file, error);
  }
}

function noMemory(file: FileSource, error: unknown): CodedError {
  const message = `The browser has no memory for a file of ${file.nbytes} bytes: ${asError(error).message}`;
  return new CodedError("backend.memory", message, { nbytes: file.nbytes });
}

function tooLong(file: FileSource): CodedError {
  return failure(file, `it is longer than the ${file.nbytes} bytes announced`);
}

function tooShort(file: FileSource, got: number): CodedError {
  return failure(file, `it ended after ${got} of ${file.nbytes} bytes`);
}

function failure(file: FileSource, why: string, data: Readonly<Record<string, unknown>> = {}): CodedError {
  return new CodedError("model.fetch", `The model file ${file.url} could not be fetched: ${why}.`, { url: file.url, ...data });
}
