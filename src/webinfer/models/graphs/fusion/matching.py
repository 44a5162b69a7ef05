"""Who makes and who uses the values of a graph, for rewritings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

CONTRIB = "com.microsoft"
"""The domain of the runtime's own operators, which do not depend on the model's opset."""


_CONSTANTS = {
    "value": None,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}
"""How a Constant node holds its value: as a tensor, or as numbers of a dtype."""


_CONTRADICTIONS = (ArithmeticError, LookupError, MemoryError, ValueError)
"""What comes of attributes that are missing, of sizes that cannot be, and of axes that are not there."""


class GraphIndex:
    """A graph's nodes by the values that they make and use, and its constants of one element."""

    def __init__(self, graph: GraphProto) -> None:
        self.producer = {name: node for node in graph.node for name in node.output}
        self.users: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        self._results = {value.name for value in graph.output}
        self._constants = constants(graph)

    def only_user(self, node: NodeProto, operator: str) -> NodeProto | None:
        """Return the only node that uses a node's result, if it is of that operator.

        Args:
            node: The node whose result is used.
            operator: Type of the operator that must use it.

        Returns:
            The node; ``None`` where several use the result, or another operator does.
        """
        name = node.output[0]
        users = self.users.get(name, [])
        alone = len(users) == 1 and name not in self._results
        return users[0] if alone and users[0].op_type == operator else None

    def other(self, node: NodeProto, name: str) -> str | None:
        """Return the other input of a node that has two. It is the same one where the node takes a value twice.

        Args:
            node: A node of two inputs.
            name: Name of one of them.

        Returns:
            Name of the other; ``None`` where the node does not take ``name``.
        """
        inputs = list(node.input)
        inputs.remove(name)
        return inputs[0] if len(inputs) == 1 else None

    def is_number(self, name: str | None, number: float) -> bool:
        """Return whether a value is a constant of one element, equal to a number in its dtype's precision.

        Args:
            name: Name of the value; ``None`` is no number.
            number: The number.
        """
        tensor = self._constants.get(name or "")
        if tensor is None or math.prod(tensor.dims) != 1:
            return False
        value = numpy_helper.to_array(tensor).reshape(())
        return value.dtype.kind == "f" and bool(
            np.isclose(float(value), number, rtol=2e-3 if value.itemsize < 4 else 1e-6)
        )


def constants(graph: GraphProto) -> dict[str, TensorProto]:
    """Return the constants of a graph that are in its own message, by name: initializers and Constant nodes.

    Args:
        graph: The graph.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer if tensor.data_location != TensorProto.EXTERNAL}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name in _CONSTANTS:
            attribute = node.attribute[0]
            dtype = _CONSTANTS[attribute.name]
            value = helper.get_attribute_value(attribute)
            tensors[node.output[0]] = value if dtype is None else numpy_helper.from_array(np.array(value, dtype))
    return tensors


def rewrite_nodes(graph: GraphProto, rewrite: Callable[[NodeProto], list[NodeProto] | None]) -> int:
    """Put other nodes in the place of some.

    A node that contradicts itself stays as it is: the runtime says what is wrong with it.

    Args:
        graph: The graph, changed in place.
        rewrite: Returns the nodes that take a node's place; ``None`` where it stays.

    Returns:
        How many nodes were replaced.
    """
    nodes: list[NodeProto] = []
    count = 0
    for node in graph.node:
        try:
            replacement = rewrite(node)
        except _CONTRADICTIONS:
            replacement = None
        nodes += [node] if replacement is None else replacement
        count += replacement is not None
    if count:
        replace_nodes(graph, nodes)
    return count


def replace_nodes(graph: GraphProto, nodes: Iterable[NodeProto]) -> None:
    """Give a graph other nodes, some of which may be its own.

    Args:
        graph: The graph, changed in place.
        nodes: Its new nodes, in order.
    """
    # Copied before any is deleted: ``nodes`` may be an iterator over the graph's own.
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
