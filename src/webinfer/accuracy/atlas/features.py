"""Traits of single operators: what of their shapes and constants decides on whether a backend computes them rightly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray
from onnx import AttributeProto

Shape = tuple[int | None, ...]


class Value(NamedTuple):
    """What is known of a value: its type, its shape, whether it is a constant, and which, if that is small."""

    dtype: str
    shape: Shape | None = None
    constant: bool = False
    array: NDArray[Any] | None = None


Attributes = Mapping[str, AttributeProto]
Inputs = Sequence[Value | None]

_BINARY = frozenset(
    {
        *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "PRelu", "Max", "Min", "Mean", "Sum", "Where"),
        *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor"),
        *("BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor"),
    }
)
_EXACT = 1e-3  # of a pixel: scales are float32
_REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin"),
    *("ReduceProd", "ReduceSum", "ReduceSumSquare"),
)


def features(operator: str, attributes: Attributes, inputs: Inputs) -> dict[str, str]:
    """Return the traits of a node that its operator alone has.

    Args:
        operator: The operator.
        attributes: Its attributes, with the operator's own values for those that it leaves out.
        inputs: What is known of its inputs; ``None`` for one that is left out or not known at all.

    Returns:
        Traits by name; those that cannot be known are left out.
    """
    if operator in _BINARY:
        return _broadcast(inputs)
    describe = _FEATURES.get(operator)
    return describe(attributes, inputs) if describe else {}


def _shape(inputs: Inputs, index: int) -> Shape | None:
    value = inputs[index] if index < len(inputs) else None
    return value.shape if value is not None else None


def _numbers(inputs: Inputs, index: int) -> list[float] | None:
    value = inputs[index] if index < len(inputs) else None
    return None if value is None or value.array is None else [float(number) for number in value.array.ravel()]


def _broadcast(inputs: Inputs) -> dict[str, str]:
    shapes = [value.shape for value in inputs if value is not None and value.shape is not None]
    if len(shapes) < len(inputs) or any(None in shape for shape in shapes):
        return {}
    if len(set(shapes)) == 1:
        return {"broadcast": "none"}
    sizes = [math.prod(size or 0 for size in shape) for shape in shapes]
    return {"broadcast": "scalar" if min(sizes) == 1 else "some"}


def _channels(count: int | None) -> str | None:
    """Return the class of a count of channels: vectors of four are where WebGPU's kernels differ."""
    if count is None:
        return None
    if count % 4 == 0:
        return "4n"
    return str(count) if count < 4 else "3n" if count % 3 == 0 else "2n" if count % 2 == 0 else "odd"


def _convolution(attributes: Attributes, inputs: Inputs) -> dict[str, str]:
    weights = _shape(inputs, 1)
    data = _shape(inputs, 0)
    known = {
        "channels": _channels(data[1] if data is not None and len(data) > 1 else None),
        "filters": _channels(weights[0] if weights else None),
    }
    if weights and len(weights) > 2:
        known["kernel"] = None if None in weights[2:] else "1" if set(weights[2:]) == {1} else "more"
        depthwise = attributes["group"].i > 1 and weights[1] == 1 if "group" in attributes else False
        known["depthwise"] = "yes" if depthwise else "no"
    return {name: trait for name, trait in known.items() if trait is not None}


def _pooling(attributes: Attributes, inputs: Inputs) -> dict[str, str]:
    """Return whether windows end where the input ends: only where they do not, rounding and padding matter."""
    shape = _shape(inputs, 0)
    if "kernel_shape" not in attributes:
        return {}
    kernel = list(attributes["kernel_shape"].ints)
    count = len(kernel)
    strides = list(attributes["strides"].ints) if "strides" in attributes else [1] * count
    pads = list(attributes["pads"].ints) if "pads" in attributes else [0] * 2 * count
    dilations = list(attributes["dilations"].ints) if "dilations" in attributes else [1] * count
    if shape is None or len(shape) != count + 2 or None in shape[2:]:
        return {}
    automatic = attributes["auto_pad"].s.decode() if "auto_pad" in attributes else "NOTSET"
    if automatic.startswith("SAME"):
        return {"split": _split(shape[2:], kernel, strides, dilations)}
    left = [
        ((size or 0) + pads[axis] + pads[axis + count] - (kernel[axis] - 1) * dilations[axis] - 1) % strides[axis]
        for axis, size in enumerate(shape[2:])
    ]
    return {"windows": "ragged" if any(left) else "whole"}


