"""Softmax of old opsets, in the form that WebGPU's kernel has.

Before opset 13, Softmax, LogSoftmax and Hardmax flatten their input to a matrix at ``axis`` and work on its rows. ONNX
Runtime Web 1.30's kernels for WebGPU fail where that axis is not the last one. With the flattening written out, the
matrix's own last axis is the one.
"""

from __future__ import annotations

from onnx import GraphProto, NodeProto, helper

from webinfer.models.graphs.fusion.matching import rewrite_nodes

_OPERATORS = ("Softmax", "LogSoftmax", "Hardmax")
_CHANGED = 13  # the opset that works on one axis instead
_AXIS = 1  # where the node names none


def flatten_softmax(graph: GraphProto, opset: int) -> int:
    """Write out the flattening of old Softmax nodes.

    Args:
        graph: Rewritten in place.
        opset: Version of ONNX's own operators.

    Returns:
        How many nodes were rewritten.
    """
    if opset >= _CHANGED:
        return 0
    return rewrite_nodes(graph, _flattened)


def _flattened(node: NodeProto) -> list[NodeProto] | None:
    if node.op_type not in _OPERATORS or node.domain:
        return None
    x, y = node.input[0], node.output[0]
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), _AXIS)
    return [
        helper.make_node("Shape", [x], [f"{y}_shape"]),
        helper.make_node("Flatten", [x], [f"{y}_rows"], axis=axis),
        helper.make_node(node.op_type, [f"{y}_rows"], [f"{y}_matrix"], name=node.name, axis=1),
        helper.make_node("Reshape", [f"{y}_matrix", f"{y}_shape"], [y]),
    ]
