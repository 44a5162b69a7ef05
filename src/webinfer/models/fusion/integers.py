"""Products with constant weights, computed in 8-bit integers. This one is not exact, so it is only done when asked for.

Weights are rounded to signed integers with a scale for each column; activations, while the model runs, to unsigned ones
around 128, with a scale for each row, so that an outlier costs only its own row precision, and no row
depends on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from webinfer.models.fusion.graph import CONTRIB, replace_nodes

OPERATOR = "MatMulIntegerToFloat"
_SMALLEST = 32  # rows and columns, below which the conversions cost more than is saved
_TINY = np.float32(1e-20)  # keeps the scale of a row of zeros above 0

Read = Callable[[TensorProto], NDArray[Any]]


def to_integers(model: ModelProto, read: Read) -> int:
    """Rewrite a model's products with constant weights, in place.

    Args:
        model: The model, or its outline.
        read: Returns the values of one of its weights.

    Returns:
        How many were rewritten. Their new weights are in the model's own message.
    """
    made = _Rewriting(model, read)
    if made.groups:
        replace_nodes(model.graph, made.nodes())
        made.settle()
    return sum(map(len, made.groups.values()))


class _Rewriting:
    """Products by their left factor, which is quantized once for all of them."""

    def __init__(self, model: ModelProto, read: Read) -> None:
        self._graph = model.graph
        self._axes_are_an_input = _opset(model) >= 18  # of ReduceMax
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._read = read
        self._new: dict[str, TensorProto] = {}
        self.groups: dict[str, list[NodeProto]] = {}
        for node in model.graph.node if _opset(model) >= 10 else ():  # which QuantizeLinear came with
            if node.op_type == "MatMul" and self._fits(node.input[1]):
                self.groups.setdefault(node.input[0], []).append(node)

    def nodes(self) -> Iterator[NodeProto]:
        """Yield the graph's nodes as they are to be."""
        done: set[str] = set()
        for node in self._graph.node:
            left = node.input[0] if node.input else ""
            if not any(node is each for each in self.groups.get(left, ())):
                yield node
                continue
            if left not in done:
                done.add(left)
                yield from self._quantized(left)
            yield from self._product(node)

    def settle(self) -> None:
        """Put the new weights in the place of those that nobody uses any more."""
        used = {name for node in self._graph.node for name in node.input}
        used.update(value.name for value in self._graph.output)
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend([*kept, *self._new.values()])

    def _fits(self, name: str) -> bool:
        tensor = self._weights.get(name)
        return (
            tensor is not None
            and tensor.data_type == TensorProto.FLOAT
            and len(tensor.dims) == 2
            and min(tensor.dims) >= _SMALLEST
        )

    def _constant(self, name: str, value: Any) -> str:
        self._new.setdefault(name, numpy_helper.from_array(np.asarray(value), name))
        return name

    def _quantized(self, left: str) -> Iterator[NodeProto]:
        yield helper.make_node("Abs", [left], [f"{left}/abs"])
        yield self._largest(f"{left}/abs", f"{left}/max")
        yield helper.make_node(
            "Mul", [f"{left}/max", self._constant("rows/127", np.float32(1 / 127))], [f"{left}/exact"]
        )
        yield helper.make_node("Max", [f"{left}/exact", self._constant("rows/tiny", _TINY)], [f"{left}/scale"])
        yield helper.make_node("Div", [left, f"{left}/scale"], [f"{left}/steps"])
        one, middle = self._constant("rows/one", np.float32(1)), self._constant("rows/middle", np.uint8(128))
        yield helper.make_node("QuantizeLinear", [f"{left}/steps", one, middle], [f"{left}/integers"])

    def _largest(self, name: str, result: str) -> NodeProto:
        if self._axes_are_an_input:
            axes = self._constant("rows/last", np.array([-1], np.int64))
            return helper.make_node("ReduceMax", [name, axes], [result], keepdims=1)
        return helper.make_node("ReduceMax", [name], [result], axes=[-1], keepdims=1)

    def _product(self, node: NodeProto) -> Iterator[NodeProto]:
        left, right = node.input
        result = node.output[0]
        integers, scales = f"{right}/integers", f"{right}/scales"
        if integers not in self._new:
            values = self._read(self._weights[right]).astype(np.float32)
            steps = np.maximum(np.abs(values).max(0) / 127, _TINY)
            self._constant(integers, np.clip(np.rint(values / steps), -127, 127).astype(np.int8))
            self._constant(scales, steps.astype(np.float32))
        zero = self._constant("rows/zero", np.int8(0))
        inputs = [f"{left}/integers", integers, "rows/one", scales, "rows/middle", zero]
        yield helper.make_node(OPERATOR, inputs, [f"{result}/steps"], name=node.name, domain=CONTRIB)
        yield helper.make_node("Mul", [f"{result}/steps", f"{left}/scale"], [result])


def _opset(model: ModelProto) -> int:
    versions: Mapping[str, int] = {each.domain: each.version for each in model.opset_import}
    return versions.get("", 0)
