import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { WireError } from "../../src/wire/errors";
import { packStrings } from "../../src/wire/strings";
import { DTYPES, FrameWriter, decode, type Dtype, type TensorData, type WireTensor } from "../../src/wire/frames";

interface Golden {
  name: string;
  hex: string;
  error?: string;
  header: { kind: string } & Record<string, unknown>;
  tensors: { name: string; dtype: Dtype; shape: number[]; values: (number | string | boolean)[] }[];
}

const GOLDEN = JSON.parse(readFileSync(new URL("../../../fixtures/wire/golden.json", import.meta.url), "utf8")) as Golden[];

const fromHex = (hex: string) => new Uint8Array(Buffer.from(hex, "hex")).buffer;
const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const write = (...args: Parameters<FrameWriter["write"]>) => new FrameWriter().write(...args).slice();
const bytesOf = (data: TensorData) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** The 16 bits of a finite half-precision number that has an exact one. */
function halfBits(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((Math.abs(value) / 2 ** exponent - 1) * 1024);
}

function makeData(dtype: Dtype, values: Golden["tensors"][number]["values"]): TensorData {
  if (dtype === "string") return packStrings(values as string[]);
  if (dtype === "float16") return Uint16Array.from(values.map((value) => halfBits(Number(value))));
  if (dtype === "int64") return BigInt64Array.from(values.map((value) => BigInt(value)));
  if (dtype === "uint64") return BigUint64Array.from(values.map((value) => BigInt(value)));
  return Reflect.construct(DTYPES[dtype], [values.map(Number)]) as TensorData;
}

