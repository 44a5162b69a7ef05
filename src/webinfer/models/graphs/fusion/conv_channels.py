"""Convolutions with a number of channels that WebGPU's kernel gets right.

ONNX Runtime Web 1.30's kernel for WebGPU is wrong over 6, 9, 15, 18 and 33 channels, and right over 3, 4, 7, 8 and 12:
where 3 divides their number, 4 does not, and they are more than 3 (see onnxruntime issue 29651). Channels of zeros add
nothing to a sum.
"""

from __future__ import annotations

import math

from onnx import GraphProto, NodeProto

from webinfer.models.graphs.fusion.matching import rewrite_nodes
from webinfer.models.graphs.fusion.shapes import pad_node

_ALIGNED = 4  # multiples of it are right


def pad_channels(graph: GraphProto, opset: int) -> int:
    """Add channels of zeros to the input and weights of convolutions, up to a multiple of four.

    Only those are padded whose kernel is larger than 1, whose channels form one group, and whose weights have a known
    shape.

    Args:
        graph: Rewritten in place.
        opset: Version of ONNX's own operators.

    Returns:
        How many convolutions were padded.
    """
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    padded: set[str] = set()  # several convolutions may take one input

    def pad(node: NodeProto) -> list[NodeProto] | None:
        weights = shapes.get(node.input[1]) if node.op_type == "Conv" and not node.domain else None
        if weights is None or not _is_wrong(node, weights):
            return None
        missing, nodes = -weights[1] % _ALIGNED, []
        for at in (0, 1):
            name = f"{node.input[at]}_channels_of_{weights[1] + missing}"
            if name not in padded:
                padded.add(name)
                widths = [0] * (2 * len(weights))
                widths[len(weights) + 1] = missing  # behind the last one of axis 1
                nodes.append(pad_node(graph, node.input[at], name, widths, opset))
            node.input[at] = name
        return [*nodes, node]

    return rewrite_nodes(graph, pad)


def _is_wrong(node: NodeProto, weights: tuple[int, ...]) -> bool:
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    channels, kernel = weights[1], math.prod(weights[2:])
    return groups == 1 and kernel > 1 and channels > 3 and channels % 3 == 0 and channels % _ALIGNED != 0
