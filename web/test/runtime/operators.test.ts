// The runtime's profiles: lines as ONNX Runtime Web 1.30.0 wrote them in a browser, some arguments left out.

import { expect, test } from "vitest";

import { readOperators } from "../../src/runtime/operators";

const event = (category: string, name: string, at: number, us: number, told: string) =>
  `{"cat" : "${category}","pid" :42,"tid" :1304824,"dur" :${us},"ts" :${at},"ph" : "X","name" :"${name}","args" : {${told}}},`;
const run = (at: number) => event("Session", "model_run", at, 5150, "");
const node = (operator: string, provider: string, at: number, us: number) =>
  event("Node", `${operator}_1_kernel_time`, at, us, `"op_name" : "${operator}","provider" : "${provider}","node_index" : "0"`);
const shader = (name: string, us: number) => event("Api", name, 1, us, `"shapes" : "inputs[0] = {1} ","cache_key" : "Neg:1|"`);

const [CPU, GPU, WEBNN] = ["CPUExecutionProvider", "WebGpuExecutionProvider", "WebNNExecutionProvider"];

test("on WebAssembly, an operator takes what its kernels take, without the first run", () => {
  const lines = [
    "[",
    ...[node("MatMul", CPU, 110, 9000), node("Add", CPU, 120, 900), run(100)],
    ...[node("MatMul", CPU, 210, 300), node("MatMul", CPU, 220, 500), node("Add", CPU, 230, 20), run(200)],
    ...[node("MatMul", CPU, 310, 300), node("MatMul", CPU, 320, 300), node("Add", CPU, 330, 40), run(300)],
    "]",
  ];
  expect(readOperators(lines, 3)).toEqual([
    { operator: "MatMul", provider: CPU, nodes: 2, ms: 0.7 },
    { operator: "Add", provider: CPU, nodes: 1, ms: 0.03 },
  ]);
});

test("on WebGPU, an operator takes what the GPU's clock says of its shaders, and copies are not timed", () => {
  const each = (at: number) => [
    node("Neg", GPU, at + 1, 134),
    node("MemcpyToHost", GPU, at + 2, 455),
    node("Mod", CPU, at + 3, 19),
    node("Reshape", GPU, at + 4, 7),
    run(at),
  ];
  // A node's name may hold anything, and a shader may run in the first run only: weights are laid out anew there.
  const first = [shader("n&0&Neg&Neg", 957), shader("w&Neg&Transpose", 4000)];
  const lines = [...each(100), ...each(200), ...each(300), ...first, shader("n&0&Neg&Neg", 48), shader("n&0&Neg&Neg", 52)];
  expect(readOperators(lines, 3)).toEqual([
    { operator: "Neg", provider: GPU, nodes: 1, ms: 0.05 },
    { operator: "MemcpyToHost", provider: GPU, nodes: 1, ms: null },
    { operator: "Mod", provider: CPU, nodes: 1, ms: 0.019 },
    { operator: "Reshape", provider: GPU, nodes: 1, ms: 0 },
  ]);
});

test("where a GPU has no clock, its operators are counted only", () => {
  const lines = [node("Neg", GPU, 110, 134), run(100), node("Neg", GPU, 210, 134), run(200)];
  expect(readOperators(lines, 2)).toEqual([{ operator: "Neg", provider: GPU, nodes: 1, ms: null }]);
});

test("a graph that WebNN compiled is one node without a time", () => {
  const compiled = (at: number) => [
    node("WEBNN_16916274361952890589_2", WEBNN, at + 1, 114),
    node("WEBNN_16916274361952890589_3", WEBNN, at + 2, 120),
    run(at),
  ];
  expect(readOperators([...compiled(100), ...compiled(200)], 2)).toEqual([
    { operator: "compiled graph", provider: WEBNN, nodes: 2, ms: null },
  ]);
});

test("a log that tells of no run tells of no operator", () => {
  expect(readOperators(["[", "]"], 2)).toEqual([]);
});
