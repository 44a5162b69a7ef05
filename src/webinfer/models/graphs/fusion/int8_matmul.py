"""Products with constant weights, computed in 8-bit integers. This is not exact, so callers must ask for it.

Weights are rounded to signed integers with a scale for each column; activations, while the model runs, to unsigned ones
around 128, with a scale for each row, so that an outlier costs only its own row precision, and no row
depends on its neighbours.

The few channels that would set the scale of all others stay floats: their product is added, as in LLM.int8(),
https://arxiv.org/abs/2208.07339. That method chooses the channels at every run; here they are chosen once, from
observed activations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from webinfer.models.graphs.fusion.gelu import fuse_gelu
from webinfer.models.graphs.fusion.matching import CONTRIB, replace_nodes

OPERATOR = "MatMulIntegerToFloat"
GELU = "FastGelu"
"""Gelu by the hyperbolic tangent, within 5e-4 of it, which is less than a step of 8 bits, in two fifths of the time."""
_GELU_LOWEST = np.float32(-0.1701)  # it never falls below, so its results may take steps from there to their largest
_FLOATS = 8  # channels of a factor that are multiplied in floats; 16 lose a seventh less, and take some 4% longer
_SHARE = 1 / 16  # of a factor's channels, at most
_SMALLEST = 32  # rows and columns, below which the conversions cost more than is saved
_TINY = np.float32(1e-20)  # keeps the scale of a row of zeros above 0

Read = Callable[[TensorProto], NDArray[Any]]
Observe = Callable[[list[str]], Mapping[str, NDArray[Any]]]


def to_integers(model: ModelProto, read: Read, observe: Observe) -> dict[str, int]:
    """Rewrite a model's products with constant weights, in place.

    Args:
        model: The model, or its outline.
        read: Returns the values of one of its weights.
        observe: Returns how large each channel of activations becomes, by the activations' names. Those that it
            does not know are rounded whole.

    Returns:
        How many subgraphs were replaced, by the operator that replaced them; nothing where there are no such products.
        Their new weights are in the model's own message.
    """
    factors = list(_Rewriting(model, read).groups)
    if not factors:
        return {}
    largest = observe(factors)
    halves = any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)
    gelus = 0 if halves else fuse_gelu(model.graph, GELU)  # FastGelu takes no float16
    rewriting = _Rewriting(model, read, largest)
    replace_nodes(model.graph, rewriting.nodes())
    rewriting.settle()
    done = {OPERATOR: sum(map(len, rewriting.groups.values()))}
    return {**done, GELU: gelus} if gelus else done


class _Rewriting:
    """Products by their left factor, which is quantized once for all of them."""

    def __init__(self, model: ModelProto, read: Read, largest: Mapping[str, NDArray[Any]] | None = None) -> None:
        self._graph = model.graph
        self._axes_are_an_input = _opset(model) >= 18  # of ReduceMax
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._read = read
        self._new: dict[str, TensorProto] = {}
        self._floats: dict[str, NDArray[np.int64]] = {}  # channels that stay floats, by left factor
        self._largest = largest or {}
        self._gelus = {node.output[0] for node in model.graph.node if node.op_type == GELU}
        self._factors: dict[str, set[str]] = {}  # that a weight is multiplied with
        self.groups: dict[str, list[NodeProto]] = {}
        for node in model.graph.node if _opset(model) >= 10 else ():  # which QuantizeLinear came with
            if node.op_type == "MatMul" and self._fits(node.input[1]):
                self.groups.setdefault(node.input[0], []).append(node)
                self._factors.setdefault(node.input[1], set()).add(node.input[0])

    def nodes(self) -> Iterator[NodeProto]:
        """Yield the rewritten graph's nodes, in order."""
        done: set[str] = set()
        for node in self._graph.node:
            left = node.input[0] if node.input else ""
            if not any(node is member for member in self.groups.get(left, ())):
                yield node
                continue
            if left not in done:
                done.add(left)
                yield from self._quantized(left)
            yield from self._product(node)

    def settle(self) -> None:
        """Add the new weights, and remove those that no node uses any more."""
        used = {name for node in self._graph.node for name in node.input}
        used.update(value.name for value in self._graph.output)
        remaining = [tensor for tensor in (*self._graph.initializer, *self._new.values()) if tensor.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(remaining)

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
        one, middle = self._constant("rows/one", np.float32(1)), self._middle(left)
        tiny, size = self._constant("rows/tiny", _TINY), f"{left}/size"
        if left in self._gelus:
            source = size
            yield helper.make_node("Sub", [left, self._constant("rows/gelu", _GELU_LOWEST)], [size])
        else:
            source = left
            yield helper.make_node("Abs", [left], [size])
        # Channels that stay floats have portion 0: they do not set the scale, and their integers meet weights of 0.
        yield helper.make_node("Mul", [size, self._portions(left)], [f"{left}/portions"])
        yield self._maximum(f"{left}/portions", f"{left}/exact")
        yield helper.make_node("Max", [f"{left}/exact", tiny], [f"{left}/scale"])
        yield helper.make_node("Div", [source, f"{left}/scale"], [f"{left}/steps"])
        yield helper.make_node("QuantizeLinear", [f"{left}/steps", one, middle], [f"{left}/integers"])
        if left in self._floats:
            channels = self._constant(f"{left}/channels", self._floats[left])
            yield helper.make_node("Gather", [left, channels], [f"{left}/floats"], axis=-1)

    def _middle(self, left: str) -> str:
        if left in self._gelus:
            return self._constant("rows/lowest", np.uint8(0))
        return self._constant("rows/middle", np.uint8(128))

    def _portions(self, left: str) -> str:
        """Return the factors from channels to steps, and choose the channels that stay floats."""
        steps, largest = 255 if left in self._gelus else 127, self._largest.get(left)
        portion = np.float32(1 / steps)
        if largest is None:
            return self._constant(f"rows/{steps}", portion)
        # The channels that stay floats have the largest products of activation and weight.
        rights = {node.input[1] for node in self.groups[left]}
        heaviest = np.max([np.abs(self._read(self._weights[right])).max(1) for right in rights], axis=0)
        portions = np.full(largest.shape, portion)
        count = min(_FLOATS, int(len(largest) * _SHARE))
        self._floats[left] = np.sort(np.argsort(-largest * heaviest)[:count])
        portions[self._floats[left]] = 0
        return self._constant(f"{left}/portion", portions)

    def _maximum(self, name: str, result: str) -> NodeProto:
        if self._axes_are_an_input:
            axes = self._constant("rows/last", np.array([-1], np.int64))
            return helper.make_node("ReduceMax", [name, axes], [result], keepdims=1)
        return helper.make_node("ReduceMax", [name], [result], axes=[-1], keepdims=1)

    def _product(self, node: NodeProto) -> Iterator[NodeProto]:
        left, right = node.input
        result, floats = node.output[0], self._floats.get(left)
        name = right if len(self._factors[right]) == 1 else f"{right}/{left}"  # its channels depend on the factor
        integers, scales = f"{name}/integers", f"{name}/scales"
        if integers not in self._new:
            values = self._read(self._weights[right]).astype(np.float32)
            if floats is not None:
                self._constant(f"{name}/floats", values[floats])
                values[floats] = 0
            steps = np.maximum(np.abs(values).max(0) / 127, _TINY).astype(np.float32)
            rounded = np.clip(np.rint(values / steps), -127, 127).astype(np.int8)
            self._constant(integers, rounded)
            self._constant(scales, steps)
            # Gelu's results are shifted to begin at 0: x @ w = (x - lowest) @ w + lowest * sum(w).
            self._constant(f"{name}/lowest", rounded.sum(0, dtype=np.float32) * steps * _GELU_LOWEST)
        inputs = [f"{left}/integers", integers, "rows/one", scales, self._middle(left)]
        inputs.append(self._constant("rows/zero", np.int8(0)))
        yield helper.make_node(OPERATOR, inputs, [f"{result}/steps"], name=node.name, domain=CONTRIB)
        sums = [("Mul", f"{left}/scale")]
        if left in self._gelus:
            sums.append(("Add", f"{name}/lowest"))
        if floats is not None:
            yield helper.make_node("MatMul", [f"{left}/floats", f"{name}/floats"], [f"{result}/floats"])
            sums.append(("Add", f"{result}/floats"))
        value = f"{result}/steps"
        for number, (operator, other) in enumerate(sums, 1):
            after = result if number == len(sums) else f"{result}/{number}"
            yield helper.make_node(operator, [value, other], [after])
            value = after


def _opset(model: ModelProto) -> int:
    versions: Mapping[str, int] = {opset.domain: opset.version for opset in model.opset_import}
    return versions.get("", 0)
