"""The graphs inside of nodes: branches, and bodies of loops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, numpy_helper

_FLOATS = ("value_float", "value_floats")


def bodies(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs of a node's attributes.

    Args:
        node: The node.
    """
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def names(graph: GraphProto) -> Iterator[str]:
    """Yield every name of a value in a graph and in those inside of it.

    Args:
        graph: The graph.
    """
    for values in (graph.input, graph.output, graph.value_info):
        yield from (value.name for value in values)
    yield from (tensor.name for tensor in graph.initializer)
    for node in graph.node:
        yield from (*node.input, *node.output)
        for body in bodies(node):
            yield from names(body)


def reads(nodes: Iterable[NodeProto]) -> Iterator[str]:
    """Yield what nodes read, as often as they do, the graphs inside of them too.

    Args:
        nodes: The nodes.
    """
    for node in nodes:
        yield from node.input
        for body in bodies(node):
            yield from reads(body.node)
            yield from (value.name for value in body.output)


def hoist_floats(graph: GraphProto) -> None:
    """Turn float32 constants into initializers, in place, in the graphs inside of nodes too.

    Args:
        graph: The graph.
    """
    nodes = []
    for node in graph.node:
        tensor = _constant(node)
        for body in bodies(node):
            hoist_floats(body)
        if tensor is None:
            nodes.append(NodeProto.FromString(node.SerializeToString()))
        else:
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
    if len(nodes) < len(graph.node):
        del graph.node[:]
        graph.node.extend(nodes)


def _constant(node: NodeProto) -> TensorProto | None:
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    for attribute in node.attribute:
        if attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
            tensor: TensorProto = TensorProto.FromString(attribute.t.SerializeToString())
            return tensor
        if attribute.name in _FLOATS:
            array = np.array(attribute.f if attribute.name == _FLOATS[0] else list(attribute.floats), np.float32)
            return numpy_helper.from_array(array)
    return None
