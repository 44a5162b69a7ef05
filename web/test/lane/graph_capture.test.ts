// A recorded graph's inputs, on a device and a session that only take notes.

import { beforeEach, expect, test, vi } from "vitest";

import { CapturedGraph } from "../../src/lane/graph_capture";
import type { Feeds } from "../../src/runtime/names";
import type { Runtime, Session } from "../../src/runtime/runtime";

class Tensor {
  static fromGpuBuffer = (gpuBuffer: unknown, about: object) => ({ gpuBuffer, ...about });
  constructor(
    readonly type: string,
    readonly data: Uint8Array | Float32Array,
    readonly dims: readonly number[],
  ) {}
}

const disposed = vi.fn();
let written: { buffer: unknown; bytes: Uint8Array }[];
let device: { createBindGroup: (descriptor: object) => object };
let recorded: boolean;
let fed: Feeds[];
let graph: CapturedGraph;

beforeEach(() => {
  vi.stubGlobal("GPUBufferUsage", { STORAGE: 1, COPY_SRC: 2, COPY_DST: 4 });
  written = [];
  fed = [];
  recorded = false;
  disposed.mockClear();
  device = Object.assign(
    { createBindGroup: () => ({}) },
    {
      createBuffer: ({ size }: { size: number }) => ({ size, destroy: disposed }),
      queue: { writeBuffer: (buffer: unknown, _: number, bytes: Uint8Array) => written.push({ buffer, bytes: bytes.slice() }) },
    },
  );
  const session = {
    outputNames: ["y", "z"],
    run: (feeds: Feeds) => {
      fed.push(feeds);
      if (!recorded) device.createBindGroup({});
      recorded = true;
      const value = { type: "float32", dims: [1], getData: () => Promise.resolve(new Float32Array([7])), dispose: disposed };
      return Promise.resolve({ y: value, z: value });
    },
  };
  graph = new CapturedGraph({ Tensor } as unknown as Runtime, device as unknown as GPUDevice, session as unknown as Session);
});

const feeds = (data: Uint8Array) => ({ x: new Tensor("bool", data, [data.length]) }) as unknown as Feeds;

test("each run's values go into the same buffer, filled up to words", async () => {
  await graph.run(feeds(new Uint8Array([1, 2, 3])), null);
  await graph.run(feeds(new Uint8Array([4, 5, 6])), null);
  expect(written.map(({ bytes }) => [...bytes.slice(0, 4)])).toEqual([
    [1, 2, 3, 0],
    [4, 5, 6, 0],
  ]);
  expect(written[0]?.buffer).toBe(written[1]?.buffer);
  expect(fed[0]?.["x"]).toBe(fed[1]?.["x"]);
});

test("a run counts as replayed only if it makes no bind groups", async () => {
  await graph.run(feeds(new Uint8Array(4)), null);
  expect(graph.replayed).toBe(false);
  await graph.run(feeds(new Uint8Array(4)), null);
  expect(graph.replayed).toBe(true);
  recorded = false;
  await graph.run(feeds(new Uint8Array(4)), null);
  expect(graph.replayed).toBe(false);
});

test("outputs wanted are read, and all are released", async () => {
  const made = await graph.run(feeds(new Uint8Array(4)), ["z"]);
  expect([...made.keys()]).toEqual(["z"]);
  expect([...(made.get("z")?.data as Float32Array)]).toEqual([7]);
  expect(disposed).toHaveBeenCalledTimes(2);
  graph.release();
  expect(disposed).toHaveBeenCalledTimes(3);
});
