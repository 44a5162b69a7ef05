"""ArgMax and ArgMin of the last index in a form that WebNN's kernels get right.

ONNX Runtime Web 1.30 gives WebNN no ``select_last_index``, so ties have the first index there. Of the elements in
reverse order, the first one that is largest is the last one: index ``i`` is ``size - 1 - i`` then.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, NodeProto, helper

from webinfer.models.graphs.fusion.matching import rewrite_nodes
from webinfer.models.graphs.fusion.shapes import ValueShape, add_constant, attributes


def reverse_last_indices(graph: GraphProto, shapes: Mapping[str, ValueShape], operator: str) -> int:
    """Take the first index of reversed elements where the last one is asked for.

    Only those are rewritten whose axis has a known size.

    Args:
        graph: Rewritten in place.
        shapes: What is known of its values.
        operator: ``ArgMax`` or ``ArgMin``.

    Returns:
        How many nodes were rewritten.
    """

    def reverse(node: NodeProto) -> list[NodeProto] | None:
        given = attributes(node) if node.op_type == operator and not node.domain else {}
        shape = shapes.get(node.input[0]) if given.get("select_last_index", 0) else None
        axis = given.get("axis", 0)
        size = None if shape is None else shape.sizes[axis]
        return None if size is None else _reversed(graph, node, axis, size)

    return rewrite_nodes(graph, reverse)


def _reversed(graph: GraphProto, node: NodeProto, axis: int, size: int) -> list[NodeProto]:
    x, y = node.input[0], node.output[0]
    order = add_constant(graph, f"{y}_order", np.arange(size - 1, -1, -1))
    last = add_constant(graph, f"{y}_last", np.array(size - 1))
    keep = attributes(node).get("keepdims", 1)
    return [
        helper.make_node("Gather", [x, order], [f"{y}_reversed"], name=f"{y}_reversed", axis=axis),
        helper.make_node(node.op_type, [f"{y}_reversed"], [f"{y}_first"], name=node.name, axis=axis, keepdims=keep),
        helper.make_node("Sub", [last, f"{y}_first"], [y], name=f"{y}_counted"),
    ]
