// The timed loops: WebAssembly runs here, the shaders run in browsers (tests/browser/test_speeds.py).

import { afterEach, expect, test, vi } from "vitest";

import { assemble, expected, fastest, timeCpu } from "../../src/gpu/speed";

interface Loops {
  readonly memory: WebAssembly.Memory;
  arithmetic(rounds: number, start: number): number;
  triad(bytes: number): void;
}

async function loops(): Promise<Loops> {
  const { instance } = await WebAssembly.instantiate(assemble());
  return instance.exports as unknown as Loops;
}

afterEach(() => {
  vi.restoreAllMocks();
});

test("the arithmetic loop computes what it is timed for", async () => {
  const { arithmetic } = await loops();
  // Twelve chains start at 2, 4, … 24, and each goes to 1 by a thousandth a round.
  for (const rounds of [1, 50, 1000]) expect(arithmetic(rounds, 2)).toBeCloseTo(12 + (156 - 12) * 0.999 ** rounds, 1);
});

test("the triad adds a multiple of one array to another, to the last value and not beyond", async () => {
  const { memory, triad } = await loops();
  const values = new Float32Array(memory.buffer);
  const length = values.length / 3;
  values.fill(1);
  triad(length * 4);
  for (const value of [values[0], values[length - 1]]) expect(value).toBeCloseTo(1.999, 6);
  expect([values[length], values[values.length - 1]]).toEqual([1, 1]);
});

test("a thread of WebAssembly has a speed", async () => {
  const speed = await timeCpu(60);
  expect(speed?.gflops).toBeGreaterThan(0.01);
  expect(speed?.gbps).toBeGreaterThan(0.01);
});

test("the threads of the shader all go to one", () => {
  expect(expected(0).slice(0, 2)).toEqual([1.875, 2.875]);
  for (const value of expected(100_000)) expect(value).toBeCloseTo(1, 6);
});

test("slices begin small and grow until they last, within the time there is", async () => {
  const amounts: number[] = [];
  let clock = 0; // of its own, which no other process holds up
  vi.spyOn(performance, "now").mockImplementation(() => clock);
  const work = (amount: number) => {
    amounts.push(amount);
    clock += amount * 0.01;
  };
  const rate = await fastest(work, 100);
  expect(amounts[0]).toBe(1);
  expect(Math.max(...amounts.map((amount, place) => amount / (amounts[place - 1] ?? amount)))).toBeLessThanOrEqual(8);
  expect(rate).toBeCloseTo(100, 6);
  expect(clock).toBeGreaterThan(80);
  expect(clock).toBeLessThanOrEqual(100);
});

test("work that is too slow for the time there is done once", async () => {
  let times = 0;
  const slow = () => new Promise<void>((resolve) => setTimeout(resolve, 60, times++));
  expect(await fastest(slow, 20)).toBeLessThan(0.02);
  expect(times).toBe(1);
});
