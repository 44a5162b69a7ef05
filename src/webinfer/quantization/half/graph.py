"""A model's float32 values as half floats, operator by operator, by the types that each operator declares.

An operator takes half floats where its schema allows them. Where it does not, or where its kernels do better in
float32, its values stay as they are. Casts stand where the two meet. Bodies of branches and loops are converted
too. What passes their borders, and the model's own inputs and outputs, stay float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from webinfer.quantization.half.bodies import bodies, hoist_floats, names, reads
from webinfer.quantization.half.schemas import Schema, Schemas
from webinfer.quantization.half.types import infer_types

_FLOAT, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16
_LARGEST, _SMALLEST = 65504.0, 5.96e-08  # of half floats; the smallest is denormal

# Operators whose kernels want float32, or count too far for half floats.
_KEPT = {
    "Bernoulli",
    "BitCast",
    "CumSum",
    "LinearAttention",
    "Max",
    "MeanVarianceNormalization",
    "Min",
    "Multinomial",
    "NonMaxSuppression",
    "OptionalGetElement",
    "RandomNormalLike",
    "RandomUniformLike",
    "Range",
    "RoiAlign",
    "TopK",
    "TreeEnsemble",
    "Upsample",
}
_INDIFFERENT = {"Cast", "Shape", "Size"}  # take either kind alike, so that no cast is made for them


def halve_graph(model: ModelProto) -> None:
    """Have a model compute in half floats, in place.

    Args:
        model: The model, with its weights inside.
    """
    hoist_floats(model.graph)
    infer_types(model)
    _Conversion(model.graph, Schemas.of(model), set(names(model.graph))).convert()


def to_half_array(array: NDArray[Any]) -> NDArray[np.float16]:
    """Return values as half floats: finite ones stay finite, and ones other than 0 stay so.

    Args:
        array: Values of any floating dtype.

    Returns:
        An array of the same shape.
    """
    tiny = (array != 0) & (np.abs(array) < _SMALLEST)
    large = np.isfinite(array) & (np.abs(array) > _LARGEST)
    array = np.where(tiny, np.copysign(_SMALLEST, array), array)
    array = np.where(large, np.copysign(_LARGEST, array), array)
    return array.astype(np.float16)


@dataclass(slots=True)
class _Conversion:
    """The conversion of one graph.

    Attributes:
        graph: The graph, changed in place.
        schemas: What operators take.
        taken: Every name in the model.
        outer: The conversion of the graph around this one.
        types: Element types that are known, by value.
        forms: The name that carries a float32 value, by its name and the element type.
        nodes: The graph's new nodes.
        halved: Casts to half floats, and what they read.
    """

    graph: GraphProto
    schemas: Schemas
    taken: set[str]
    outer: _Conversion | None = None
    types: dict[str, int] = field(default_factory=dict)
    forms: dict[str, dict[int, str]] = field(default_factory=dict)
    nodes: list[NodeProto] = field(default_factory=list)
    halved: dict[str, NodeProto] = field(default_factory=dict)

    def convert(self) -> None:
        """Convert the graph."""
        graph = self.graph
        for value in (*graph.value_info, *graph.output, *graph.input):
            if value.type.tensor_type.elem_type:
                self.types[value.name] = value.type.tensor_type.elem_type
        results = {value.name for value in graph.output}
        self._convert_weights(results)
        for value in graph.input:
            if self.types.get(value.name) == _FLOAT:
                self.forms.setdefault(value.name, {_FLOAT: value.name})
        for node in list(graph.node):
            self._convert_node(node, results)
        self._join_casts(results)
        kept = [value for value in graph.value_info if value.type.tensor_type.elem_type != _FLOAT]
        nodes = [NodeProto.FromString(node.SerializeToString()) for node in self.nodes]
        values = [ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
        del graph.node[:], graph.value_info[:]
        graph.node.extend(nodes)
        graph.value_info.extend(values)

    # Weights

    def _convert_weights(self, results: set[str]) -> None:
        """Convert initializers that operators take as half floats; those taken as both are there twice."""
        wanted: dict[str, set[int]] = {}
        for name, kind in _wishes(self.graph, self.schemas):
            wanted.setdefault(name, set()).add(kind)
        listed = {value.name: value for value in self.graph.input}
        for tensor in list(self.graph.initializer):
            self.types[tensor.name] = tensor.data_type
            if tensor.data_type != _FLOAT:
                continue
            name, wishes = tensor.name, wanted.get(tensor.name, set())
            self.forms[name] = {_FLOAT: name}
            if _HALF not in wishes:
                continue
            half = numpy_helper.from_array(to_half_array(numpy_helper.to_array(tensor)), name)
            if _FLOAT in wishes or name in results:
                half.name = self.forms[name][_HALF] = self._fresh(f"{name}_half")
                self.graph.initializer.append(half)
                continue
            self.forms[name] = {_HALF: name}
            tensor.CopyFrom(half)
            if name in listed:
                listed[name].type.tensor_type.elem_type = _HALF

    # Nodes

    def _convert_node(self, node: NodeProto, results: set[str]) -> None:
        schema = _schema(node, self.schemas)
        bound = self._bind(node, schema)
        for index, name in enumerate(node.input):
            if name and self.type_of(name) == _FLOAT:
                node.input[index] = self._form(name, self._wish(node, schema, index, name))
        for graph in bodies(node):
            _Conversion(graph, self.schemas, self.taken, self).convert()
        self.nodes.append(node)
        for index, name in enumerate(node.output):
            kind = self.types.setdefault(name, _output_type(schema, index, bound))
            if not name or kind != _FLOAT:
                continue
            if _fills_with_halves(node, name, results):
                self.forms[name] = {_HALF: name}
            elif not _gives_half(node, schema, index, bound):
                self.forms[name] = {_FLOAT: name}
            elif name in results:
                node.output[index] = half = self._fresh(f"{name}_half")
                self.nodes.append(helper.make_node("Cast", [half], [name], name=f"{half}_to_float", to=_FLOAT))
                self.forms[name] = {_HALF: half, _FLOAT: name}
            else:
                self.forms[name] = {_HALF: name}

    def _bind(self, node: NodeProto, schema: Schema | None) -> dict[str, int]:
        """Return the element type of each of a schema's type variables, and learn from it of inputs without types."""
        bound: dict[str, int] = {}
        if schema is None:
            return bound
        named = [(schema.input(index), name) for index, name in enumerate(node.input) if name]
        for kind, name in named:
            if known := self.type_of(name):
                bound.setdefault(kind, known)
        for kind, name in named:
            if not self.type_of(name) and kind in bound:
                self.types[name] = bound[kind]
                if bound[kind] == _FLOAT and self.forms_of(name) is None:
                    self.forms[name] = {_FLOAT: name}
        return bound

    def _wish(self, node: NodeProto, schema: Schema | None, index: int, name: str) -> int:
        if node.op_type in _INDIFFERENT and schema is not None and schema.takes_half(index):
            forms = self.forms_of(name) or {}
            return _FLOAT if _FLOAT in forms else _HALF
        return _wish(schema, index)

    def type_of(self, name: str) -> int:
        """Return the element type of a value, here or in a graph around this one; 0 where it is not known.

        Args:
            name: The value's name.
        """
        known = self.types.get(name, 0)
        return known or (self.outer.type_of(name) if self.outer is not None else 0)

    def forms_of(self, name: str) -> dict[int, str] | None:
        """Return the names that carry a float32 value, by type, those in the graphs around this one among them.

        Args:
            name: The value's name.

        Returns:
            The names, or ``None`` where it is no float32 value.
        """
        around = self.outer.forms_of(name) if self.outer is not None else None
        own = self.forms.get(name)
        return {**(around or {}), **(own or {})} if around or own else None

    def _form(self, name: str, kind: int) -> str:
        """Return the name that carries a value in a type; a cast is added where none does."""
        forms = self.forms_of(name)
        if forms is None or kind in forms:
            return (forms or {}).get(kind, name)
        source = next(iter(forms.values()))
        made = self._fresh(f"{name}_{'half' if kind == _HALF else 'float'}")
        cast = helper.make_node("Cast", [source], [made], name=f"{made}_cast", to=kind)
        self.nodes.append(cast)
        self.forms.setdefault(name, {})[kind] = made
        if kind == _HALF:
            self.halved[source] = cast
        return made

    def _fresh(self, stem: str) -> str:
        name, number = stem, 0
        while name in self.taken:
            number += 1
            name = f"{stem}_{number}"
        self.taken.add(name)
        return name

    def _join_casts(self, results: set[str]) -> None:
        """Have a cast to float32 that only one to half floats reads be one to half floats."""
        readers = list(reads(self.nodes))
        for node in list(self.nodes):
            if node.op_type != "Cast" or not _casts_to_float(node):
                continue
            second = self.halved.get(node.output[0])
            if second is None or node.output[0] in results or readers.count(node.output[0]) > 1:
                continue
            node.output[0] = second.output[0]
            next(attribute for attribute in node.attribute if attribute.name == "to").i = _HALF
            self.nodes.remove(second)


