"""Convolutions with a number of channels that WebGPU's kernel gets right.

ONNX Runtime Web 1.30's kernel for WebGPU reads three channels at once where 3 divides their number and 4 does not, and
then adds up wrong ones (onnxruntime issue 29651); 3 channels alone are right. Channels of zeros add nothing to a sum.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import GraphProto, NodeProto, helper, numpy_helper

from webinfer.models.graphs.fusion.matching import replace_nodes

_ALIGNED = 4  # channels that the kernel reads at once where it can
_INPUT_OPSET = 11  # from here on, Pad takes the widths as an input


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
    nodes: list[NodeProto] = []
    padded: dict[tuple[str, int], str] = {}  # by name and rank: several convolutions may take one input
    count = 0
    for node in graph.node:
        weights = shapes.get(node.input[1]) if node.op_type == "Conv" and not node.domain else None
        if weights is not None and _is_wrong(node, weights):
            missing = -weights[1] % _ALIGNED
            for at in (0, 1):
                key = node.input[at], len(weights)
                if key not in padded:
                    padded[key] = f"{node.input[at]}_channels_of_{weights[1] + missing}"
                    nodes.append(_pad(graph, node.input[at], padded[key], len(weights), missing, opset))
                node.input[at] = padded[key]
            count += 1
        nodes.append(node)
    if count:
        replace_nodes(graph, nodes)
    return count


def _is_wrong(node: NodeProto, weights: tuple[int, ...]) -> bool:
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    channels, kernel = weights[1], math.prod(weights[2:])
    return groups == 1 and kernel > 1 and channels > 3 and channels % 3 == 0 and channels % _ALIGNED != 0


def _pad(graph: GraphProto, name: str, output: str, rank: int, missing: int, opset: int) -> NodeProto:
    """Return a node that adds channels of zeros after the others; its widths go into the graph from opset 11 on."""
    widths = [0] * (2 * rank)
    widths[rank + 1] = missing  # at the end of axis 1
    if opset < _INPUT_OPSET:
        return helper.make_node("Pad", [name], [output], name=output, pads=widths)
    graph.initializer.append(numpy_helper.from_array(np.array(widths, np.int64), f"{output}_widths"))
    return helper.make_node("Pad", [name, f"{output}_widths"], [output], name=output)