def _split(sizes: Shape, kernel: list[int], strides: list[int], dilations: list[int]) -> str:
    """Return whether automatic padding is the same on both sides; only where it is not, LOWER and UPPER differ."""
    totals = [
        max(0, (-(-(size or 0) // stride) - 1) * stride + (width - 1) * dilation + 1 - (size or 0))
        for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    return "none" if not any(totals) else "uneven" if any(total % 2 for total in totals) else "even"


def _resize(attributes: Attributes, inputs: Inputs) -> dict[str, str]:
    shape = _shape(inputs, 0)
    scales = _numbers(inputs, 2) if len(inputs) > 2 else _numbers(inputs, 1)
    if not scales and shape is not None and None not in shape:
        sizes = _numbers(inputs, 3)
        listed = list(attributes["axes"].ints) if "axes" in attributes else list(range(len(shape)))
        if sizes and len(sizes) == len(listed):
            scales = [size / (shape[axis] or 1) for size, axis in zip(sizes, listed, strict=True)]
    if not scales:
        return {}
    changed = [scale for scale in scales if scale != 1]
    traits = {"scale": _scale(changed)}
    if shape is not None and None not in shape and len(shape) == len(scales):
        ends = [(size or 0) * scale for size, scale in zip(shape, scales, strict=True)]
        traits["length"] = "whole" if all(abs(end - round(end)) < _EXACT for end in ends) else "cut"
    if len(scales) > 2 and "axes" not in attributes:
        traits["scaled"] = "spatial" if scales[:-2] == [1.0] * (len(scales) - 2) else "other"
        traits["uneven"] = "yes" if len(set(scales[-2:])) > 1 else "no"
    return traits


def _scale(scales: list[float]) -> str:
    if not scales:
        return "1"
    if all(scale > 1 for scale in scales):
        return "whole" if all(scale == int(scale) for scale in scales) else "fraction"
    return "down" if all(scale < 1 for scale in scales) else "mixed"


def _slice(_attributes: Attributes, inputs: Inputs) -> dict[str, str]:
    steps = _numbers(inputs, 4)
    if len(inputs) <= 4:
        return {"steps": "1"}
    if steps is None:
        return {}
    return {"steps": "negative" if min(steps, default=1) < 0 else "1" if set(steps) <= {1.0} else "more"}


def _pad(_attributes: Attributes, inputs: Inputs) -> dict[str, str]:
    pads = _numbers(inputs, 1)
    if pads is None:
        return {}
    return {"pads": "negative" if min(pads, default=0) < 0 else "some"}


def _reduction(_attributes: Attributes, inputs: Inputs) -> dict[str, str]:
    """Return which axes are reduced, where a constant says so; as an attribute they are a trait already."""
    axes, shape = _numbers(inputs, 1), _shape(inputs, 0)
    if axes is None or shape is None:
        return {}
    rank = len(shape)
    places = sorted({int(axis) % rank for axis in axes}) if rank else []
    last = places == list(range(rank - len(places), rank))
    return {"axes": "all" if len(places) in (0, rank) else "last" if last else "other"}


def _product(_attributes: Attributes, inputs: Inputs) -> dict[str, str]:
    other = _shape(inputs, 1)
    return {"ranks": str(len(other))} if other is not None else {}


def _indices(_attributes: Attributes, inputs: Inputs) -> dict[str, str]:
    indices, shape = _numbers(inputs, 1), _shape(inputs, 1)
    traits = {"indices": "negative" if min(indices, default=0) < 0 else "plain"} if indices is not None else {}
    return traits | ({"ranks": str(len(shape))} if shape is not None else {})


def _blocks(attributes: Attributes, _inputs: Inputs) -> dict[str, str]:
    return {f"={name}": str(attributes[name].i) for name in ("block_size", "bits") if name in attributes}


_FEATURES: Mapping[str, Callable[[Attributes, Inputs], dict[str, str]]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "ConvInteger", "FusedConv"), _convolution),
    **dict.fromkeys(("AveragePool", "MaxPool", "LpPool"), _pooling),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    **dict.fromkeys(("MatMul", "MatMulInteger", "FusedMatMul"), _product),
    **dict.fromkeys(("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND"), _indices),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    "MatMulNBits": _blocks,
    "Pad": _pad,
    "Slice": _slice,
}