def _wishes(graph: GraphProto, schemas: Schemas) -> Iterator[tuple[str, int]]:
    """Yield each name that nodes read, those of inner graphs too, and the type that they want if it is float32."""
    for node in graph.node:
        schema = _schema(node, schemas)
        for index, name in enumerate(node.input):
            if name:
                yield name, _wish(schema, index)
        for body in bodies(node):
            yield from _wishes(body, schemas)


def _schema(node: NodeProto, schemas: Schemas) -> Schema | None:
    """Return what a node's operator takes; ``None`` where it is unknown or all its floats are to stay."""
    kept = node.op_type in _KEPT or _gathers(node) or any(bodies(node))
    schema = None if kept else schemas.find(node)
    return None if schema is None or schema.has_sequences else schema


def _gathers(node: NodeProto) -> bool:
    """Return whether an operator that scatters also adds up or compares: that has no kernel of half floats."""
    return any(attribute.name == "reduction" and attribute.s not in (b"", b"none") for attribute in node.attribute)


def _wish(schema: Schema | None, index: int) -> int:
    """Return the type in which a node wants a float32 input."""
    return _HALF if schema is not None and schema.takes_half(index) else _FLOAT


def _output_type(schema: Schema | None, index: int, bound: Mapping[str, int]) -> int:
    """Return the element type of an output, or 0 where it is not known."""
    if schema is None:
        return 0
    kind = schema.output(index)
    return _FLOAT if kind == "tensor(float)" else bound.get(kind, 0)


def _gives_half(node: NodeProto, schema: Schema | None, index: int, bound: Mapping[str, int]) -> bool:
    """Return whether a float32 output becomes one of half floats, as the inputs of its type are."""
    if schema is None:
        return False
    kind = schema.output(index)
    if node.op_type == "DequantizeLinear" and not any(attribute.name == "output_dtype" for attribute in node.attribute):
        kind = schema.input(1)  # since opset 23 it has a variable of its own, and follows the scale
    return bound.get(kind) == _FLOAT and schema.allows_half(kind)


def _fills_with_halves(node: NodeProto, name: str, results: set[str]) -> bool:
    """Return whether a tensor that is filled with one value holds half floats from now on: unless it is a result."""
    if node.op_type != "ConstantOfShape" or name in results:
        return False
    value = next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
    array = np.zeros(1) if value is None else numpy_helper.to_array(value)
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(to_half_array(array))))
    return True


def _casts_to_float(node: NodeProto) -> bool:
    return any(attribute.name == "to" and attribute.i == _FLOAT for attribute in node.attribute)
