// A lane's requests, on the real runtime: its WebAssembly runs in Node as well.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import * as ort from "onnxruntime-web";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";

import { WireError } from "../../src/wire/errors";
import type { LaneToHost } from "../../src/wire/messages";
import type { ProfileAnswer } from "../../src/wire/messages";
import { LaneService } from "../../src/lane/service";
import { RuntimeTrace } from "../../src/runtime/trace";
import { FrameWriter, type WireTensor } from "../../src/wire/frames";

// y = a + b, both float32 (n, 4).
const ADD =
  "CAg6VwoOCgFhCgFiEgF5IgNBZGQSA2FkZFoUCgFhEg8KDQgBEgkKAxIBbgoCCARaFAoBYhIPCg0IARIJCgMSAW4KAggEYhQKAXkSDwoNCAESCQoDEgFuCgIIBEIECgAQEQ==";
const MODEL = Buffer.from(ADD, "base64");

const trace = new RuntimeTrace(); // one for all lanes: the runtime is started once, and keeps the console of then

let server: Server;
let url: string;
let lane: Lane;

/** A lane whose socket is the test. */
class Lane {
  readonly sent: LaneToHost[] = [];
  readonly outputs: (readonly WireTensor[] | undefined)[] = [];
  refuse: string | undefined;
  #wake: (() => void)[] = [];

