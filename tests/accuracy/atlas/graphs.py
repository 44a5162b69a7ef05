"""Small graphs of one node, for tests of the atlas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from webinfer.accuracy.atlas.rows import Atlas, Ground, NodeFacts
from webinfer.accuracy.atlas.traits import facts_of

GROUND = Ground(
    browser="embedded",
    engine="chromium",
    engine_version="153.0.1",
    runtime="onnxruntime-web 1.30.0 jspi",
    backend="webnn",
    at="2026-01-01T00:00:00Z",
)


def graph(node: NodeProto, shape: Sequence[Any] = (1, 3, 8, 8), opset: int = 18, **constants: Any) -> ModelProto:
    """Return a model of one node with an input ``x`` and constants."""
    made = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def resize(scale: float = 2.0, shape: Sequence[Any] = (1, 3, 8, 8), opset: int = 18, **stated: Any) -> ModelProto:
    """Return a model of one Resize, which is ``linear`` unless it is stated."""
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], **{"mode": "linear", **stated})
    return graph(node, shape, opset, s=np.array([1, 1, scale, scale], np.float32))


def facts(model: ModelProto) -> NodeFacts:
    """Return the facts of a model's only node."""
    ((_, only),) = facts_of(model)
    return only


def saved(model: ModelProto, path: Path) -> Path:
    """Write a model to a file, and return that."""
    onnx.save(model, path)
    return path


def empty() -> Atlas:
    """Return an atlas without rows."""
    return Atlas()
