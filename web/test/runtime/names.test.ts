// Any names of inputs and outputs, on the real runtime.

import * as ort from "onnxruntime-web";
import { expect, test } from "vitest";

import { makeFeeds, namesOf, readOutputs, toRuntime } from "../../src/runtime/names";
import { createSession, sessionOptions } from "../../src/runtime/runtime";

// Each output is the sum of both inputs, and b is the second one with another sign; all are float32 (2).
const OUTPUTS =
  "CAg6mwIKFwoBNwoIdG9TdHJpbmcSAzQ5NSIDQWRkChIKCHRvU3RyaW5nEgFiIgNOZWcKHQoBNwoIdG9TdHJpbmcSCV9fcHJvdG9fXyIDQWRkChYKATcKCH" +
  "RvU3RyaW5nEgIxMiIDQWRkCh8KATcKCHRvU3RyaW5nEgtjb25zdHJ1Y3RvciIDQWRkEgFnWg8KATcSCgoICAESBAoCCAJaFgoIdG9TdHJpbmcSCgoICAES" +
  "BAoCCAJiEQoDNDk1EgoKCAgBEgQKAggCYg8KAWISCgoICAESBAoCCAJiFwoJX19wcm90b19fEgoKCAgBEgQKAggCYhAKAjEyEgoKCAgBEgQKAggCYhkKC2" +
  "NvbnN0cnVjdG9yEgoKCAgBEgQKAggCQgQKABAR";
const INPUTS =
  "CAg6pwEKKQoJX19wcm90b19fCg5oYXNPd25Qcm9wZXJ0eRIHdmFsdWVPZiIDQWRkChgKDmhhc093blByb3BlcnR5EgFiIgNOZWcSAWdaFwoJX19wcm90b1" +
  "9fEgoKCAgBEgQKAggCWhwKDmhhc093blByb3BlcnR5EgoKCAgBEgQKAggCYhUKB3ZhbHVlT2YSCgoICAESBAoCCAJiDwoBYhIKCggIARIECgIIAkIECgAQ" +
  "EQ==";

test.each([
  [OUTPUTS, ["7", "toString"], ["495", "b", "__proto__", "12", "constructor"]],
  [INPUTS, ["__proto__", "hasOwnProperty"], ["valueOf", "b"]],
])("names of JavaScript's own and numbers are names like any other, in the model's order", async (model, inputs, outputs) => {
  const target = { backend: "wasm" } as const;
  const session = await createSession(ort, Buffer.from(model, "base64"), target, sessionOptions(target, {}, []));
  const feeds = makeFeeds();
  inputs.forEach((name, at) => (feeds[name] = new ort.Tensor("float32", Float32Array.of(1 + 9 * at, 2 + 18 * at), [2])));
  expect(namesOf(session)).toEqual(outputs);
  for (const wanted of [outputs, [...outputs].reverse(), outputs.slice(0, 1), outputs.slice(2)]) {
    if (wanted.length === 0) continue;
    const made = readOutputs(await session.run(feeds, wanted.map(toRuntime)), wanted);
    expect([...made.keys()]).toEqual(wanted);
    for (const [name, { data }] of made) expect([...(data as Float32Array)]).toEqual(name === "b" ? [-10, -20] : [11, 22]);
  }
  await session.release();
});
