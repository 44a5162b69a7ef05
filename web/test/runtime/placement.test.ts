// The runtime's log of a session's creation: lines as ONNX Runtime Web 1.30.0 wrote them in a browser.

import { expect, test } from "vitest";

import { RuntimeLog, readPlacement } from "../../src/runtime/placement";

const at = (where: string, text: string) => `2026-11-25 09:19:28.170355 [V:onnxruntime:, ${where}] ${text}`;
const placed = (line: number, text: string) => at(`session_state.cc:${line} VerifyEachNodeIsAssignedToAnEp`, text);
const refused = (operator: string, node: string) =>
  at(
    "webgpu_execution_provider.cc:665 GetCapability",
    `webgpu kernel not found in registries for Op type: ${operator} node name: ${node}`,
  );
const asked = (operator: string, index: number, supported: 0 | 1) =>
  at(
    "helper.cc:216 GetSupportedNodes",
    `Operator type: [${operator}] index: [${index}] name: [n${index}] supported: [${supported}]`,
  );
const partitions = (graphs: number, all: number, supported: number) =>
  at(
    "webnn_execution_provider.cc:158 GetCapability",
    `WebNNExecutionProvider::GetCapability, number of partitions supported by WebNN: ${graphs} ` +
      `number of nodes in the graph: ${all} number of nodes supported by WebNN: ${supported}`,
  );

test("a graph that went to one backend as a whole is told in one line", () => {
  const lines = [
    placed(1377, "Node placements"),
    placed(1380, " All nodes placed on [CPUExecutionProvider]. Number of nodes: 179"),
  ];
  expect(readPlacement("wasm", lines)).toEqual({ nodes: { wasm: 179 }, fallen: {}, copies: 0, graphs: 0 });
});

test("nodes elsewhere are told by operator, and copies between backends are no nodes of the model", () => {
  const lines = [
    refused("Shape", "Shape_2"),
    placed(1377, "Node placements"),
    placed(1383, " Node(s) placed on [CPUExecutionProvider]. Number of nodes: 3"),
    placed(1385, "  Shape (Shape_2)"),
    placed(1385, "  Cast ()"),
    placed(1385, "  Cast (/encoder/Cast (2))"),
    placed(1383, " Node(s) placed on [WebGpuExecutionProvider]. Number of nodes: 3"),
    placed(1385, "  Gather (Gather_0)"),
    placed(1385, "  MemcpyFromHost (Memcpy)"),
    placed(1385, "  MatMul (MatMul_1)"),
  ];
  const placement = { nodes: { wasm: 3, webgpu: 2 }, fallen: { Shape: 1, Cast: 2 }, copies: 1, graphs: 0 };
  expect(readPlacement("webgpu", lines)).toEqual(placement);
});

test("where nothing went to the backend, the operators are those that it refused, each node once", () => {
  const lines = [
    refused("Erf", "Erf_1"),
    refused("Erf", "Erf_2"),
    refused("Erf", "Erf_1"),
    placed(1380, " All nodes placed on [CPUExecutionProvider]. Number of nodes: 2"),
  ];
  expect(readPlacement("webgpu", lines)).toEqual({ nodes: { wasm: 2 }, fallen: { Erf: 2 }, copies: 0, graphs: 0 });
});

test("nodes that WebNN compiled into one graph count as many", () => {
  const lines = [partitions(1, 201, 201), placed(1380, " All nodes placed on [WebNNExecutionProvider]. Number of nodes: 1")];
  expect(readPlacement("webnn", lines)).toEqual({ nodes: { webnn: 201 }, fallen: {}, copies: 0, graphs: 1 });
});

test("WebNN's answer for the last graph counts, or the sum where it was asked about parts", () => {
  const whole = placed(1380, " All nodes placed on [WebNNExecutionProvider]. Number of nodes: 1");
  const parts = placed(1380, " All nodes placed on [WebNNExecutionProvider]. Number of nodes: 2");
  expect(readPlacement("webnn", [partitions(1, 9, 9), partitions(1, 7, 7), whole])?.nodes).toEqual({ webnn: 7 });
  expect(readPlacement("webnn", [partitions(1, 9, 9), partitions(1, 7, 7), parts])?.nodes).toEqual({ webnn: 16 });
});

test("operators that WebNN lacks are told where it took none", () => {
  const lines = [
    asked("Add", 0, 1),
    asked("Erf", 1, 0),
    placed(1380, " All nodes placed on [CPUExecutionProvider]. Number of nodes: 2"),
  ];
  expect(readPlacement("webnn", lines)?.fallen).toEqual({ Erf: 1 });
});

test("a log that does not tell yields nothing", () => {
  expect(readPlacement("wasm", ["something else"])).toBeUndefined();
});

test("the runtime's details are kept while asked for and shown to nobody; its errors are shown", () => {
  const shown: unknown[] = [];
  const scope = { error: (...data: unknown[]) => void shown.push(data) };
  const log = new RuntimeLog(scope);
  scope.error(placed(1377, "before"));
  log.open();
  scope.error(placed(1377, "while"));
  scope.error("2026 [E:onnxruntime:, x.cc:1 y] broken");
  scope.error({ some: "thing" });
  expect(log.close()).toEqual([placed(1377, "while")]);
  scope.error(placed(1377, "after"));
  expect(log.close()).toEqual([]);
  expect(shown).toEqual([["2026 [E:onnxruntime:, x.cc:1 y] broken"], [{ some: "thing" }]]);
});
