"""The facts of a graph's nodes that decide on whether a backend computes them rightly.

Attributes and shapes are too many to be compared as they are: no model's node would meet a row. So each becomes a
trait, a class that providers tell apart: an axis is the last one or an inner one, a stride is one or more, scales are
whole or fractions. What is not known of a node, since a shape is open, has no trait and meets every row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, defs, helper, numpy_helper
from onnx.shape_inference import infer_shapes

from webinfer.accuracy.atlas.features import Shape, Value, features
from webinfer.accuracy.atlas.rows import NodeFacts

_DROPPED = frozenset({"hidden_size", "blocksize", "seed", "k", "num_outputs", "num_heads", "kv_num_heads", "N", "K"})
"""Attributes of one whole number whose size decides nothing."""

_IMPLIED = {"pads": "none", "strides": "1", "dilations": "1"}  # what windows have where a node leaves them out

_LONGEST = 60  # letters of an attribute's value as it is shown


def facts_of(model: ModelProto) -> list[tuple[NodeProto, NodeFacts]]:
    """Return every node of a model with its facts, those of its subgraphs too.

    Args:
        model: The model, or its outline. It stays as it is.

    Returns:
        Pairs in the graph's order; a node is followed by the nodes of its subgraphs.
    """
    versions = {opset.domain or "": opset.version for opset in model.opset_import}
    try:
        known = infer_shapes(model, data_prop=True)
    except Exception:  # onnx raises several kinds; a graph that it cannot follow has open shapes
        known = model
    return list(_walk(known.graph, versions, {}))


def stated(node: NodeProto) -> dict[str, str]:
    """Return a node's own attributes as people read them.

    Args:
        node: The node.
    """
    return {attribute.name: _text(attribute) for attribute in node.attribute}


def _walk(
    graph: GraphProto, versions: Mapping[str, int], outer: Mapping[str, Value]
) -> Iterator[tuple[NodeProto, NodeFacts]]:
    values = {**outer, **_values(graph)}
    for node in graph.node:
        subgraphs = [attribute.g for attribute in node.attribute if attribute.type == AttributeProto.GRAPH]
        yield node, _facts(node, versions, values, is_plain=not subgraphs)
        for subgraph in subgraphs:
            yield from _walk(subgraph, versions, values)


def _values(graph: GraphProto) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for info in (*graph.input, *graph.value_info, *graph.output):
        if info.type.HasField("tensor_type"):
            kind = info.type.tensor_type
            values[info.name] = Value(_dtype(kind.elem_type), _shape(kind.shape) if kind.HasField("shape") else None)
    for tensor in graph.initializer:
        values[tensor.name] = Value(_dtype(tensor.data_type), tuple(tensor.dims), True, _array(tensor))
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            values[node.output[0]] = _constant(node, values.get(node.output[0]))
    return values


def _constant(node: NodeProto, known: Value | None) -> Value:
    for attribute in node.attribute:
        if attribute.name == "value":
            return Value(_dtype(attribute.t.data_type), tuple(attribute.t.dims), True, _array(attribute.t))
        if attribute.name in ("value_int", "value_ints", "value_float", "value_floats"):
            array = np.asarray(helper.get_attribute_value(attribute))
            return Value("int64" if array.dtype.kind == "i" else "float32", array.shape, True, array)
    return Value(known.dtype if known else "", known.shape if known else None, True)


def _text(attribute: AttributeProto) -> str:
    value = helper.get_attribute_value(attribute)
    if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
        return "a graph"
    if attribute.type == AttributeProto.TENSOR:
        return f"a tensor of {_dtype(value.data_type)} {list(value.dims)}"
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif attribute.type in (AttributeProto.INT, AttributeProto.INTS, AttributeProto.FLOATS):
        text = str(value if isinstance(value, int) else list(value))
    else:
        text = AttributeProto.AttributeType.Name(attribute.type).lower()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _array(tensor: TensorProto) -> NDArray[Any] | None:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.data_type == TensorProto.STRING:
        return None
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError):
        return None  # cut short, or of a type that numpy lacks


def _dtype(number: int) -> str:
    name = str(TensorProto.DataType.Name(number)).lower()
    return {"float": "float32", "double": "float64", "undefined": ""}.get(name, name)


def _shape(shape: Any) -> Shape:
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in shape.dim)


def _facts(node: NodeProto, versions: Mapping[str, int], values: Mapping[str, Value], *, is_plain: bool) -> NodeFacts:
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = versions.get(domain, 1)
    schema = _schema(node.op_type, domain, version)
    inputs = [values.get(name) if name else None for name in node.input]
    while inputs and not node.input[len(inputs) - 1]:
        inputs.pop()  # an input left out at the end is as one not named
    dtypes = tuple(value.dtype if value else "" for value in inputs)
    traits = _traits(node, schema, inputs) if is_plain else {}
    return NodeFacts(node.op_type, domain, schema.since_version if schema else version, dtypes, stated(node), traits)


def _schema(operator: str, domain: str, version: int) -> Any:
    try:
        return defs.get_schema(operator, version, domain)
    except defs.SchemaError:
        return None


def _traits(node: NodeProto, schema: Any, inputs: list[Value | None]) -> dict[str, str]:
    attributes = _with_defaults(node, schema)
    first = inputs[0] if inputs else None
    rank = len(first.shape) if first and first.shape is not None else None
    traits = {"inputs": "".join(_mark(name, value) for name, value in zip(node.input, inputs, strict=False))}
    if rank is not None:
        traits["rank"] = str(rank)
    shapes = [value.shape for value in inputs if value is not None]
    if all(shape is not None and None not in shape for shape in shapes):
        traits["sizes"] = "empty" if any(0 in (shape or ()) for shape in shapes) else "some"
    for name, attribute in attributes.items():
        trait = _attribute(name, attribute, rank)
        if trait is None or (name == "kernel_shape" and "Conv" in node.op_type):  # its weights have that too
            continue
        if name == "axis" or trait != _usual(name, schema, rank):
            traits[f"@{name}"] = trait
    traits.update(features(node.op_type, attributes, inputs))
    return traits


def _with_defaults(node: NodeProto, schema: Any) -> dict[str, AttributeProto]:
    """Return a node's attributes, and those that it leaves out as the operator has them."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    for name, described in (schema.attributes if schema else {}).items():
        if name not in attributes and described.default_value.name:
            attributes[name] = described.default_value
    return attributes


