"""The last index of several that are largest is right on WebNN: it is the first one of the reversed elements."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from tests.models.graphs.fusion.conftest import CheckOn, natively
from webinfer.models.graphs.fusion import fuse

X = np.random.default_rng(0).integers(0, 3, (2, 3, 6)).astype(np.float32)  # most rows have ties

CASES = list(product(("ArgMax", "ArgMin"), (None, 1, -1), (0, 1)))


def _model(operator: str, axis: int | None, keep: int, last: int = 1) -> ModelProto:
    node = helper.make_node(operator, ["x"], ["y"], keepdims=keep, select_last_index=last)
    if axis is not None:
        node.attribute.append(helper.make_attribute("axis", axis))
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [None] * (2 + keep))],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=8)


@pytest.mark.parametrize(("operator", "axis", "keep"), CASES)
def test_reversing_changes_no_answer(operator: str, axis: int | None, keep: int) -> None:
    model = _model(operator, axis, keep)
    right = natively(model, X)
    assert fuse(model, "webnn") == {operator: 1}
    onnx.checker.check_model(model)
    np.testing.assert_array_equal(natively(model, X), right)


def test_first_indices_open_sizes_and_other_backends_stay() -> None:
    assert fuse(_model("ArgMax", 1, 1, last=0), "webnn") == {}
    model = _model("ArgMax", 1, 1)
    assert fuse(model, "webgpu") == {}
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "rows"
    assert fuse(model, "webnn") == {}


@pytest.mark.browser("embedded")
def test_webnn_answers_as_native_does(check_on: CheckOn) -> None:
    check_on("webnn", [(_model(*case), X) for case in CASES])
