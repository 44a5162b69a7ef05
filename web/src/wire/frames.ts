// Frames to headers and tensors, and back. The layout is the Python package's webinfer.transport.wire.codec:
// u32 little-endian header length, JSON padded with spaces to 8, then the tensors, each 8-aligned.

import { WireError } from "./errors";
import { packedLength } from "./strings";
import type { Header } from "./messages";

export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

interface DataConstructor {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer, offset: number, length: number): TensorData;
}

// The runtime expects Float16Array wherever the browser has one, and raw 16-bit words elsewhere.
const Float16 = ((globalThis as { Float16Array?: unknown }).Float16Array ?? Uint16Array) as DataConstructor;

export const DTYPES = {
  float32: Float32Array,
  float16: Float16,
  float64: Float64Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
  string: Uint8Array, // see strings.ts: their number says nothing of their bytes
} as const satisfies Record<string, DataConstructor>;

export type Dtype = keyof typeof DTYPES;

/** A tensor in or for a frame. Decoded data are views of the frame's bytes. */
export interface WireTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly dims: readonly number[];
  readonly data: TensorData;
}

export type KindedHeader = Readonly<Record<string, unknown>> & { readonly kind: string };

export interface Frame {
  readonly header: Header;
  readonly tensors: readonly WireTensor[];
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
const SPACE = 0x20;
const KEPT = 64 * 2 ** 20; // bytes of memory that a writer keeps at most
const NUMBER = 24; // the longest text of a number, so that a header can be completed after it was measured

const align = (offset: number) => Math.ceil(offset / 8) * 8; // not bits: frames pass 2 GB

const malformed = (message: string) => new WireError("protocol.malformed", message);

export function isDtype(name: unknown): name is Dtype {
  return typeof name === "string" && Object.hasOwn(DTYPES, name);
}

/**
 * Makes frames, one at a time, in memory that it keeps: fresh memory costs more than the copying.
 *
 * A WebSocket takes its own copy when it sends, so the memory is free again by then.
 */
export class FrameWriter {
  #memory = new ArrayBuffer(4096);

  /**
   * Make a frame, which is valid until the next one is made. Copies each tensor once.
   *
   * `complete`, if given, runs once the tensors are copied and may change one number of the header: so a frame can
   * say how long its own making took. Throws a WireError if the frame would be longer than `limit` bytes.
   */
  write(
    header: KindedHeader,
    tensors: readonly WireTensor[] = [],
    limit = Infinity,
    complete?: () => void,
  ): Uint8Array<ArrayBuffer> {
    const full = tensors.length === 0 ? header : { ...header, tensors: tensors.map((t) => [t.name, t.dtype, t.dims]) };
    let head = encoder.encode(JSON.stringify(full));
    // The tensors' place is fixed before `complete` runs, so the header has room to grow by one number.
    const start = align(4 + head.length + (complete === undefined ? 0 : NUMBER));
    let total = start;
    for (const tensor of tensors) total = align(total) + tensor.data.byteLength;
    if (total > limit) throw tooLarge(header.kind, total, limit);

    const frame = this.#take(total);
    copyTensors(frame, start, tensors);
    if (complete !== undefined) {
      complete();
      head = encoder.encode(JSON.stringify(full));
    }
    new DataView(frame.buffer).setUint32(0, start - 4, true);
    frame.set(head, 4);
    frame.fill(SPACE, 4 + head.length, start);
    return frame;
  }

