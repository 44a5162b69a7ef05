import { describe, expect, test } from "vitest";

import { classify, lostLane, type Phase } from "../../src/runtime/failures";
import { CodedError } from "../../src/wire/errors";

const BUILD = "/mnt/build/_work/1/s/onnxruntime/core/";
const CREATE = "Can't create a session. ERROR_CODE: ";
const RUN = "failed to call OrtRun(). ERROR_CODE: ";

// Texts of onnxruntime-web 1.30.0, as it threw them in Chromium and Firefox.
const CASES: [phase: Phase, text: string, code: string, data?: object][] = [
  ["load", `${CREATE}7, ERROR_MESSAGE: Failed to load model because protobuf parsing failed.`, "model.invalid"],
  [
    "load",
    `${CREATE}2, ERROR_MESSAGE: Invalid model. Node input 'nope' is not a graph input, initializer, or output of a previous node.`,
    "model.invalid",
  ],
  [
    "load",
    `${CREATE}1, ERROR_MESSAGE: Type Error: Type (tensor(int64)) of output arg (y) of node () does not match expected type (tensor(float)).`,
    "model.invalid",
  ],
  [
    "load",
    `${CREATE}1, ERROR_MESSAGE: Node () Op (MatMul) [ShapeInferenceError] Incompatible dimensions for matrix multiplication`,
    "model.invalid",
  ],
  [
    "load",
    `${CREATE}1, ERROR_MESSAGE: ${BUILD}graph/model.cc:203 onnxruntime::Model::Model(ModelProto &&) Unsupported model IR version: 99, max supported IR version: 13\n`,
    "model.invalid",
  ],
  [
    "load",
    `${CREATE}1, ERROR_MESSAGE: Deserialize tensor w failed.Failed to load external data file ""ext.data"", error: Module.MountedFiles is not available.`,
    "model.invalid",
    { path: "ext.data" },
  ],
  [
    "load",
    `${CREATE}10, ERROR_MESSAGE: This is an invalid model. In Node, ("", Frobnicate, "", -1) : ("x": tensor(float),) -> ("y": tensor(float),) , Error No Op registered for Frobnicate with domain_version of 17`,
    "model.operator",
    { operator: "Frobnicate", opset: 17 },
  ],
  [
    "load",
    `${CREATE}1, ERROR_MESSAGE: Fatal error: acme:Frob(-1) is not a registered function/op`,
    "model.operator",
    { operator: "Frob" },
  ],
  [
    "load",
    `${CREATE}9, ERROR_MESSAGE: Could not find an implementation for Cast(13) node with name ''`,
    "model.operator",
    { operator: "Cast", opset: 13 },
  ],
  [
    "load",
    `${CREATE}1, ERROR_MESSAGE: Exception during initialization: ${BUILD}optimizer/transformer_memcpy.cc:254 !node_provider_type.empty() was false. Provider type for Add node with name '' is not set\n`,
    "model.operator",
    { operator: "Add" },
  ],
  [
    "load",
    `${CREATE}1, ERROR_MESSAGE: ${BUILD}graph/model_load_utils.h:56 ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions. Opset 99 is under development and support for this is limited. Current official support for domain ai.onnx is till opset 25.\n`,
    "model.operator",
  ],
  ["load", "Can't create a session. failed to allocate a buffer of size 4000000000.", "backend.memory"],
  ["load", "Array buffer allocation failed", "backend.memory"],
  [
    "load",
    "Failed to execute 'dequantizeLinear' on 'MLGraphBuilder': [c_21] The shape of scale and zero point must be the same.",
    "backend.load",
  ],
  ["run", "input 'b' is missing in 'feeds'.", "input.missing", { name: "b" }],
  ["run", "invalid input 'zz'", "input.unknown", { name: "zz" }],
  [
    "run",
    `${RUN}2, ERROR_MESSAGE: Unexpected input data type. Actual: (tensor(int64)) , expected: (tensor(float))`,
    "input.dtype",
    { actual: "int64", expected: "float" },
  ],
  [
    "run",
    `${RUN}2, ERROR_MESSAGE: Invalid rank for input: a Got: 1 Expected: 2 Please fix either the inputs/outputs or the model.`,
    "input.shape",
    { name: "a" },
  ],
  [
    "run",
    `${RUN}2, ERROR_MESSAGE: Got invalid dimensions for input: a for the following indices\n index: 1 Got: 5 Expected: 4\n`,
    "input.shape",
    { name: "a" },
  ],
  [
    "run",
    `${RUN}1, ERROR_MESSAGE: Non-zero status code returned while running Add node. Name:'add1' Status Message: ${BUILD}providers/cpu/math/element_wise_ops.h:583 axis == 1 || axis == largest was false. Attempting to broadcast an axis by a dimension other than 1. 2 by 3\n`,
    "input.shape",
    { operator: "Add", node: "add1" },
  ],
  [
    "run",
    `${RUN}1, ERROR_MESSAGE: Non-zero status code returned while running Add node. Name:'' Status Message: : left operand cannot broadcast on dim 0 LeftShape: {2,4}, RightShape: {3,4}`,
    "input.shape",
    { operator: "Add", node: "" },
  ],
  [
    "run",
    `${RUN}2, ERROR_MESSAGE: Non-zero status code returned while running Gather node. Name:'' Status Message: indices element out of data bounds, idx=9`,
    "backend.run",
    { operator: "Gather", node: "" },
  ],
  [
    "run",
    `${RUN}6, ERROR_MESSAGE: Non-zero status code returned while running Neg node. Name:'' Status Message: std::bad_alloc`,
    "backend.memory",
  ],
  [
    "run",
    `${RUN}2, ERROR_MESSAGE: Non-zero status code returned while running Expand node. Name:'' Status Message: Tensor shape is too large`,
    "backend.memory",
  ],
  ["run", "The GPU reported: Out of memory", "backend.memory"],
  ["run", "something new", "backend.run"],
  ["load", "something new", "backend.load"],
];

