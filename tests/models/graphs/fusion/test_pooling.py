"""Average pooling that pads or rounds up is right on WebNN: its zeros are added before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from tests.models.graphs.fusion.conftest import CheckOn, natively
from webinfer.models.graphs.fusion import fuse

X = np.random.default_rng(0).standard_normal((2, 3, 7, 8)).astype(np.float32)

CASES: list[dict[str, Any]] = [
    {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2]},
    {"kernel_shape": [2, 3], "pads": [1, 0, 0, 2], "strides": [2, 1]},
    {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1], "count_include_pad": 1},
    {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [3, 3], "ceil_mode": 1, "count_include_pad": 1},
    {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
]

RIGHT: list[dict[str, Any]] = [
    {"kernel_shape": [2, 2]},
    {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 2], "auto_pad": "VALID"},
    {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    {"kernel_shape": [7, 8], "ceil_mode": 1},
]


def _model(attributes: dict[str, Any], opset: int = 19, dtype: int = TensorProto.FLOAT) -> ModelProto:
    node = helper.make_node("AveragePool", ["x"], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", dtype, ["batch", *X.shape[1:]])],
        [helper.make_tensor_value_info("y", dtype, ["batch", X.shape[1], None, None])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("opset", [10, 11, 19])
@pytest.mark.parametrize("attributes", CASES, ids=str)
def test_padding_before_changes_no_answer(attributes: dict[str, Any], opset: int) -> None:
    model = _model(attributes, opset)
    right = natively(model, X)
    assert fuse(model, "webnn") == {"AveragePool": 1}
    onnx.checker.check_model(model)
    np.testing.assert_allclose(natively(model, X), right, atol=1e-6)


def test_half_floats_stay_half() -> None:
    model, x = _model(CASES[0], dtype=TensorProto.FLOAT16), X.astype(np.float16)
    right = natively(model, x)
    assert fuse(model, "webnn") == {"AveragePool": 1}
    np.testing.assert_allclose(natively(model, x), right, atol=2e-3)


@pytest.mark.parametrize("attributes", RIGHT, ids=str)
def test_what_is_right_stays(attributes: dict[str, Any]) -> None:
    assert fuse(_model(attributes), "webnn") == {}


def test_open_sizes_and_other_backends_stay() -> None:
    model = _model(CASES[0])
    assert fuse(model, "webgpu") == fuse(model, "wasm") == {}
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    assert fuse(model, "webnn") == {}


@pytest.mark.browser("embedded")
def test_webnn_answers_as_native_does(check_on: CheckOn) -> None:
    check_on("webnn", [(_model(attributes), X) for attributes in CASES])
