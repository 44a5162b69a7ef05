"""Backward slices are right on WebGPU: everything is turned round, and then sliced forwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.models.graphs.fusion.conftest import CheckOn, natively
from webinfer.models.graphs.fusion import fuse

X = np.random.default_rng(0).standard_normal((2, 5, 4, 7)).astype(np.float32)

CASES = [
    ([3], [0], [1], [-2]),
    ([-3], [-100], [3], [-3]),
    ([6, 4], [0, -100], [3, 1], [-4, -2]),
    ([1, 6], [5, 1], [1, 3], [2, -2]),
    ([2], [-100], [2], [-5]),
    ([3], [0], [1], [-1]),
    ([3], [1], [1], [-1]),
    ([-2], [-4], [3], [-1]),
    ([100], [-3], [3], [-2]),
    ([3], [np.iinfo(np.int32).min], [-1], [-1]),
    ([0], [3], [3], [-2]),  # of which nothing is left
]


def _model(
    starts: list[int], ends: list[int], axes: list[int] | None, steps: list[int], kind: Any = "i8"
) -> ModelProto:
    values = {"s": starts, "e": ends, "a": axes, "t": steps}
    given = {name: np.array(value, kind) for name, value in values.items() if value is not None}
    node = helper.make_node("Slice", ["x", "s", "e", "a" if axes is not None else "", "t"], ["y"])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c", "d"])],
        [numpy_helper.from_array(array, name) for name, array in given.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["i8", "i4"])
def test_two_slices_give_the_same(case: tuple[list[int], ...], kind: Any) -> None:
    starts, ends, axes, steps = case
    model = _model(starts, ends, axes, steps, kind)
    right = natively(model, X)
    assert fuse(model, "webgpu") == {"Slice": 1}
    onnx.checker.check_model(model)
    np.testing.assert_array_equal(natively(model, X), right)


def test_axes_may_be_left_out() -> None:
    model = _model([1, 4, 2, 6], [-100, -100, -100, 0], None, [-1, -2, -3, -2])
    right = natively(model, X)
    assert fuse(model, "webgpu") == {"Slice": 1}
    np.testing.assert_array_equal(natively(model, X), right)


def test_what_is_right_stays_as_it_is() -> None:
    for start, step in ((1, 1), (0, 2), (-1, -1), (-1, -2)):
        assert fuse(_model([start], [3], [1], [step]), "webgpu") == {}
    assert fuse(_model([3], [0], [1], [-2]), "wasm") == {}


@pytest.mark.browser("embedded")
def test_webgpu_answers_as_native_does(check_on: CheckOn) -> None:
    check_on("webgpu", [(_model(*case), X) for case in CASES[:-1]])


def test_bounds_in_another_file_are_left_alone() -> None:
    model = _model([3], [0], [1], [-2])
    for tensor in model.graph.initializer:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights")
        tensor.ClearField("raw_data")
    assert fuse(model, "webgpu") == {}
