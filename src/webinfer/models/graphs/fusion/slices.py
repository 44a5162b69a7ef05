"""Backward slices in a form that WebGPU's kernel gets right.

ONNX Runtime Web 1.30's kernel for WebGPU is wrong where a slice goes backwards and begins before the last element.
Turned round as a whole, which is right, the same elements are a forward slice: element ``i`` is ``-i - 1`` then.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from webinfer.models.graphs.fusion.matching import constants, rewrite_nodes

_BOUNDS = ("starts", "ends", "axes", "steps")  # inputs of Slice from opset 10 on, after the data
_FIRST = np.iinfo(np.int32).min  # as an end, beyond the first element of any axis
_LAST = -1


def turn_slices(graph: GraphProto) -> int:
    """Do backward slices in two: everything is turned round, and then the elements are taken forwards.

    Only those are rewritten whose bounds are constants of the graph.

    Args:
        graph: Rewritten in place.

    Returns:
        How many slices were rewritten.
    """
    known = constants(graph)

    def turn(node: NodeProto) -> list[NodeProto] | None:
        bounds = _bounds(node, known)
        if bounds is None or not ((bounds["steps"] < 0) & (bounds["starts"] != _LAST)).any():
            return None
        return _turned(graph, node, bounds)

    return rewrite_nodes(graph, turn)


def _bounds(node: NodeProto, known: Mapping[str, TensorProto]) -> dict[str, NDArray[np.int64]] | None:
    """Return the bounds of a slice with steps; ``None`` where it has none, or one that is not constant."""
    if node.op_type != "Slice" or node.domain or len(node.input) <= len(_BOUNDS):
        return None
    names = dict(zip(_BOUNDS, node.input[1:], strict=True))
    if any(name and name not in known for name in names.values()):
        return None
    bounds = {
        bound: numpy_helper.to_array(known[name]).astype(np.int64).reshape(-1) for bound, name in names.items() if name
    }
    bounds.setdefault("axes", np.arange(len(bounds["starts"])))
    return bounds if "steps" in bounds else None


def _turned(graph: GraphProto, node: NodeProto, bounds: Mapping[str, NDArray[np.int64]]) -> list[NodeProto]:
    """Return two slices that do the same as one."""
    name, back = node.output[0], bounds["steps"] < 0
    count = int(back.sum())
    whole = {
        "starts": np.full(count, _LAST),
        "ends": np.full(count, _FIRST),
        "axes": bounds["axes"][back],
        "steps": np.full(count, -1),
    }
    forwards = {
        "starts": np.where(back, -bounds["starts"] - 1, bounds["starts"]),
        "ends": np.where(back, -(bounds["ends"] + 1), bounds["ends"]),  # in this order, the least integer has one, too
        "axes": bounds["axes"],
        "steps": np.abs(bounds["steps"]),
    }
    return [
        _slice(graph, node.input[0], f"{name}_turned", whole),
        _slice(graph, f"{name}_turned", name, forwards),
    ]


def _slice(graph: GraphProto, data: str, output: str, bounds: Mapping[str, NDArray[np.int64]]) -> NodeProto:
    names = {bound: f"{output}_{bound}" for bound in _BOUNDS}
    graph.initializer.extend(
        numpy_helper.from_array(bounds[bound].astype(np.int64), name) for bound, name in names.items()
    )
    return helper.make_node("Slice", [data, *names.values()], [output], name=output)
