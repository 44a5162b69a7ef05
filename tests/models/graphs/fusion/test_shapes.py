"""Graphs that contradict themselves are not rewritten, and are no error either: the runtime refuses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from webinfer.models.graphs.fusion import fuse
from webinfer.models.graphs.fusion.shapes import shapes

POOL: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1] * 4}
ALIGNED: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}


def _model(operator: str, attributes: dict[str, Any], scales: list[float] | None = None) -> ModelProto:
    inputs = ["x"] if scales is None else ["x", "", "scales"]
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [] if scales is None else [numpy_helper.from_array(np.array(scales, np.float32), "scales")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize(
    ("operator", "attributes", "scales"),
    [
        ("AveragePool", {}, None),
        ("AveragePool", POOL | {"kernel_shape": [3]}, None),
        ("AveragePool", POOL | {"kernel_shape": [30, 30]}, None),
        ("AveragePool", POOL | {"strides": [0, 0]}, None),
        ("Resize", ALIGNED, None),
        ("Resize", ALIGNED | {"axes": [9, 8]}, [2, 2]),
        ("Resize", ALIGNED, [1, 1, float("nan"), -2]),
        ("Resize", ALIGNED, [1, 1, 1e12, 2]),
        ("Resize", ALIGNED, [2, 2]),
        ("Resize", {"mode": "nearest", "nearest_mode": "what"}, [1, 1, 1.5, 2]),
        ("ArgMax", {"axis": 7, "select_last_index": 1}, None),
    ],
)
def test_node_that_contradicts_itself_stays(operator: str, attributes: dict[str, Any], scales: Any) -> None:
    assert fuse(_model(operator, attributes, scales), "webnn") == {}


@pytest.mark.parametrize("domain", ["", "somebodys.own"])
def test_nothing_is_known_where_no_operators_are_imported(domain: str) -> None:
    model = _model("AveragePool", POOL)
    model.graph.node.append(helper.make_node("Abs", ["x"], ["z"], domain=domain))
    if not domain:
        del model.opset_import[:]
    assert shapes(model) == {}
    assert fuse(model, "webnn") == {}


def test_sizes_are_those_of_the_graph() -> None:
    known = shapes(_model("AveragePool", POOL))
    assert known["x"].sizes == known["y"].sizes == (1, 3, 8, 8)
    assert known["x"].dtype == np.float32
