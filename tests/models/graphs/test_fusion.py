"""Graphs are rewritten where the answers stay the same, and nowhere else."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, helper, numpy_helper

from tests.modelfiles import Write, value
from webinfer.models.graphs.fusion import fuse

node = helper.make_node
CONSTANTS = {"root": math.sqrt(2), "inverse": math.sqrt(0.5), "one": 1.0, "half": 0.5, "other": 0.51}
ERF = [node("Div", ["x", "root"], ["a"]), node("Erf", ["a"], ["b"]), node("Add", ["b", "one"], ["c"])]
SCALED = [node("Mul", ["inverse", "x"], ["a"]), node("Erf", ["a"], ["b"]), node("Add", ["one", "b"], ["c"])]
LAST_HALVED = [node("Mul", ["x", "c"], ["d"]), node("Mul", ["d", "half"], ["y"])]
FIRST_HALVED = [node("Mul", ["x", "half"], ["d"]), node("Mul", ["d", "c"], ["y"])]
INNER_HALVED = [node("Mul", ["c", "half"], ["d"]), node("Mul", ["x", "d"], ["y"])]


def save(write: Write, nodes: list[NodeProto], dtype: Any = np.float32, **options: Any) -> Path:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    constants = [numpy_helper.from_array(np.array(number, dtype), name) for name, number in CONSTANTS.items()]
    options.setdefault("outputs", [value("y", kind)])
    return write(nodes=nodes, inputs=[value("x", kind)], initializers=constants, **options)


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(each.op_type for each in model.graph.node)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("halves", [LAST_HALVED, FIRST_HALVED, INNER_HALVED])
@pytest.mark.parametrize("inner", [ERF, SCALED])
def test_gelu_is_found_in_each_of_its_forms(
    write: Write, inner: list[NodeProto], halves: list[NodeProto], dtype: Any
) -> None:
    path = save(write, [*inner, *halves], dtype)
    model = onnx.load(path)
    assert fuse(model, "webnn") == {"Gelu": 1}
    assert operators(model) == {"Gelu": 1}
    x = np.linspace(-6, 6, 301).astype(dtype)
    expected = np.array([v / 2 * (1 + math.erf(v / math.sqrt(2))) for v in x.astype(np.float64)])
    if dtype == np.float32:  # the native runtime has no half-precision kernel for Gelu
        (got,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
        np.testing.assert_allclose(got, expected, atol=1e-6)


LEFT = {
    "another factor": [*ERF, node("Mul", ["x", "c"], ["d"]), node("Mul", ["d", "other"], ["y"])],
    "another scale": [node("Div", ["x", "other"], ["a"]), *ERF[1:], *LAST_HALVED],
    "another input": [
        *ERF,
        node("Neg", ["x"], ["z"]),
        node("Mul", ["z", "c"], ["d"]),
        node("Mul", ["d", "half"], ["y"]),
    ],
    "a step used twice": [*ERF, *LAST_HALVED[:1], node("Mul", ["d", "half"], ["e"]), node("Add", ["e", "b"], ["y"])],
    "a square": [*ERF, node("Mul", ["c", "c"], ["d"]), node("Mul", ["d", "half"], ["y"])],
    "an erf alone": [node("Erf", ["x"], ["y"])],
}


@pytest.mark.parametrize("nodes", LEFT.values(), ids=LEFT)
def test_what_only_looks_like_gelu_is_left_alone(write: Write, nodes: list[NodeProto]) -> None:
    model = onnx.load(save(write, nodes))
    before = model.SerializeToString()
    assert fuse(model, "webnn") == {}
    assert model.SerializeToString() == before


def test_step_that_is_an_output_is_kept(write: Write) -> None:
    model = onnx.load(save(write, [*ERF, *LAST_HALVED], outputs=[value("y"), value("b")]))
    assert fuse(model, "webnn") == {}


def test_other_backends_get_the_graph_as_it_is(write: Write) -> None:
    model = onnx.load(save(write, [*ERF, *LAST_HALVED]))
    assert fuse(model, "wasm") == {}
    assert operators(model)["Erf"] == 1
