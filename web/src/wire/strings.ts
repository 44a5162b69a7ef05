// Tensors of strings in frames: the length of a JSON text in bytes, as u64 little-endian, and the text, a list of strings.

import { WireError } from "./errors";

const LENGTH = 8;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Return strings as the bytes of their tensor in a frame. */
export function packStrings(strings: readonly string[]): Uint8Array {
  const text = encoder.encode(JSON.stringify(strings));
  const packed = new Uint8Array(LENGTH + text.length);
  new DataView(packed.buffer).setBigUint64(0, BigInt(text.length), true);
  packed.set(text, LENGTH);
  return packed;
}

/** Return how many bytes the tensor of strings takes that begins at `offset` of a frame. */
export function packedLength(frame: ArrayBuffer, offset: number): number {
  if (offset + LENGTH > frame.byteLength) return LENGTH;
  const length = new DataView(frame).getBigUint64(offset, true);
  return length > BigInt(frame.byteLength) ? Infinity : LENGTH + Number(length);
}

/** Return how many values a tensor of these sizes has. */
export function countOf(dims: readonly number[]): number {
  return dims.reduce((product, size) => product * size, 1);
}

/** Return the strings of a tensor's bytes. Throws a WireError where they are not `count` strings. */
export function unpackStrings(packed: Uint8Array, count: number): string[] {
  let strings: unknown;
  try {
    strings = JSON.parse(decoder.decode(packed.subarray(LENGTH)));
  } catch {
    strings = undefined;
  }
  if (Array.isArray(strings) && strings.length === count && strings.every((one) => typeof one === "string")) return strings;
  throw new WireError("protocol.malformed", `A tensor of strings does not hold ${count} strings.`);
}
