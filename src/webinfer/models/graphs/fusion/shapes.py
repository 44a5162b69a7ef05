"""Dtypes and sizes of a graph's values, for rewritings that depend on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    ValueInfoProto,
    helper,
    numpy_helper,
    shape_inference,
)

_INPUT_OPSET = 11  # from here on, Pad takes the widths as an input


@dataclass(frozen=True, slots=True)
class ValueShape:
    """What is known of a value.

    Attributes:
        dtype: Its dtype.
        sizes: Its sizes; ``None`` for each that is open.
    """

    dtype: np.dtype[Any]
    sizes: tuple[int | None, ...]


def shapes(model: ModelProto) -> dict[str, ValueShape]:
    """Return what is known of a model's values, by name; those of unknown rank are left out.

    Args:
        model: The model, or its outline.

    Returns:
        What is known; nothing of a graph that contradicts itself, which the runtime refuses.
    """
    try:
        inferred = shape_inference.infer_shapes(model).graph
    except (shape_inference.InferenceError, ValueError):
        return {}
    values = [*inferred.input, *inferred.value_info, *inferred.output]
    known = {value.name: _shape(value) for value in values if value.type.tensor_type.HasField("shape")}
    for tensor in model.graph.initializer:
        known[tensor.name] = ValueShape(_dtype(tensor.data_type), tuple(tensor.dims))
    return known


def spatial_sizes(shape: ValueShape | None) -> tuple[int, ...] | None:
    """Return a value's sizes behind batch and channels.

    Args:
        shape: What is known of the value.

    Returns:
        The sizes; ``None`` where one is open, there are none, or the value holds no floats.
    """
    if shape is None or shape.dtype.kind != "f" or len(shape.sizes) < 3:
        return None
    sizes = tuple(size for size in shape.sizes[2:] if size is not None)
    return sizes if len(sizes) == len(shape.sizes) - 2 else None


def attributes(node: NodeProto) -> Mapping[str, Any]:
    """Return a node's attributes by name; texts are decoded.

    Args:
        node: The node.
    """
    return {attribute.name: _value(attribute) for attribute in node.attribute}


def add_constant(graph: GraphProto, name: str, array: NDArray[Any]) -> str:
    """Add an initializer to a graph.

    Args:
        graph: The graph, changed in place.
        name: Its name.
        array: Its values.

    Returns:
        The name.
    """
    graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def pad_node(graph: GraphProto, name: str, output: str, widths: Iterable[int], opset: int) -> NodeProto:
    """Return a node that adds zeros around a value.

    Args:
        graph: Takes the widths as an initializer, from opset 11 on.
        name: The value.
        output: Name of the larger one.
        widths: Zeros before each axis, then those behind each.
        opset: Version of ONNX's own operators.
    """
    if opset < _INPUT_OPSET:
        return helper.make_node("Pad", [name], [output], name=output, pads=list(widths))
    constant = add_constant(graph, f"{output}_widths", np.array(list(widths), np.int64))
    return helper.make_node("Pad", [name, constant], [output], name=output)


def _shape(value: ValueInfoProto) -> ValueShape:
    tensor = value.type.tensor_type
    sizes = tuple(size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim)
    return ValueShape(_dtype(tensor.elem_type), sizes)


def _dtype(kind: int) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(kind)) if kind else np.dtype(object)


def _value(attribute: AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    return value.decode() if isinstance(value, bytes) else value
