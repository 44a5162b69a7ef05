import { expect, test, vi } from "vitest";

import { RuntimeTrace, splitRun, type Mark } from "../../src/runtime/trace";

const mark = (step: string, end: boolean, at: number): Mark => ({ step, end, at });
const MARKS = [
  mark("wasm prepareInputOutputTensor", false, 12),
  mark("wasm prepareInputOutputTensor", true, 13),
  mark("wasm bindInputsOutputs", true, 15),
  mark("wasm ProcessOutputTensor", false, 18),
  mark("wasm ProcessOutputTensor", true, 19),
];
const MOMENTS = { start: 10, returned: 20, settled: 27, end: 30 };

test("a run is split where its inputs are bound, and where its outputs are taken, the device's work counted as running", () => {
  expect(splitRun(MARKS, MOMENTS)).toEqual({ upload: 5, run: 3 + 7, readback: 2 + 3, total: 20 });
});

test("where nothing is bound, inputs are up when they are prepared", () => {
  const marks = MARKS.filter(({ step }) => step !== "wasm bindInputsOutputs");
  expect(splitRun(marks, { ...MOMENTS, settled: 20, end: 20 })).toEqual({ upload: 3, run: 5, readback: 2, total: 10 });
});

test("a run without marks is not split", () => {
  expect(splitRun([], MOMENTS)).toBeUndefined();
});

test("only what the runtime writes, and only while somebody asks, is kept from the console", async () => {
  const scope = { log: vi.fn(), time: vi.fn(), timeEnd: vi.fn() };
  const { log, time } = scope;
  const trace = new RuntimeTrace(scope);
  const line = '{"cat" : "Node","pid" :42}';
  scope.log(line);
  expect(
    trace.profile(() => {
      for (const text of ["[", line, "a word", "]"]) scope.log(text);
    }),
  ).toEqual(["[", line, "]"]);
  expect(log.mock.calls).toEqual([[line], ["a word"]]);
  const env = { trace: false };
  scope.time("ORT::before");
  const { value, marks } = await trace.mark(env, () => {
    expect(env.trace).toBe(true);
    scope.time("somebody's");
    scope.time("ORT::wasm ProcessOutputTensor");
    return Promise.resolve(4);
  });
  expect([value, env.trace]).toEqual([4, false]);
  expect(marks).toMatchObject([{ step: "wasm ProcessOutputTensor", end: false }]);
  expect(time.mock.calls).toEqual([["ORT::before"], ["somebody's"]]);
});
