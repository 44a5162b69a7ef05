"""Softmax of old opsets is right on WebGPU: its flattening is written out."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from tests.models.graphs.fusion.conftest import CheckOn, natively
from webinfer.models.graphs.fusion import fuse

X = np.random.default_rng(0).standard_normal((2, 5, 4, 7)).astype(np.float32)

CASES = [
    (operator, opset, axis)
    for operator in ("Softmax", "LogSoftmax")
    for opset, axis in ((11, 0), (11, 1), (9, 2), (12, 3), (12, -2), (11, None))
]


def _model(operator: str, opset: int, axis: int | None) -> ModelProto:
    node = helper.make_node(operator, ["x"], ["y"])
    if axis is not None:
        node.attribute.append(helper.make_attribute("axis", axis))
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 5, "rows", 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5, "rows", 7])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)


@pytest.mark.parametrize(("operator", "opset", "axis"), [*CASES, ("Hardmax", 11, 2)])
def test_flattening_changes_no_answer(operator: str, opset: int, axis: int | None) -> None:
    model = _model(operator, opset, axis)
    right = natively(model, X)
    assert fuse(model, "webgpu") == {"Softmax": 1}
    onnx.checker.check_model(model)
    np.testing.assert_allclose(natively(model, X), right, atol=1e-6)


def test_newer_ones_stay() -> None:
    assert fuse(_model("Softmax", 13, 1), "webgpu") == {}


@pytest.mark.browser("embedded")
def test_webgpu_answers_as_native_does(check_on: CheckOn) -> None:
    check_on("webgpu", [(_model(*case), X) for case in CASES])
