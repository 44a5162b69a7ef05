"""Convolutions over 6, 9, ... channels are right on WebGPU: channels of zeros are added, with the same answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.models.graphs.fusion.conftest import CheckOn, natively
from webinfer.models.graphs.fusion import fuse

RANDOM = np.random.default_rng(0)


def _model(
    channels: int, *, opset: int = 17, kernel: tuple[int, ...] = (3, 3), group: int = 1, dtype: Any = np.float32
) -> ModelProto:
    """Return two convolutions that take the same input, with as many channels."""
    rank = len(kernel)
    weights = {
        name: (RANDOM.standard_normal((8, channels // group, *kernel)) / channels**0.5).astype(np.float32)
        for name in "ab"
    }
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["p"], group=group, pads=[1] * 2 * rank),
        helper.make_node("Conv", ["x", "b"], ["q"], group=group, pads=[1] * 2 * rank),
        helper.make_node("Add", ["p", "q"], ["y"]),
    ]
    kind = TensorProto.FLOAT
    sizes = ["batch", *(f"size{axis}" for axis in range(rank))]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, [sizes[0], channels, *sizes[1:]])],
        [helper.make_tensor_value_info("y", kind, [sizes[0], 8, *sizes[1:]])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _picture(channels: int, rank: int = 2) -> NDArray[Any]:
    return RANDOM.standard_normal((2, channels, *[8] * rank)).astype(np.float32)


@pytest.mark.parametrize("channels", [6, 9, 15, 18, 33])
@pytest.mark.parametrize(("opset", "kernel"), [(17, (3, 3)), (10, (3, 3)), (13, (5,)), (18, (3, 3, 3))])
def test_added_channels_change_no_answer(channels: int, opset: int, kernel: tuple[int, ...]) -> None:
    model, x = _model(channels, opset=opset, kernel=kernel), _picture(channels, len(kernel))
    right = natively(model, x)
    assert fuse(model, "webgpu") == {"Conv": 2}
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node].count("Pad") == 3  # the input once, and both weights
    np.testing.assert_allclose(natively(model, x), right, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "more"), [(3, {}), (4, {}), (8, {}), (12, {}), (7, {}), (6, {"kernel": (1, 1)}), (6, {"group": 2})]
)
def test_what_is_right_stays_as_it_is(channels: int, more: dict[str, Any]) -> None:
    model = _model(channels, **more)
    before = model.SerializeToString()
    assert fuse(model, "webgpu") == {}
    assert model.SerializeToString() == before
    assert fuse(_model(6), "wasm") == fuse(_model(6), "webnn") == {}


@pytest.mark.browser("embedded")
@pytest.mark.parametrize("kernel", [(3, 3), (5,)])
def test_webgpu_answers_as_native_does(check_on: CheckOn, kernel: tuple[int, ...]) -> None:
    check_on("webgpu", [(_model(size, kernel=kernel), _picture(size, len(kernel))) for size in (3, 6, 9, 15)])


def test_weights_that_the_caller_gives_stay() -> None:
    """Their shape is not known, so nothing can be said of their channels."""
    model = _model(6)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "a")
    model.graph.initializer.remove(weights)
    model.graph.input.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, [8, 6, 3, 3]))
    assert fuse(model, "webgpu") == {"Conv": 1}