test.each(CASES)("%s: %s", (phase, text, code, data) => {
  const { body, fatal } = classify(new Error(text), phase);
  expect(body.code).toBe(code);
  expect(body.data).toEqual(data);
  expect(body.message).toContain(text.slice(-25).trim());
  expect(body.message).not.toContain("/mnt/");
  expect(fatal).toBe(false);
});

test("the runtime's text follows the culprit and the remedy", () => {
  expect(classify(new Error("invalid input 'zz'"), "run").body.message).toBe("The model has no input zz. (invalid input 'zz')");
});

test("loading does not blame the inputs", () => {
  expect(classify(new Error("invalid input 'zz'"), "load").body.code).toBe("backend.load");
});

describe("a dead runtime", () => {
  test.each([
    [new WebAssembly.RuntimeError("unreachable")],
    [new WebAssembly.RuntimeError("memory access out of bounds")],
    [new Error("Aborted(native code called abort())")],
  ])("%s kills the lane", (error) => {
    const { body, fatal } = classify(error, "run");
    expect(fatal).toBe(true);
    expect(body.code).toBe("lost.runtime");
    expect(body.message).toContain(error.message);
  });

  test("an abort for lack of memory says memory, and kills the lane too", () => {
    expect(classify(new Error("Aborted(OOM)"), "load")).toMatchObject({ fatal: true, body: { code: "backend.memory" } });
  });

  test("its error names the cause", () => {
    expect(lostLane(new WebAssembly.RuntimeError("unreachable"))).toMatchObject({ code: "lost.runtime", name: "RuntimeError" });
  });
});

test("an error of ours keeps its code, data and stack", () => {
  const { body } = classify(new CodedError("model.fetch", "gone", { url: "/a" }), "load");
  expect(body).toMatchObject({ code: "model.fetch", message: "gone", data: { url: "/a" } });
  expect(body.stack).toContain("failures.test");
});

test.each([
  [123456, "C++ exception 123456"],
  ["text", "text"],
  [{ message: "like an error" }, "like an error"],
  [undefined, "undefined"],
])("%s, thrown, is told", (thrown, text) => {
  expect(classify(thrown, "run").body).toMatchObject({ code: "backend.run", message: expect.stringContaining(text) as string });
});

test("a text of any length is cut to what fits a message", () => {
  expect(classify(new Error("x".repeat(1e6)), "run").body.message.length).toBeLessThan(1e4);
});