  readonly service = new LaneService(
    ort,
    "key",
    (message, tensors, complete) => {
      if (tensors !== undefined && this.refuse !== undefined) throw new WireError("protocol.too_large", this.refuse);
      complete?.();
      this.sent.push(structuredClone(message));
      this.outputs.push(tensors?.map((tensor) => ({ ...tensor, data: tensor.data.slice() })));
      for (const wake of this.#wake.splice(0)) wake();
    },
    undefined,
    trace,
  );

  send(header: { kind: string; id: number } & Record<string, unknown>, tensors?: WireTensor[]): void {
    this.service.receive(new FrameWriter().write(header, tensors).slice().buffer);
  }

  /** Wait for a request's answer. */
  async answer(id: number): Promise<LaneToHost & { error?: { code: string; message: string } }> {
    for (;;) {
      const found = this.sent.find((message) => "id" in message && message.id === id && message.kind !== "progress");
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  load(id: number, session: string, path = "/add", nbytes = MODEL.length): void {
    this.send({ kind: "load", id, session, backend: "wasm", model: { url: url + path, nbytes } });
  }

  run(id: number, session = "s1", tensors = [matrix("a", 1, 2), matrix("b", 10, 2)], fields = {}): void {
    this.send({ kind: "run", id, session, outputs: null, ...fields }, tensors);
  }

  order(): number[] {
    return this.sent.flatMap((message) => ("id" in message && message.kind !== "progress" ? [message.id] : []));
  }
}

function matrix(name: string, value: number, rows: number): WireTensor {
  return { name, dtype: "float32", dims: [rows, 4], data: new Float32Array(rows * 4).fill(value) };
}

beforeAll(async () => {
  server = createServer((request, response) => void response.end(request.url === "/add" ? MODEL : "not a model, this"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());

beforeEach(async () => {
  lane = new Lane();
  lane.load(1, "s1");
  await lane.answer(1);
});

test("a load reports progress, then names, times and size", async () => {
  expect(lane.sent[0]).toEqual({ kind: "progress", id: 1, done: 0, total: MODEL.length });
  expect(await lane.answer(1)).toMatchObject({
    kind: "ok",
    inputs: ["a", "b"],
    outputs: ["y"],
    nbytes: MODEL.length,
    timing: { fetch: expect.any(Number) as number, create: expect.any(Number) as number },
  });
});

test("a run answers its outputs and times", async () => {
  lane.run(2);
  expect(await lane.answer(2)).toMatchObject({
    kind: "ok",
    id: 2,
    timing: { wait: expect.any(Number) as number, run: expect.any(Number) as number, encode: expect.any(Number) as number },
  });
  expect(lane.outputs.at(-1)).toEqual([matrix("y", 11, 2)]);
});

test("a profile splits runs into parts that make up the whole", async () => {
  const wish = { kind: "profile", backend: "wasm", model: { url: url + "/add", nbytes: MODEL.length }, runs: 3, limit: 60_000 };
  lane.send({ ...wish, id: 2 }, [matrix("a", 1, 2), matrix("b", 10, 2)]);
  const { phases, operators } = (await lane.answer(2)) as unknown as ProfileAnswer;
  expect(operators).toEqual([]);
  expect(phases).toHaveLength(3);
  for (const { upload, run, readback, total } of phases) {
    expect(Math.min(upload, run, readback)).toBeGreaterThan(0);
    expect(upload + run + readback).toBeCloseTo(total, 6);
  }
});

test("a profile with inputs that do not fit is an error, and releases its session", async () => {
  const wish = { kind: "profile", backend: "wasm", model: { url: url + "/add", nbytes: MODEL.length }, runs: 1, limit: 1 };
  lane.send({ ...wish, id: 2 }, [matrix("a", 1, 2)]);
  expect(await lane.answer(2)).toMatchObject({ kind: "error", error: { code: "input.missing" } });
  lane.run(3);
  expect(await lane.answer(3)).toMatchObject({ kind: "ok" });
});

test("where there is no GPU, features are refused, and the next request is answered", async () => {
  vi.stubGlobal("navigator", {}); // Node has one in some versions
  const samples: WireTensor = { name: "samples", dtype: "float32", dims: [4], data: new Float32Array(4) };
  const filters: WireTensor = { name: "filters", dtype: "float32", dims: [1, 3], data: new Float32Array(3) };
  const wish = { kind: "features", length: 8, hop: 2, workgroup: [64, 1] };
  lane.send({ ...wish, id: 2 }, [samples, filters]);
  lane.send({ ...wish, id: 3 }, [samples]);
  lane.send({ ...wish, id: 4, length: 5 }, [samples, filters]);
  lane.run(5);
  expect(await lane.answer(2)).toMatchObject({ kind: "error", error: { code: "backend.unavailable" } });
  expect(await lane.answer(3)).toMatchObject({ kind: "error", error: { code: "protocol.malformed" } });
  expect(await lane.answer(4)).toMatchObject({ kind: "error", error: { code: "protocol.malformed" } });
  expect(await lane.answer(5)).toMatchObject({ kind: "ok" });
  vi.unstubAllGlobals();
});

test("requests are answered in order of arrival, loads and failures among them", async () => {
  lane.run(2);
  lane.load(3, "s2");
  lane.run(4, "s2");
  lane.run(5, "nowhere");
  lane.send({ kind: "unload", id: 6, session: "s2" });
  lane.run(7, "s2");
  lane.run(8);
  await lane.answer(8);
  expect(lane.order()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(await lane.answer(4)).toMatchObject({ kind: "ok" });
  expect(await lane.answer(7)).toMatchObject({ kind: "error", error: { code: "backend.run" } });
  expect(await lane.answer(8)).toMatchObject({ kind: "ok" });
});

test.each<[string, string, WireTensor[]]>([
  ["missing", "input.missing", [matrix("a", 1, 2)]],
  ["unknown", "input.unknown", [matrix("a", 1, 2), matrix("b", 1, 2), matrix("z", 1, 2)]],
  [
    "of the wrong dtype",
    "input.dtype",
    [matrix("a", 1, 1), { name: "b", dtype: "int32", dims: [1, 4], data: new Int32Array(4) }],
  ],
  [
    "of the wrong rank",
    "input.shape",
    [matrix("a", 1, 1), { name: "b", dtype: "float32", dims: [4], data: new Float32Array(4) }],
  ],
  [
    "of the wrong shape",
    "input.shape",
    [matrix("a", 1, 1), { name: "b", dtype: "float32", dims: [1, 5], data: new Float32Array(5) }],
  ],
])("an input that is %s is answered with %s, and the next request works", async (_, code, tensors) => {
  lane.run(2, "s1", tensors);
  lane.run(3);
  expect(await lane.answer(2)).toMatchObject({ kind: "error", error: { code } });
  expect(await lane.answer(3)).toMatchObject({ kind: "ok" });
});

test("an output that is kept is not sent, and is an input of a later run, until it is freed", async () => {
  lane.run(2, "s1", undefined, { keep: { y: "h1" } });
  expect(lane.outputs.at(-1)).toBeUndefined();
  await lane.answer(2);
  expect(lane.outputs.at(-1)).toEqual([]);
  const one = [matrix("b", 1, 2)];
  lane.run(3, "s1", one, { feeds: { a: "h1" }, keep: { y: "h2" }, outputs: ["y"], free: ["h1"] });
  await lane.answer(3);
  expect(lane.outputs.at(-1)).toEqual([matrix("y", 12, 2)]); // kept and sent, as both were asked for
  lane.run(4, "s1", one, { feeds: { a: "h2" } });
  await lane.answer(4);
  expect(lane.outputs.at(-1)).toEqual([matrix("y", 13, 2)]);
  lane.run(5, "s1", one, { feeds: { a: "h1" } });
  expect(await lane.answer(5)).toMatchObject({ kind: "error", error: { code: "backend.handle", data: { handle: "h1" } } });
  lane.send({ kind: "free", id: 6, handles: ["h2", "h9"] });
  expect(await lane.answer(6)).toMatchObject({ kind: "ok" });
  lane.run(7, "s1", one, { feeds: { a: "h2" } });
  expect(await lane.answer(7)).toMatchObject({ kind: "error", error: { code: "backend.handle" } });
});

test("an input that is kept is an input of later runs, without being sent again", async () => {
  lane.run(2, "s1", [matrix("a", 10, 2), matrix("b", 1, 2)], { keep: { a: "h1" } });
  await lane.answer(2);
  expect(lane.outputs.at(-1)).toEqual([matrix("y", 11, 2)]);
  for (const [id, value] of [
    [3, 2],
    [4, 5],
  ] as const) {
    lane.run(id, "s1", [matrix("b", value, 2)], { feeds: { a: "h1" }, outputs: ["y"] });
    await lane.answer(id);
    expect(lane.outputs.at(-1)).toEqual([matrix("y", 10 + value, 2)]);
  }
});

test("what is kept is described where that is asked for, and can be read without being lost", async () => {
  lane.run(2, "s1", undefined, { keep: { y: "h1" }, describe: true });
  expect(await lane.answer(2)).toMatchObject({ kept: { h1: { dtype: "float32", dims: [2, 4] } } });
  for (const id of [3, 4]) {
    lane.send({ kind: "read", id, handles: ["h1"] });
    await lane.answer(id);
    expect(lane.outputs.at(-1)).toEqual([{ ...matrix("h1", 11, 2) }]);
  }
  lane.send({ kind: "read", id: 5, handles: ["h1", "h2"] });
  expect(await lane.answer(5)).toMatchObject({ kind: "error", error: { code: "backend.handle", data: { handle: "h2" } } });
  lane.run(6, "s1", [matrix("b", 1, 2)], { feeds: { a: "h1" } });
  await lane.answer(6);
  expect(lane.outputs.at(-1)).toEqual([matrix("y", 12, 2)]);
});

test("a failed run keeps and frees nothing", async () => {
  lane.run(2, "s1", undefined, { keep: { y: "h1" } });
  lane.run(3, "s1", [matrix("b", 1, 3)], { feeds: { a: "h1" }, keep: { y: "h2" }, free: ["h1"] }); // shapes that differ
  expect(await lane.answer(3)).toMatchObject({ kind: "error" });
  lane.run(4, "s1", [matrix("b", 1, 2)], { feeds: { a: "h2" } });
  expect(await lane.answer(4)).toMatchObject({ kind: "error", error: { code: "backend.handle" } });
  lane.run(5, "s1", [matrix("b", 1, 2)], { feeds: { a: "h1" } });
  await lane.answer(5);
  expect(lane.outputs.at(-1)).toEqual([matrix("y", 12, 2)]);
});

test("a model that is none is refused, and the next load works", async () => {
  lane.load(2, "s2", "/none", 17);
  lane.load(3, "s2");
  expect(await lane.answer(2)).toMatchObject({ kind: "error", error: { code: "model.invalid" } });
  expect(await lane.answer(3)).toMatchObject({ kind: "ok" });
});

test("a session's name is taken until it is unloaded", async () => {
  lane.load(2, "s1");
  lane.send({ kind: "unload", id: 3, session: "s1" });
  lane.load(4, "s1");
  expect(await lane.answer(2)).toMatchObject({ kind: "error", error: { code: "protocol.malformed" } });
  expect(await lane.answer(4)).toMatchObject({ kind: "ok" });
});

test("an answer over the limit becomes an error, and the next request works", async () => {
  lane.refuse = "too large";
  lane.run(2);
  expect(await lane.answer(2)).toMatchObject({ kind: "error", error: { code: "protocol.too_large", message: "too large" } });
  lane.refuse = undefined;
  lane.run(3);
  expect(await lane.answer(3)).toMatchObject({ kind: "ok" });
});

test("what is no message is answered, and the next request works", async () => {
  lane.service.receive("text");
  lane.service.receive(new ArrayBuffer(3));
  lane.send({ kind: "dance", id: 5 });
  lane.send({ kind: "run", id: 6 });
  expect(lane.sent.slice(-4)).toMatchObject([
    { kind: "error", id: 0, error: { code: "protocol.malformed" } },
    { kind: "error", id: 0, error: { code: "protocol.malformed" } },
    { kind: "error", id: 5, error: { code: "protocol.kind" } },
    { kind: "error", id: 6, error: { code: "protocol.malformed" } },
  ]);
  lane.run(7);
  expect(await lane.answer(7)).toMatchObject({ kind: "ok" });
});

test("when the device is lost, every request is answered with that once, and the host is told", async () => {
  lane.run(2);
  lane.run(3);
  lane.service.lose({ code: "lost.device", message: "gone" });
  lane.service.lose({ code: "lost.lane", message: "again" });
  lane.run(4);
  const gone = { code: "lost.device", message: "gone" };
  const spared = { ...gone, data: { bystander: true } };
  expect(lane.sent.slice(-4)).toEqual([
    { kind: "error", id: 2, error: gone },
    { kind: "lost", error: gone },
    { kind: "error", id: 3, error: spared },
    { kind: "error", id: 4, error: spared },
  ]);
  await new Promise((resolve) => setTimeout(resolve, 50)); // the run that was under way ends, and says nothing more
  expect(lane.order()).toEqual([1, 2, 3, 4]);
});

test("a trap that no promise brought ends the request under way and the lane", () => {
  lane.run(2);
  lane.run(3);
  lane.service.crash(new Error("something else went wrong"));
  expect(lane.order()).toEqual([1]);
  lane.service.crash(new WebAssembly.RuntimeError("unreachable"));
  expect(lane.sent.slice(-3)).toMatchObject([
    { kind: "error", id: 2, error: { code: "lost.runtime" } },
    { kind: "lost", error: { code: "lost.runtime" } },
    { kind: "error", id: 3, error: { code: "lost.lane", data: { bystander: true } } }, // it did not kill the runtime
  ]);
});

test("a browser without WebGPU has no speed to measure", async () => {
  vi.stubGlobal("navigator", {});
  lane.send({ kind: "measure", id: 2, limit: 10 });
  expect(await lane.answer(2)).toMatchObject({ kind: "error", error: { code: "backend.unavailable" } });
  vi.unstubAllGlobals();
});
