import { expect, test } from "vitest";

import { WireError } from "../../src/wire/errors";
import { packStrings, packedLength, unpackStrings } from "../../src/wire/strings";

test.each([[[]], [["one", "zwölf", "", '"\\/', "模型 🙂"]]])("strings are the same after the way: %j", (strings: string[]) => {
  const packed = packStrings(strings);
  expect(packedLength(packed.buffer as ArrayBuffer, 0)).toBe(packed.length);
  expect(unpackStrings(packed, strings.length)).toEqual(strings);
});

test.each([
  ["not JSON", "[1"],
  ["numbers", "[1]"],
  ["too many", '["a","b"]'],
  ["no list", '{"a":1}'],
])("what is no list of one string is refused: %s", (_, text) => {
  const packed = new Uint8Array(8 + text.length);
  packed.set(new TextEncoder().encode(text), 8);
  expect(() => unpackStrings(packed, 1)).toThrow(WireError);
});
