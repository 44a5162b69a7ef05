"""Graphs in half floats are valid, compute the same but for rounding, and keep what they take and give."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from webinfer.quantization.half.graph import halve_graph, to_half_array

node = helper.make_node
random = np.random.default_rng(6)
X = random.standard_normal((4, 64)).astype(np.float32)
WEIGHTS = {
    "w": (random.standard_normal((64, 64)) / 8).astype(np.float32),
    "g": np.ones(64, np.float32),
    "b": np.zeros(64, np.float32),
    "zero": np.array(0, np.float32),
    "axis": np.array(1),
    "two": np.array([2]),
    "scales": np.array([1.0, 1.51], np.float32),
    "huge": np.where(np.arange(64) % 2, -3.4e38, 0).astype(np.float32),
    "start": np.array(0, np.float32),
    "stop": np.array(3000, np.float32),
    "step": np.array(1, np.float32),
    "rows": np.array([[0], [2]]),
    "shape": np.array([4, 64]),
    "true": np.array(True),
    "count": np.array(3),
}
CAST_BACK = node("Cast", ["i"], ["f"], to=TensorProto.FLOAT)


def body(*nodes: NodeProto, name: str = "body", loop: bool = False) -> onnx.GraphProto:
    """Make a branch that gives ``out``, or the body of a loop that carries ``v``."""
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    if not loop:
        return helper.make_graph(list(nodes), name, [], [out])
    took = [
        helper.make_tensor_value_info("i", TensorProto.INT64, ()),
        helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
        helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
    ]
    on = helper.make_tensor_value_info("on", TensorProto.BOOL, ())
    return helper.make_graph([node("Identity", ["go"], ["on"]), *nodes], name, took, [on, out])


def constant(value: float) -> NodeProto:
    return node("Constant", [], ["k"], value=numpy_helper.from_array(np.array(value, np.float32)))


CASES: dict[str, tuple[NodeProto, ...]] = {
    "max": (node("Max", ["m", "zero"], ["r"]), node("Add", ["r", "r"], ["y"])),
    "max as an output": (node("Max", ["m", "zero"], ["y"]),),
    "min of an input": (node("Min", ["x", "m"], ["r"]), node("MatMul", ["r", "w"], ["y"])),
    "cumulated": (node("CumSum", ["m", "axis"], ["r"]), node("Add", ["r", "r"], ["y"])),
    "top": (node("TopK", ["m", "two"], ["r", "i"]), node("Add", ["r", "r"], ["y"])),
    "range": (
        node("Range", ["start", "stop", "step"], ["n"]),
        node("ReduceMax", ["n"], ["t"], keepdims=0),
        node("Div", ["m", "t"], ["y"]),
    ),
    "resize by a fraction": (node("Resize", ["m", "", "scales"], ["r"], mode="linear"), node("Neg", ["r"], ["y"])),
    "cast and back": (
        node("Cast", ["m"], ["i"], to=TensorProto.INT32),
        CAST_BACK,
        node("Mul", ["f", "m"], ["y"]),
    ),
    "cast of a computed value as an output": (
        node("Cast", ["x"], ["i"], to=TensorProto.INT32),
        node("Cast", ["i"], ["y"], to=1),
    ),
    "masked by a constant": (
        constant(-3.4e38),
        node("Mul", ["k", "zero"], ["a"]),
        node("Add", ["m", "a"], ["r"]),
        node("Softmax", ["r"], ["y"]),
    ),
    "masked by a weight": (
        node("Add", ["m", "huge"], ["a"]),
        node("Softmax", ["a"], ["s"]),
        node("Add", ["s", "m"], ["y"]),
    ),
    "filled": (
        node("ConstantOfShape", ["shape"], ["r"], value=numpy_helper.from_array(np.array([-3.4e38], np.float32))),
        node("Max", ["r", "m"], ["y"]),
    ),
    "rounded to 8 bits": (
        node("DynamicQuantizeLinear", ["m"], ["q", "s", "z"]),
        node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ),
    "normalized": (node("LayerNormalization", ["m", "g", "b"], ["r", "mean"]), node("Sub", ["r", "mean"], ["y"])),
    "of the runtime's own": (
        node("SkipLayerNormalization", ["m", "x", "g", "b"], ["r"], domain="com.microsoft"),
        node("QuickGelu", ["r"], ["t"], domain="com.microsoft"),
        node("Max", ["t", "zero"], ["y"]),
    ),
    "scattered": (node("ScatterND", ["m", "rows", "x2"], ["r"], reduction="add"), node("Neg", ["r"], ["y"])),
    "branches": (
        node("ReduceMax", ["m"], ["t"], keepdims=0),
        node("Greater", ["t", "zero"], ["so"]),
        node(
            "If",
            ["so"],
            ["r"],
            then_branch=body(constant(2.0), node("MatMul", ["m", "w"], ["p"]), node("Mul", ["p", "k"], ["out"])),
            else_branch=body(node("Max", ["m", "x"], ["out"]), name="other"),
        ),
        node("Add", ["r", "m"], ["y"]),
    ),
    "loop": (
        node(
            "Loop",
            ["count", "true", "m"],
            ["r"],
            body=body(node("Add", ["v", "b"], ["p"]), node("Max", ["p", "x"], ["out"]), loop=True),
        ),
        node("Tanh", ["r"], ["y"]),
    ),
    "sequence": (
        node("SplitToSequence", ["m"], ["s"], axis=1),
        node("ConcatFromSequence", ["s"], ["r"], axis=1),
        node("Neg", ["r"], ["y"]),
    ),
    "size": (
        node("Shape", ["m"], ["n"]),
        node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        node("ReduceSum", ["f"], ["t"], keepdims=0),
        node("Div", ["m", "t"], ["y"]),
    ),
    "the product itself": (node("Identity", ["m"], ["y"]),),
    "a weight as an output": (node("Neg", ["m"], ["n"]),),
}


def model(name: str, opset: int = 18) -> ModelProto:
    nodes = [node("MatMul", ["x", "w"], ["m"]), *CASES[name]]
    names = {read for each in nodes for read in (*each.input, "huge", "b", "x2")}
    weights = {**WEIGHTS, "x2": X[:2]}
    outputs = ["y"] if name != "a weight as an output" else ["n", "w"]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 64))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs],
        [numpy_helper.from_array(array, key) for key, array in weights.items() if key in names | {"w"}],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def run(graph: ModelProto) -> list[Any]:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    answers: list[Any] = session.run(None, {"x": X})
    return answers


@pytest.mark.parametrize("name", CASES)
def test_every_operator_gets_the_types_that_it_takes(name: str) -> None:
    full = model(name)
    expected = run(full)
    halve_graph(full)
    weights = {tensor.name: tensor.data_type for tensor in full.graph.initializer}
    assert TensorProto.FLOAT16 in weights.values()
    if "a weight" not in name:
        assert weights["w"] == TensorProto.FLOAT16
    for answer, right in zip(run(full), expected, strict=True):
        assert (answer.dtype, answer.shape) == (right.dtype, right.shape)
        assert np.isfinite(answer).all()
        np.testing.assert_allclose(answer, right, rtol=0.02, atol=0.03)


def test_arithmetic_is_in_half_floats_and_no_cast_is_there_twice() -> None:
    full = model("cast and back")
    halve_graph(full)
    counts = Counter(each.op_type for each in full.graph.node)
    assert counts == {"MatMul": 1, "Mul": 1, "Cast": 4}  # x to half floats, the two of the model, y to float32
    to = {each.output[0]: each.attribute[0].i for each in full.graph.node if each.op_type == "Cast"}
    assert sorted(to.values()) == [TensorProto.FLOAT, TensorProto.INT32, TensorProto.FLOAT16, TensorProto.FLOAT16]


def test_weights_of_branches_are_halved() -> None:
    full = model("branches")
    halve_graph(full)
    either = next(each for each in full.graph.node if each.op_type == "If")
    then = next(attribute.g for attribute in either.attribute if attribute.name == "then_branch")
    assert [tensor.data_type for tensor in then.initializer] == [TensorProto.FLOAT16]


def test_values_stay_finite_and_do_not_vanish() -> None:
    values = np.array([1e30, -1e30, 1e-30, -1e-30, 0, np.inf, 1.0], np.float32)
    half = to_half_array(values)
    assert half.dtype == np.float16
    assert half.tolist()[:2] == [65504, -65504]
    assert half[2] > 0 > half[3]
    assert half.tolist()[4:] == [0, np.inf, 1]
