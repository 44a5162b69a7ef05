"""Resize in a form that WebNN's kernels get right.

Chromium's WebNN on LiteRT takes a linear Resize to be one of half pixels, and a nearest one to round as it does itself,
whatever the attributes say. The elements that each new one is made of are known beforehand where the sizes are. So
``Gather`` takes them along each axis, and a linear Resize adds two of them, each by its weight.

The places and weights follow the definition of ONNX's operator ``Resize``, in float32 as onnxruntime computes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from webinfer.models.graphs.fusion.matching import constants, rewrite_nodes
from webinfer.models.graphs.fusion.shapes import ValueShape, add_constant, attributes

_OPSET = 11  # before it, Resize was another operator
_HALF_PIXELS = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
_NEAR = 1e-4  # of a whole number of elements, as a scale of float32 makes it
_PLACES = (*_HALF_PIXELS, "align_corners", "asymmetric")
_MOST = 1 << 16  # elements along an axis: their places go with the graph
_WHOLE = {"asymmetric": ("floor", "round_prefer_floor"), "align_corners": ("round_prefer_floor",)}
"""How a nearest Resize may round to be right where it makes each element several, by its way of placing them."""


class _Axis(NamedTuple):
    """How one axis is resized.

    Attributes:
        number: Which.
        size: Elements before.
        target: Elements afterwards.
        scale: New elements for each old one, as the graph says it.
    """

    number: int
    size: int
    target: int
    scale: np.float32


def gather_resized(graph: GraphProto, shapes: Mapping[str, ValueShape], opset: int) -> int:
    """Write out what each element of a Resize is made of.

    Only nearest and linear ones of floats are rewritten, whose scales or sizes are constants, and whose input has known
    sizes along the axes that are resized. Those that are right as they are stay.

    Args:
        graph: Rewritten in place.
        shapes: What is known of its values.
        opset: Version of ONNX's own operators.

    Returns:
        How many nodes were rewritten.
    """
    if opset < _OPSET:
        return 0
    known = constants(graph)

    def gather(node: NodeProto) -> list[NodeProto] | None:
        shape = shapes.get(node.input[0]) if node.op_type == "Resize" and not node.domain else None
        given = {"mode": "nearest", "coordinate_transformation_mode": "half_pixel", **attributes(node)}
        if shape is None or shape.dtype.kind != "f" or not _can_be_written_out(given):
            return None
        axes = _axes(node, given, shape, known)
        if not axes or _is_right(given, axes):
            return None
        return _gathered(graph, node, given, axes, shape)

    return rewrite_nodes(graph, gather)


def _can_be_written_out(given: Mapping[str, Any]) -> bool:
    return (
        given["mode"] in ("nearest", "linear")
        and given["coordinate_transformation_mode"] in _PLACES
        and not given.get("antialias", 0)
        and given.get("keep_aspect_ratio_policy", "stretch") == "stretch"
    )


def _axes(
    node: NodeProto, given: Mapping[str, Any], shape: ValueShape, known: Mapping[str, TensorProto]
) -> list[_Axis] | None:
    """Return the axes that change; ``None`` where something is not known."""
    scales, sizes = (_constant(node, index, known) for index in (2, 3))
    wanted = sizes if sizes is not None else scales
    numbers = given.get("axes", range(len(shape.sizes)))
    if wanted is None or len(wanted) != len(numbers):
        return None
    axes = []
    for number, value in zip(numbers, wanted, strict=True):
        size = shape.sizes[number]
        if sizes is None and value == 1:
            continue
        if size is None:
            return None
        if sizes is None:
            axis = _Axis(number % len(shape.sizes), size, int(size * np.float32(value)), np.float32(value))
        else:
            axis = _Axis(number % len(shape.sizes), size, int(value), np.float32(int(value) / size))
        if not 0 < axis.target <= _MOST:
            return None
        if axis.target != size or axis.scale != 1:
            axes.append(axis)
    return axes


def _constant(node: NodeProto, index: int, known: Mapping[str, TensorProto]) -> NDArray[Any] | None:
    """Return the values of an input; ``None`` where it has none, or they come with the request."""
    tensor = known.get(node.input[index]) if len(node.input) > index else None
    values = None if tensor is None else numpy_helper.to_array(tensor)
    return values if values is not None and values.size else None


def _is_right(given: Mapping[str, Any], axes: list[_Axis]) -> bool:
    """Return whether WebNN computes this form rightly."""
    places = given["coordinate_transformation_mode"]
    if given["mode"] == "linear":
        whole = all(abs(axis.size * float(axis.scale) - axis.target) < _NEAR for axis in axes)
        single = places == "pytorch_half_pixel" and any(axis.target == 1 for axis in axes)
        return places in _HALF_PIXELS and whole and not single
    rounding = _WHOLE.get(places, ("round_prefer_floor",))
    several = all(axis.scale >= 1 and axis.scale == int(axis.scale) for axis in axes)
    return several and given.get("nearest_mode", "round_prefer_floor") in rounding


def _gathered(
    graph: GraphProto, node: NodeProto, given: Mapping[str, Any], axes: list[_Axis], shape: ValueShape
) -> list[NodeProto]:
    value, nodes = node.input[0], list[NodeProto]()
    for index, axis in enumerate(axes):
        output = node.output[0] if index + 1 == len(axes) else f"{node.output[0]}_along_{axis.number}"
        places = _places(given["coordinate_transformation_mode"], axis)
        if given["mode"] == "nearest":
            at = _rounded(places, given.get("nearest_mode", "round_prefer_floor"), axis)
            nodes.append(_gather(graph, value, output, at, axis))
        else:
            nodes += _lines(graph, value, output, places, axis, shape)
        value = output
    return nodes


def _places(mode: str, axis: _Axis) -> NDArray[np.float32]:
    """Return where each new element lies among the old ones."""
    new, half = np.arange(axis.target, dtype=np.float32), np.float32(0.5)
    if mode == "align_corners":
        steps = np.float32(axis.size - 1) / np.float32(max(1, axis.target - 1))
        return new * steps if axis.target > 1 else new * 0
    if mode == "asymmetric":
        return new / axis.scale
    if mode == "pytorch_half_pixel" and axis.target == 1:
        return new * 0
    shift = np.float32(0)
    if mode == "half_pixel_symmetric":  # what is lost by rounding the size is lost on both sides
        shift = np.float32(axis.size / 2) * (1 - np.float32(axis.target) / (axis.scale * np.float32(axis.size)))
    return shift + (new + half) / axis.scale - half


def _rounded(places: NDArray[np.float32], mode: str, axis: _Axis) -> NDArray[np.int64]:
    """Return the old elements that are nearest."""
    half = places == np.trunc(places) + np.float32(0.5)
    away = np.trunc(places + np.copysign(np.float32(0.5), places))  # as C's round does
    nearest = {
        "floor": np.floor(places),
        "ceil": np.ceil(places),
        "round_prefer_ceil": away,
        "round_prefer_floor": np.where(half, np.floor(places), away),
    }[mode]
    return np.clip(nearest, 0, axis.size - 1).astype(np.int64)


def _gather(graph: GraphProto, value: str, output: str, at: NDArray[np.int64], axis: _Axis) -> NodeProto:
    constant = add_constant(graph, f"{output}_at", at)
    return helper.make_node("Gather", [value, constant], [output], name=output, axis=axis.number)


def _lines(
    graph: GraphProto, value: str, output: str, places: NDArray[np.float32], axis: _Axis, shape: ValueShape
) -> list[NodeProto]:
    """Return nodes that add the two neighbours of each place, by their distance."""
    places = np.clip(places, 0, axis.size - 1)
    lower = places.astype(np.int64)
    upper = np.minimum(lower + 1, axis.size - 1)
    share = (places - lower).reshape(-1, *[1] * (len(shape.sizes) - 1 - axis.number))
    nodes = []
    for name, at, weight in ((f"{output}_lower", lower, 1 - share), (f"{output}_upper", upper, share)):
        constant = add_constant(graph, f"{name}_weights", weight.astype(shape.dtype))
        nodes.append(_gather(graph, value, f"{name}_elements", at, axis))
        nodes.append(helper.make_node("Mul", [f"{name}_elements", constant], [name], name=name))
    return [*nodes, helper.make_node("Add", [f"{output}_lower", f"{output}_upper"], [output], name=output)]
