"""Tiny models, made here: to try a backend out, and to measure what everything but the model costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from webinfer.core.cache import cache_dir, claim

_OPSET, _IR = 17, 8


def probe_model() -> Path:
    """Return a model of two nodes, ``y = relu(x @ weights)``: from float32 (1, 4) to float32 (1, 4)."""
    weights = numpy_helper.from_array(np.arange(16, dtype=np.float32).reshape(4, 4) - 8, "weights")
    nodes = [helper.make_node("MatMul", ["x", "weights"], ["product"]), helper.make_node("Relu", ["product"], ["y"])]
    return _make("probe", nodes, (1, 4), [weights])


def echo_model() -> Path:
    """Return a model of one node, ``y = -x``, for float32 vectors of any length."""
    return _make("echo", [helper.make_node("Neg", ["x"], ["y"])], ("length",), [])


def _make(
    name: str, nodes: list[onnx.NodeProto], shape: tuple[int | str, ...], weights: list[onnx.TensorProto]
) -> Path:
    directory = cache_dir() / "probes" / f"{name}-1"
    with claim(directory) as work:
        if work is not None:
            x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y"))
            graph = helper.make_graph(nodes, name, [x], [y], weights)
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
            onnx.save(model, work / f"{name}.onnx")
    return directory / f"{name}.onnx"