def _usual(name: str, schema: Any, rank: int | None) -> str | None:
    """Return the trait that an attribute has where a node leaves it out: versions of an operator differ in which exist.

    An axis is always a trait, since what it is where it is left out has changed between versions.
    """
    described = schema.attributes.get(name) if schema else None
    if described is not None and described.default_value.name:
        return _attribute(name, described.default_value, rank)
    return _IMPLIED.get(name)


def _mark(name: str, value: Value | None) -> str:
    """Return a letter: an input is missing, constant, or comes with the request or from another node."""
    return "-" if not name else "c" if value is not None and value.constant else "d"


def _attribute(name: str, attribute: AttributeProto, rank: int | None) -> str | None:
    """Return the trait of an attribute; ``None`` where its value decides nothing, or is not known to."""
    kind, value = attribute.type, helper.get_attribute_value(attribute)
    if name in ("axis", "batch_axis", "time_axis", "scan_input_axes"):
        return _axis(value, rank) if isinstance(value, int) else None
    if name in _DROPPED or kind == AttributeProto.GRAPH:
        return None
    if kind == AttributeProto.INT:
        return ("1" if value == 1 else "more") if name == "group" else str(value)
    if kind == AttributeProto.STRING:
        return str(value.decode(errors="replace"))
    if kind == AttributeProto.INTS:
        return _whole(name, [int(number) for number in value], rank)
    if kind == AttributeProto.FLOAT:
        return None
    return "given"


def _axis(axis: int, rank: int | None) -> str | None:
    if rank is None:
        return "last" if axis == -1 else None
    place = axis + rank if axis < 0 else axis
    return "last" if place == rank - 1 else "first" if place == 0 else "inner"


def _whole(name: str, numbers: list[int], rank: int | None) -> str:
    if name == "pads":
        half = len(numbers) // 2
        return "none" if not any(numbers) else "even" if numbers[:half] == numbers[half:] else "uneven"
    if name in ("strides", "dilations", "kernel_shape"):
        return "1" if set(numbers) <= {1} else "more"
    if name == "axes":
        return axes_trait(numbers, rank)
    if name == "output_padding":
        return "some" if any(numbers) else "none"
    return "given"


def axes_trait(axes: list[int], rank: int | None) -> str:
    """Return which axes a list has: the last ones, the first ones, all, or others.

    Args:
        axes: The axes; negative ones count from the end.
        rank: Dimensions of the tensor; ``None`` where it is not known.
    """
    if rank is None:
        return "last" if sorted(axes) == list(range(-len(axes), 0)) else "other"
    places = sorted({axis + rank if axis < 0 else axis for axis in axes})
    if places == list(range(rank)):
        return "all"
    return "last" if places and places == list(range(rank - len(places), rank)) else "other"
