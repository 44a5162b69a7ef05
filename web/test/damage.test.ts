import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { WireError } from "../src/wire/errors";
import { readHostToLane, readHostToPage } from "../src/wire/messages";
import { decode } from "../src/wire/frames";

const FRAMES = 100_000;
const CASES = JSON.parse(readFileSync(new URL("../../fixtures/wire/golden.json", import.meta.url), "utf8")) as {
  hex: string;
  error?: string;
}[];
const GOLDEN = CASES.filter(({ error }) => error === undefined).map(({ hex }) => new Uint8Array(Buffer.from(hex, "hex")));

/** Numbers in [0, 1) that are the same in every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

test("a hundred thousand damaged frames are read or refused, and nothing else happens", () => {
  const random = seeded(7);
  const below = (limit: number) => Math.floor(random() * limit);
  let refused = 0;
  for (let count = 0; count < FRAMES; count++) {
    const damaged = [...(GOLDEN[below(GOLDEN.length)] ?? [])];
    for (let changes = 1 + below(4); changes > 0; changes--) {
      const at = below(damaged.length + 1);
      const kind = below(3);
      if (kind === 0) damaged.splice(at, 1, below(256));
      else if (kind === 1) damaged.splice(at, 1 + below(9));
      else damaged.splice(at, 0, ...damaged.slice(at, at + 1 + below(9)));
    }
    try {
      const { header } = decode(Uint8Array.from(damaged).buffer);
      for (const read of [readHostToPage, readHostToLane]) read(header);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(FRAMES / 2);
}, 60_000); // a busy machine is not a bug
