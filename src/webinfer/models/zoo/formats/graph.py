"""A graph under construction, and the file it becomes.

Weights are declared by name and shape, and fetched one at a time while the file is written. So building a model takes
the memory of its largest weight, not of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from webinfer.core.tensors import DTYPES
from webinfer.models.zoo.formats.weights import Weights

_IR_VERSION = 8  # the one that came with opset 17, which every runtime in use reads
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers in onnx.proto
_LIMIT = 2**31 - 1  # bytes that protobuf allows in one message
Shape = Sequence[int | str]


@dataclass(frozen=True, slots=True)
class _Weight:
    """A weight that is fetched when the file is written."""

    name: str
    source: str
    shape: tuple[int, ...]  # as the source has it
    transposed: bool

    @property
    def stored(self) -> tuple[int, ...]:
        return self.shape[::-1] if self.transposed else self.shape


class Graph:
    """Nodes, inputs, outputs and weights of a model.

    Values are named by strings, as in ONNX: every method that makes a value returns its name.

    Args:
        name: The graph's name.
        dtype: Dtype of weights and activations, ``float32`` or ``float16``.
        opset: Version of the standard operators.
    """

    def __init__(self, name: str, *, dtype: str = "float32", opset: int = 17) -> None:
        self.name = name
        self.dtype = DTYPES[dtype]
        self.opset = opset
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[bytes, str, tuple[int, ...]], onnx.TensorProto] = {}
        self._weights: dict[str, _Weight] = {}
        self._domains: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Graph {self.name} nodes={len(self._nodes)} weights={len(self._weights)} nbytes={self.nbytes:,}>"

    @property
    def nbytes(self) -> int:
        """Size of the weights."""
        return sum(self._size(weight) for weight in self._weights.values())

    def input(self, name: str, dtype: str, shape: Shape) -> str:
        """Declare an input; strings in ``shape`` are symbolic dimensions.

        Args:
            name: Its name.
            dtype: Its dtype, as numpy names it.
            shape: Its dimensions.

        Returns:
            ``name``, for the nodes that take it.
        """
        self._inputs.append(_value(name, dtype, shape))
        return name

    def output(self, value: str, name: str, dtype: str, shape: Shape) -> str:
        """Declare an output: a value under a name of its own.

        Args:
            value: Name of the value.
            name: Name of the output.
            dtype: Its dtype, as numpy names it.
            shape: Its dimensions; strings are symbolic.

        Returns:
            Name of the output.
        """
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"output/{name}"))
        self._outputs.append(_value(name, dtype, shape))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output.

        Args:
            operator: ONNX operator.
            inputs: Names of values; an empty string leaves an optional input out.
            domain: Domain of an operator that is not a standard one.
            attributes: The operator's.

        Returns:
            Name of its output.
        """
        return self.add_many(operator, *inputs, outputs=1, domain=domain, **attributes)[0]

    def add_many(self, operator: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> list[str]:
        """Add a node of several outputs.

        Args:
            operator: Type of the operator.
            inputs: Names of its inputs.
            outputs: How many outputs it has.
            domain: The operator's domain; empty for ONNX's own.
            attributes: Its attributes by name.

        Returns:
            Names of its outputs.
        """
        name = f"{operator}_{len(self._nodes)}"
        names = [name if number == 0 else f"{name}.{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, name=name, domain=domain, **attributes))
        if domain:
            self._domains[domain] = 1
        return names

    def weight(self, name: str, shape: tuple[int, ...], *, transposed: bool = False) -> str:
        """Declare a weight.

        Args:
            name: Its name in the source of weights, which is its name in the graph, too.
            shape: Its shape in the source.
            transposed: Store it with its axes reversed.

        Returns:
            Name of the weight.
        """
        stored = f"{name}.T" if transposed else name
        self._weights[stored] = _Weight(stored, name, shape, transposed)
        return stored

    def constant(self, values: Any, dtype: str | None = None) -> str:
        """Add a small constant; equal ones are stored once.

        Args:
            values: Number, list or array.
            dtype: Its dtype; ``None`` is the graph's own.

        Returns:
            Name of the constant.
        """
        array = np.array(values, DTYPES[dtype] if dtype else self.dtype)
        key = (array.tobytes(), array.dtype.str, array.shape)
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, f"constant_{len(self._constants)}")
        return self._constants[key].name

    def save(self, path: Path, weights: Weights, progress: Callable[[int, int], None] | None = None) -> None:
        """Write the ONNX file.

        Args:
            path: Where to.
            weights: Source of the declared weights.
            progress: Called with the bytes of weights written so far and in all.

        Raises:
            ValueError: The model is too large for one file.
        """
        # protobuf allows the fields of a message in any order, and a repeated field in several places. So the weights
        # can follow the rest of the graph one by one, once the length of the whole message is known.
        head = self._skeleton()
        graph = head.graph.SerializeToString()
        head.ClearField("graph")
        prefixes = {name: self._prefix(weight) for name, weight in self._weights.items()}
        length = len(graph) + sum(len(prefixes[name]) + self._size(weight) for name, weight in self._weights.items())
        if length > _LIMIT:
            raise ValueError(f"{self.name} has {length:,} bytes, and one ONNX file holds {_LIMIT:,} at most.")
        with path.open("wb") as file:
            file.write(head.SerializeToString() + _tag(_GRAPH, length) + graph)
            done = 0
            for weight, values in self._fetch(weights):
                file.write(prefixes[weight.name])
                _write(file, values)
                done += values.nbytes
                if progress is not None:
                    progress(done, self.nbytes)

    def _fetch(self, weights: Weights) -> Iterator[tuple[_Weight, NDArray[Any]]]:
        for weight in self._weights.values():
            values = np.asarray(weights(weight.source, weight.shape))
            if values.shape != weight.shape:
                raise ValueError(f"{weight.source} has the shape {values.shape}, not {weight.shape}.")
            yield weight, np.asarray(values.T if weight.transposed else values, self.dtype, order="C")

    def _skeleton(self) -> onnx.ModelProto:
        """Return the model without its weights."""
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, list(self._constants.values()))
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(domain, version) for domain, version in self._domains.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="webinfer")

    def _prefix(self, weight: _Weight) -> bytes:
        """Return what comes before a weight's values in the file."""
        dtype = helper.np_dtype_to_tensor_dtype(self.dtype)
        head = onnx.TensorProto(name=weight.name, dims=weight.stored, data_type=dtype)
        tensor: bytes = head.SerializeToString()
        tensor += _tag(_RAW_DATA, self._size(weight))
        return _tag(_INITIALIZER, len(tensor) + self._size(weight)) + tensor

    def _size(self, weight: _Weight) -> int:
        return int(np.prod(weight.shape, dtype=np.int64)) * self.dtype.itemsize


def save_all(
    graphs: Mapping[str, Graph], directory: Path, weights: Weights, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write the graphs of one model.

    Args:
        graphs: By the names of their files, without ``.onnx``.
        directory: Where to.
        weights: Source of the declared weights.
        progress: Called with the bytes of weights written so far and in all.
    """
    total = sum(graph.nbytes for graph in graphs.values())
    before = 0

    def tell(done: int, _: int) -> None:
        if progress is not None:
            progress(before + done, total)

    for name, graph in graphs.items():
        graph.save(directory / f"{name}.onnx", weights, tell)
        before += graph.nbytes


def _value(name: str, dtype: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(DTYPES[dtype]), shape)


def _tag(number: int, length: int) -> bytes:
    """Return the beginning of a protobuf field of bytes: its key and its length."""
    encoded = bytearray()
    for value in (number << 3 | 2, length):
        while value >= 0x80:
            encoded.append(value & 0x7F | 0x80)
            value >>= 7
        encoded.append(value)
    return bytes(encoded)


def _write(file: IO[bytes], values: NDArray[Any]) -> None:
    file.write(values.reshape(-1).view(np.uint8).data)
