"""Which layers get 8 bits and which 4, by what each one loses, under a budget of bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, helper

from webinfer.accuracy.measures import relative_error
from webinfer.accuracy.native import NativeSession
from webinfer.models.files.package import ModelPackage
from webinfer.quantization.calibration.inputs import Inputs
from webinfer.quantization.weights.reader import Weights
from webinfer.quantization.weights.rewrite import Rewriting
from webinfer.quantization.weights.rounding import Array, Blocks
from webinfer.quantization.weights.targets import Target

BUDGET = 1.25  # of the bytes that the weights take in 4 bits


@dataclass(slots=True)
class Layer:
    """A weight that is quantized.

    Attributes:
        target: The weight.
        blocks: As blocks, of a matrix or a table.
        finer: The same with 8 bits, where that may be chosen.
        shape: Of the matrix, or the filters.
        filters: Levels, scales, zero points and block size of filters.
        restored: The filters as the runtime computes with them.
        finer_filters: The same with 8 bits, where that may be chosen.
    """

    target: Target
    blocks: Blocks | None
    finer: Blocks | None
    shape: tuple[int, ...]
    filters: tuple[Array, Array, Array | None, int | None] | None = None
    restored: Array | None = None
    finer_filters: Layer | None = None

    @property
    def stored(self) -> int:
        """Bits that a weight takes in the file."""
        if self.blocks is not None:
            return self.blocks.bits
        assert self.filters is not None
        return 8 if self.filters[2] is None else 4

    @property
    def extra(self) -> int:
        """Bytes that it would take more with 8 bits."""
        return self.target.size // 2 if self.stored == 4 else 0

    def weight(self) -> Array:
        """Return the weight as the runtime computes with it, laid out as the graph has it."""
        if self.blocks is None:
            assert self.restored is not None
            return self.restored
        restored = self.blocks.restored()
        return np.ascontiguousarray(restored.T) if self.target.role == "columns" else restored

    def refine(self) -> None:
        """Take 8 bits."""
        if self.finer_filters is not None:
            self.filters, self.restored = self.finer_filters.filters, self.finer_filters.restored
        else:
            self.blocks = self.finer

    def write(self, rewriting: Rewriting) -> None:
        """Put it into a graph.

        Args:
            rewriting: The graph's rewriting.
        """
        if self.blocks is not None:
            rewriting.blocks(self.target, self.blocks)
        else:
            assert self.filters is not None
            rewriting.filters(self.target, *self.filters)


def choose(package: ModelPackage, weights: Weights, layers: list[Layer], inputs: list[Inputs]) -> None:
    """Give 8 bits to the layers that gain most by them, byte for byte, until the budget is spent.

    Each layer's loss is measured: the model runs with that one weight quantized and all others as they were.

    Args:
        package: The model.
        weights: Its weights.
        layers: Its layers with 4 bits, of which some are changed.
        inputs: Inputs to run it with.
    """
    trial = _Trial(package, weights, layers, inputs)
    room = (BUDGET - 1) * sum(layer.target.size * layer.stored / 8 for layer in layers)
    lost = {id(layer): trial.loss(layer) for layer in layers if layer.extra}
    for layer in sorted(
        (layer for layer in layers if layer.extra), key=lambda candidate: -lost[id(candidate)] / candidate.extra
    ):
        if layer.extra <= room:
            room -= layer.extra
            layer.refine()


class _Trial:
    """The model with its weights as inputs, so that one session can run it with any of them replaced."""

    def __init__(self, package: ModelPackage, weights: Weights, layers: list[Layer], inputs: list[Inputs]) -> None:
        names = {name for layer in layers for name in (layer.target.name, *layer.target.same)}
        graph = ModelProto()
        graph.CopyFrom(weights.model)
        for tensor in [tensor for tensor in graph.graph.initializer if tensor.name in names]:
            graph.graph.initializer.remove(tensor)
            if tensor.name not in {value.name for value in graph.graph.input}:
                dims = list(tensor.dims)
                graph.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, dims))
        self._session = NativeSession(package, threads=1, graph=graph, files=weights.files)
        self._weights = {name: weights.read(name) for name in names}
        self._inputs = inputs
        self._expected = self._run({})

    def loss(self, layer: Layer) -> float:
        """Return the square of the relative error that a layer alone makes."""
        weight = layer.weight()
        replaced = {layer.target.name: weight, **{name: np.ascontiguousarray(weight.T) for name in layer.target.same}}
        for name in layer.target.same:
            # A weight that was joined lies transposed in a product, and as it is in another table.
            if self._weights[name].shape != replaced[name].shape:
                replaced[name] = weight
        dtype = self._weights[layer.target.name].dtype
        outputs = self._run({name: np.ascontiguousarray(array, dtype) for name, array in replaced.items()})
        return relative_error(self._expected, outputs) ** 2

    def _run(self, replaced: dict[str, Array]) -> list[Array]:
        answers = [self._session.run({**inputs, **self._weights, **replaced}) for inputs in self._inputs]
        arrays = [array for outputs in answers for array in outputs.values()]
        return [array for array in arrays if array.dtype.kind == "f" and array.size]