  #take(nbytes: number): Uint8Array<ArrayBuffer> {
    if (nbytes > KEPT) return new Uint8Array(nbytes);
    if (nbytes > this.#memory.byteLength) this.#memory = new ArrayBuffer(Math.min(KEPT, 2 ** Math.ceil(Math.log2(nbytes))));
    return new Uint8Array(this.#memory, 0, nbytes);
  }
}

function copyTensors(frame: Uint8Array, start: number, tensors: readonly WireTensor[]): void {
  let end = start;
  for (const { data } of tensors) {
    const offset = align(end);
    frame.fill(0, end, offset);
    frame.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    end = offset + data.byteLength;
  }
}

function tooLarge(kind: string, nbytes: number, limit: number): WireError {
  return new WireError(
    "protocol.too_large",
    `A "${kind}" message of ${nbytes} bytes is over the limit of ${limit}: ask for less at once, or raise max_message_mb.`,
    { nbytes, limit },
  );
}

/** Read a frame; its tensors are views of it. Throws a WireError if it is not of the form stated above. */
export function decode(frame: unknown): Frame {
  if (!(frame instanceof ArrayBuffer)) throw malformed("A message must be binary.");
  const [fields, start] = readHeader(frame);
  const { kind, id = 0, tensors: table, ...rest } = fields;
  if (typeof kind !== "string") throw malformed("The header has no kind.");
  if (!Number.isSafeInteger(id) || (id as number) < 0) throw malformed(`The id of a "${kind}" message must be a whole number.`);
  const header = { ...rest, kind, id: id as number };
  if (table !== undefined && table !== null) return { header, tensors: readTensors(frame, start, table) };
  if (frame.byteLength !== start)
    throw malformed(`${frame.byteLength - start} bytes follow a "${kind}" message without tensors.`);
  return { header, tensors: [] };
}

function readHeader(frame: ArrayBuffer): [fields: Record<string, unknown>, start: number] {
  const size = frame.byteLength;
  if (size < 4) throw malformed(`A frame of ${size} bytes is too short for its header's length.`);
  const length = new DataView(frame).getUint32(0, true);
  const start = 4 + length;
  if (start > size || start % 8 !== 0) throw malformed(`A header of ${length} bytes does not fit a frame of ${size}.`);
  let header: unknown;
  try {
    header = JSON.parse(decoder.decode(new Uint8Array(frame, 4, length)));
  } catch (error) {
    throw malformed(`The header is not JSON: ${String(error)}.`);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) throw malformed("The header is not a JSON object.");
  return [header as Record<string, unknown>, start];
}

function readTensors(frame: ArrayBuffer, start: number, table: unknown): WireTensor[] {
  if (!Array.isArray(table)) throw malformed("The header's tensors are not a list.");
  const tensors: WireTensor[] = [];
  let offset = start;
  for (const entry of table as unknown[]) {
    const [name, dtype, dims] = readEntry(entry);
    if (tensors.some((tensor) => tensor.name === name)) throw malformed(`Tensor "${name}" occurs twice.`);
    const type = DTYPES[dtype];
    // Huge sizes multiply to Infinity, and Infinity times 0 is NaN, which the check below would let pass.
    const count = dims.includes(0) ? 0 : dims.reduce((product, size) => product * size, 1);
    offset = align(offset);
    const length = dtype === "string" ? packedLength(frame, offset) : count;
    const end = offset + length * type.BYTES_PER_ELEMENT;
    if (end > frame.byteLength) throw malformed(`Tensor "${name}" of shape [${dims.join(", ")}] runs past the frame's end.`);
    tensors.push({ name, dtype, dims, data: new type(frame, offset, length) });
    offset = end;
  }
  if (offset !== frame.byteLength) throw malformed(`${frame.byteLength - offset} bytes follow the last tensor.`);
  return tensors;
}

function readEntry(entry: unknown): [name: string, dtype: Dtype, dims: number[]] {
  if (Array.isArray(entry) && entry.length === 3) {
    const [name, dtype, dims] = entry as [unknown, unknown, unknown];
    const whole = (size: unknown) => Number.isSafeInteger(size) && (size as number) >= 0;
    if (typeof name === "string" && isDtype(dtype) && Array.isArray(dims) && dims.every(whole))
      return [name, dtype, dims as number[]];
  }
  throw malformed(`A tensor is [name, dtype, dimensions], not ${JSON.stringify(entry).slice(0, 80)}.`);
}