function catchError(action: () => unknown): WireError {
  try {
    action();
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("golden frames", () => {
  const good = GOLDEN.filter(({ error }) => error === undefined);
  const bad = GOLDEN.filter(({ error }) => error !== undefined);

  test("there are good and bad ones", () => {
    expect(good.length).toBeGreaterThan(5);
    expect(bad.length).toBeGreaterThan(15);
  });

  test.each(good)("$name is decoded", ({ hex, header, tensors }) => {
    const frame = decode(fromHex(hex));
    expect(frame.header).toEqual({ id: 0, ...header });
    expect(frame.tensors.map(({ name, dtype, dims }) => [name, dtype, dims])).toEqual(
      tensors.map((t) => [t.name, t.dtype, t.shape]),
    );
    frame.tensors.forEach(({ dtype, data }, i) =>
      expect(bytesOf(data)).toEqual(bytesOf(makeData(dtype, tensors[i]?.values ?? []))),
    );
  });

  test.each(good)("$name is encoded to the same bytes", ({ hex, header, tensors }) => {
    const made = tensors.map(
      ({ name, dtype, shape, values }): WireTensor => ({ name, dtype, dims: shape, data: makeData(dtype, values) }),
    );
    expect(toHex(write(header, made))).toBe(hex);
  });

  test.each(bad)("$name is refused as $error", ({ hex, error }) => {
    expect(catchError(() => decode(fromHex(hex))).code).toBe(error);
  });
});

describe("tensors", () => {
  test.each(Object.keys(DTYPES) as Dtype[])("%s comes back as it went, as a view of the frame", (dtype) => {
    const data = makeData(dtype, [0, 1, 1, 0, 1, 1]);
    const frame = write({ kind: "run", id: 1 }, [
      { name: "before", dtype: "uint8", dims: [1], data: Uint8Array.of(9) },
      { name: "x", dtype, dims: [2, 3], data },
    ]).buffer;
    const tensor = decode(frame).tensors[1]!;
    expect(tensor.dims).toEqual([2, 3]);
    expect(tensor.data.constructor).toBe(DTYPES[dtype]);
    expect(bytesOf(tensor.data)).toEqual(bytesOf(data));
    expect(tensor.data.buffer).toBe(frame);
  });

  test("a view of part of a buffer is sent as that part alone", () => {
    const part = new Float32Array([1, 2, 3, 4]).subarray(1, 3);
    const { tensors } = decode(write({ kind: "ok" }, [{ name: "x", dtype: "float32", dims: [2], data: part }]).buffer);
    expect(tensors[0]?.data).toEqual(new Float32Array([2, 3]));
  });

  test("names may be any text", () => {
    const tensors: WireTensor[] = ["größe", 'a"b', "模型", "__proto__"].map((name) => ({
      name,
      dtype: "int8",
      dims: [1],
      data: Int8Array.of(1),
    }));
    expect(decode(write({ kind: "ok" }, tensors).buffer).tensors.map(({ name }) => name)).toEqual([
      "größe",
      'a"b',
      "模型",
      "__proto__",
    ]);
  });
});

describe("writing", () => {
  const ones: WireTensor = { name: "x", dtype: "uint8", dims: [3], data: Uint8Array.of(1, 1, 1) };
  const twos: WireTensor = { name: "y", dtype: "uint8", dims: [1], data: Uint8Array.of(2) };

  test("memory is reused, and nothing of an earlier frame shows in a later one", () => {
    const writer = new FrameWriter();
    writer.write({ kind: "ok" }, [{ name: "x", dtype: "uint8", dims: [200], data: new Uint8Array(200).fill(255) }]);
    const memory = writer.write({ kind: "ok" }, [ones, twos]);
    expect(toHex(memory)).toBe(toHex(write({ kind: "ok" }, [ones, twos])));
    expect(writer.write({ kind: "ok" }).buffer).toBe(memory.buffer);
  });

  test("memory grows with a frame", () => {
    const data = new Float64Array(100_000).map((_, i) => i);
    const frame = new FrameWriter().write({ kind: "ok" }, [{ name: "x", dtype: "float64", dims: [100_000], data }]);
    expect(decode(frame.slice().buffer).tensors[0]?.data).toEqual(data);
  });

  test("a frame can say how long its own making took", () => {
    const timing = { run: 1, encode: 0 };
    const frame = write({ kind: "ok", id: 1, timing }, [ones], Infinity, () => (timing.encode = 12345.678901234567));
    expect(decode(frame.buffer).header["timing"]).toEqual({ run: 1, encode: 12345.678901234567 });
    expect(decode(frame.buffer).tensors[0]?.data).toEqual(Uint8Array.of(1, 1, 1));
  });

  test("a frame over the limit is refused, with its size and the limit", () => {
    const size = write({ kind: "ok" }, [ones]).byteLength;
    expect(write({ kind: "ok" }, [ones], size).byteLength).toBe(size);
    const error = catchError(() => write({ kind: "ok" }, [ones], size - 1));
    expect(error.code).toBe("protocol.too_large");
    expect(error.data).toEqual({ nbytes: size, limit: size - 1 });
  });
});

describe("malformed messages", () => {
  test.each([["text"], [new Uint8Array(24)], [null]])("%s is refused", (data) => {
    expect(catchError(() => decode(data)).code).toBe("protocol.malformed");
  });

  test.each([
    ["no header at all", (frame: Uint8Array) => frame.subarray(0, 4)],
    ["a frame cut anywhere", (frame: Uint8Array) => frame.subarray(0, frame.length - 1)],
    ["a frame with a byte too many", (frame: Uint8Array) => Uint8Array.of(...frame, 0)],
  ])("%s is refused", (_, change) => {
    const frame = write({ kind: "ok", id: 1 }, [{ name: "x", dtype: "float32", dims: [2], data: new Float32Array(2) }]);
    expect(catchError(() => decode(change(frame).slice().buffer)).code).toBe("protocol.malformed");
  });

  test.each([
    ["[]"],
    ['{"kind":"ok","tensors":[["x","float32"]]}'],
    ['{"kind":"ok","tensors":[["x","toString",[1]]]}'],
    ['{"kind":"ok","tensors":[null]}'],
  ])("%s is refused", (json) => {
    const head = new TextEncoder().encode(json.padEnd(Math.ceil((json.length + 4) / 8) * 8 - 4));
    const frame = new Uint8Array(4 + head.length);
    new DataView(frame.buffer).setUint32(0, head.length, true);
    frame.set(head, 4);
    expect(catchError(() => decode(frame.buffer)).code).toBe("protocol.malformed");
  });
});
