"""Graphs rewritten into operators that backends have a fast kernel for, with the same answers.

Only exact rewritings belong here: both forms compute the same function, and differ by rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from webinfer.options import Backend

_CONTRIB = "com.microsoft"  # the runtime's own operators, which do not depend on the model's opset


class _Graph:
    """Who makes and who uses each value of a graph."""

    def __init__(self, graph: GraphProto) -> None:
        self.maker = {name: node for node in graph.node for name in node.output}
        self.users: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        self._results = {value.name for value in graph.output}
        self._constants = {
            tensor.name: tensor for tensor in graph.initializer if math.prod(tensor.dims) == 1 and tensor.raw_data
        }
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t

    def only_user(self, node: NodeProto, operator: str) -> NodeProto | None:
        """Return the one node that uses a node's result, if there is one alone and of that operator."""
        name = node.output[0]
        users = self.users.get(name, [])
        alone = len(users) == 1 and name not in self._results
        return users[0] if alone and users[0].op_type == operator else None

    def other(self, node: NodeProto, name: str) -> str | None:
        """Return the other input of a node of two, or the same where it takes a value twice."""
        inputs = list(node.input)
        inputs.remove(name)
        return inputs[0] if len(inputs) == 1 else None

    def is_number(self, name: str | None, number: float) -> bool:
        """Say whether a value is a constant of one element, equal to a number in its dtype's precision."""
        tensor = self._constants.get(name or "")
        if tensor is None or tensor.external_data or math.prod(tensor.dims) != 1:
            return False
        value = numpy_helper.to_array(tensor).reshape(())
        return value.dtype.kind == "f" and bool(
            np.isclose(float(value), number, rtol=2e-3 if value.itemsize < 4 else 1e-6)
        )


def fuse(model: ModelProto, backend: Backend) -> dict[str, int]:
    """Rewrite a model for a backend, in place.

    Args:
        model: The model, or its outline.
        backend: Backend that is to run it.

    Returns:
        How many subgraphs were replaced, by the operator that replaced them; those replaced nowhere are left out.
    """
    counts = {name: rewrite(model.graph) for name, rewrite in _REWRITINGS.get(backend, {}).items()}
    done = {name: count for name, count in counts.items() if count}
    if done and all(each.domain != _CONTRIB for each in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_CONTRIB, 1))
    return done


def _fuse_gelu(graph: GraphProto) -> int:
    """Replace Gelu, x / 2 * (1 + erf(x / sqrt 2)), https://arxiv.org/abs/1606.08415, in any order of its factors."""
    known = _Graph(graph)
    gone: set[int] = set()
    found: dict[int, NodeProto] = {}
    for erf in graph.node:
        match = _match_gelu(known, erf) if erf.op_type == "Erf" else None
        if match is not None:
            x, nodes = match
            last = nodes[-1]
            gone.update(map(id, nodes))
            found[id(last)] = helper.make_node("Gelu", [x], [last.output[0]], name=f"{last.name}_gelu", domain=_CONTRIB)
    nodes = [found.get(id(node), node) for node in graph.node if id(node) in found or id(node) not in gone]
    if found:
        kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)
    return len(found)


def _match_gelu(known: _Graph, erf: NodeProto) -> tuple[str, list[NodeProto]] | None:
    """Return Gelu's input and its nodes, the last one last, if ``erf`` is the heart of one."""
    scaled = known.maker.get(erf.input[0])
    plus = known.only_user(erf, "Add")
    if scaled is None or plus is None or known.only_user(scaled, "Erf") is None:
        return None
    x = _scaled(known, scaled)
    product = known.only_user(plus, "Mul")
    if x is None or product is None or not known.is_number(known.other(plus, erf.output[0]), 1.0):
        return None
    inner, other = [scaled, erf, plus, product], known.other(product, plus.output[0])
    if other is None:
        return None
    half = known.maker.get(other)
    if half is not None and half.op_type == "Mul" and known.only_user(half, "Mul") is not None and x in half.input:
        return (x, [*inner[:3], half, product]) if known.is_number(known.other(half, x), 0.5) else None
    last = known.only_user(product, "Mul")
    if last is None:
        return None
    factor = known.other(last, product.output[0])
    halved = known.is_number(factor, 0.5) if other == x else known.is_number(other, 0.5) and factor == x
    return (x, [*inner, last]) if halved else None


def _scaled(known: _Graph, node: NodeProto) -> str | None:
    """Return x where a node computes x / sqrt 2."""
    if node.op_type == "Div" and known.is_number(node.input[1], math.sqrt(2)):
        return str(node.input[0])
    if node.op_type == "Mul":
        for x, factor in (node.input, reversed(node.input)):
            if known.is_number(factor, math.sqrt(0.5)):
                return str(x)
    return None


# Chromium's WebNN on LiteRT has a kernel for Gelu and none for Erf, which takes fifteen times as long as all of Gelu.
# WebAssembly's and WebGPU's providers find it themselves when they optimize the graph.
_REWRITINGS: Mapping[Backend, Mapping[str, Callable[[GraphProto], int]]] = {"webnn": {"Gelu": _fuse_gelu}}
