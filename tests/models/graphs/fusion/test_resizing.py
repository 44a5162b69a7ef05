"""Resize is right on WebNN in every form: what its elements are made of is written out."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.models.graphs.fusion.conftest import CheckOn, natively
from webinfer.models.graphs.fusion import fuse

X = np.random.default_rng(0).standard_normal((2, 3, 6, 5)).astype(np.float32)

PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
LINEAR: list[dict[str, Any]] = [
    *({"mode": "linear", "place": place, "scales": [1, 1, 1.3, 2.6]} for place in PLACES),
    *({"mode": "linear", "place": place, "sizes": [2, 3, 12, 1]} for place in ("pytorch_half_pixel", "align_corners")),
    {"mode": "linear", "place": "align_corners", "scales": [1, 1, 2, 2]},
    {"mode": "linear", "place": "asymmetric", "scales": [1, 1, 0.5, 2]},
]
NEAREST: list[dict[str, Any]] = [
    {"mode": "nearest", "place": place, "rounding": rounding, "scales": scales}
    for place, rounding in product(PLACES, ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"))
    for scales in ([1, 1, 1.5, 2.6], [1, 1, 0.5, 0.4])
]
RIGHT: list[dict[str, Any]] = [
    {"mode": "linear", "place": "half_pixel", "scales": [1, 1, 2, 2]},
    {"mode": "linear", "place": "pytorch_half_pixel", "sizes": [2, 3, 7, 8]},
    {"mode": "nearest", "place": "asymmetric", "rounding": "floor", "scales": [1, 1, 2, 2]},
    {"mode": "nearest", "place": "half_pixel", "rounding": "round_prefer_floor", "scales": [1, 1, 2, 3]},
    {"mode": "cubic", "place": "half_pixel", "scales": [1, 1, 1.3, 2.6]},
]


def _model(case: dict[str, Any], opset: int = 19, dtype: int = TensorProto.FLOAT) -> ModelProto:
    given = {"mode": case["mode"], "coordinate_transformation_mode": case["place"]}
    if "rounding" in case:
        given["nearest_mode"] = case["rounding"]
    dtypes = {"scales": np.float32, "sizes": np.int64}
    arrays = {name: np.array(case[name], dtype) for name, dtype in dtypes.items() if name in case}
    inputs = ["x", "", "scales"] if "scales" in case else ["x", "", "", "sizes"]
    graph = helper.make_graph(
        [helper.make_node("Resize", inputs, ["y"], **given)],
        "g",
        [helper.make_tensor_value_info("x", dtype, X.shape)],
        [helper.make_tensor_value_info("y", dtype, [None] * 4)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("case", [*LINEAR, *NEAREST], ids=str)
def test_elements_written_out_change_no_answer(case: dict[str, Any]) -> None:
    model = _model(case)
    right = natively(model, X)
    assert fuse(model, "webnn") == {"Resize": 1}
    onnx.checker.check_model(model)
    np.testing.assert_allclose(natively(model, X), right, atol=1e-5)


def test_scales_may_be_numbers_of_a_node() -> None:
    model = _model(LINEAR[2])
    del model.graph.initializer[:]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["scales"], value_floats=[1.0, 1.0, 1.3, 2.6]))
    right = natively(model, X)
    assert fuse(model, "webnn") == {"Resize": 1}
    np.testing.assert_allclose(natively(model, X), right, atol=1e-5)


def test_half_floats_stay_half() -> None:
    model, x = _model(LINEAR[2], dtype=TensorProto.FLOAT16), X.astype(np.float16)
    right = natively(model, x)
    assert fuse(model, "webnn") == {"Resize": 1}
    np.testing.assert_allclose(natively(model, x), right, atol=4e-3)


@pytest.mark.parametrize("case", RIGHT, ids=str)
def test_what_is_right_stays(case: dict[str, Any]) -> None:
    assert fuse(_model(case), "webnn") == {}


def test_open_sizes_and_other_backends_stay() -> None:
    model = _model(LINEAR[2])
    assert fuse(model, "webgpu") == fuse(model, "wasm") == {}
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    assert fuse(model, "webnn") == {}


@pytest.mark.browser("embedded")
def test_webnn_answers_as_native_does(check_on: CheckOn) -> None:
    check_on("webnn", [(_model(case), X) for case in [*LINEAR, *NEAREST[::5]]])
