"""Gelu, out of the five operators that it is exported as."""

from __future__ import annotations

import math

from onnx import GraphProto, NodeProto, helper

from webinfer.models.graphs.fusion.matching import CONTRIB, GraphIndex, replace_nodes


def fuse_gelu(graph: GraphProto, operator: str = "Gelu") -> int:
    """Replace Gelu, x / 2 * (1 + erf(x / sqrt 2)), https://arxiv.org/abs/1606.08415, in any order of its factors.

    Args:
        graph: Rewritten in place.
        operator: One of the runtime's own to replace it with.

    Returns:
        How many were replaced.
    """
    index = GraphIndex(graph)
    # By identity, since names of nodes may be missing or shared. The new node takes the place of the last one.
    removed: set[int] = set()
    fused: dict[int, NodeProto] = {}
    for erf in graph.node:
        match = _match_gelu(index, erf) if erf.op_type == "Erf" else None
        if match is not None:
            x, nodes = match
            last = nodes[-1]
            removed.update(map(id, nodes))
            fused[id(last)] = helper.make_node(
                operator, [x], [last.output[0]], name=f"{last.name}_gelu", domain=CONTRIB
            )
    nodes = [fused.get(id(node), node) for node in graph.node if id(node) in fused or id(node) not in removed]
    if fused:
        replace_nodes(graph, nodes)
    return len(fused)


def _match_gelu(index: GraphIndex, erf: NodeProto) -> tuple[str, list[NodeProto]] | None:
    """Return Gelu's input and its nodes, the last one last, if ``erf`` is the heart of one."""
    scaled = index.producer.get(erf.input[0])
    plus = index.only_user(erf, "Add")
    if scaled is None or plus is None or index.only_user(scaled, "Erf") is None:
        return None
    x = _scaled(index, scaled)
    product = index.only_user(plus, "Mul")
    if x is None or product is None or not index.is_number(index.other(plus, erf.output[0]), 1.0):
        return None
    inner, other = [scaled, erf, plus, product], index.other(product, plus.output[0])
    if other is None:
        return None
    half = index.producer.get(other)
    # (x * 0.5) * (1 + erf)
    if half is not None and half.op_type == "Mul" and index.only_user(half, "Mul") is not None and x in half.input:
        return (x, [*inner[:3], half, product]) if index.is_number(index.other(half, x), 0.5) else None
    # (x * (1 + erf)) * 0.5, or ((1 + erf) * 0.5) * x
    last = index.only_user(product, "Mul")
    if last is None:
        return None
    factor = index.other(last, product.output[0])
    halved = index.is_number(factor, 0.5) if other == x else index.is_number(other, 0.5) and factor == x
    return (x, [*inner, last]) if halved else None


def _scaled(index: GraphIndex, node: NodeProto) -> str | None:
    """Return x where a node computes x / sqrt 2."""
    if node.op_type == "Div" and index.is_number(node.input[1], math.sqrt(2)):
        return str(node.input[0])
    if node.op_type == "Mul":
        for x, factor in (node.input, reversed(node.input)):
            if index.is_number(factor, math.sqrt(0.5)):
                return str(x)
    return None
