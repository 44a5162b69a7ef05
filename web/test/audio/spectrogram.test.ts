// The spectrogram's tables and sizes; the shaders themselves run in the browsers of the Python tests.

import { expect, test } from "vitest";

import { narrow } from "../../src/audio/logmel";
import { filterSpans, hannWindow, sizes, waveTable } from "../../src/audio/spectrogram";

const WHISPER = { length: 480_000, hop: 160, mels: 80, bins: 201 };

test("Whisper's spectrogram has 3000 frames, four side by side", () => {
  expect(sizes(WHISPER)).toEqual({ frames: 3000, groups: 750, rows: 202, columns: 101 });
});

test("frames that are no multiple of four, and windows that are none, are rounded up", () => {
  expect(sizes({ length: 1000, hop: 100, mels: 1, bins: 202 })).toEqual({ frames: 10, groups: 3, rows: 202, columns: 101 });
});

test("the window rises from 0 at its edge to 1 in its middle", () => {
  const window = hannWindow(201);
  expect([window[0], window[100], window[200]]).toEqual([0, 0.5, 1]);
});

test("waves turn as often as their frequency says, and are still beyond a window's middle", () => {
  const table = waveTable(WHISPER);
  const at = (n: number, k: number) => [...table.subarray(2 * (n * 101 + k), 2 * (n * 101 + k) + 2)];
  expect(at(0, 7)).toEqual([1, 0]);
  expect(at(100, 1)[0]).toBeCloseTo(0, 6);
  expect(at(100, 1)[1]).toBe(1);
  expect(at(3, 50)[0]).toBeCloseTo(Math.cos((2 * Math.PI * 150) / 400), 6);
  expect(at(201, 5)).toEqual([0, 0]);
});

test("a filter's span holds all that is not 0, and an empty one nothing", () => {
  expect([...filterSpans([0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3], 3, 4)]).toEqual([1, 3, 0, 0, 3, 4]);
});

test("what pads the frames is cut off", () => {
  expect([...narrow(Float32Array.of(1, 2, 9, 9, 3, 4, 9, 9), 2, 2, 4)]).toEqual([1, 2, 3, 4]);
});
