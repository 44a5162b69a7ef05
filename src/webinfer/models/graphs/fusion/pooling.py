"""Average pooling in a form that WebNN's kernel gets right.

Chromium's WebNN on LiteRT is wrong where padding is not counted (``count_include_pad=0``, the default), where the last
windows are rounded up, and where ``SAME_LOWER`` pads. With zeros added before, every window has all its elements, and
its average is that of the zeros, too. What the zeros take away is given back by a factor for each window: the elements
of a window over those that count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, helper

from webinfer.models.graphs.fusion.matching import rewrite_nodes
from webinfer.models.graphs.fusion.shapes import ValueShape, add_constant, attributes, pad_node, spatial_sizes


class _Windows(NamedTuple):
    """Windows along one axis.

    Attributes:
        before: Zeros before the axis.
        behind: Zeros behind it, as far as windows reach.
        factors: Elements of a window over those that count, for each window.
    """

    before: int
    behind: int
    factors: NDArray[np.float64]


def pad_pools(graph: GraphProto, shapes: Mapping[str, ValueShape], opset: int) -> int:
    """Add the zeros of average pooling before it, and count what counts.

    Only those are rewritten whose input has known sizes behind batch and channels.

    Args:
        graph: Rewritten in place.
        shapes: What is known of its values.
        opset: Version of ONNX's own operators.

    Returns:
        How many nodes were rewritten.
    """

    def pad(node: NodeProto) -> list[NodeProto] | None:
        if node.op_type != "AveragePool" or node.domain:
            return None
        shape = shapes.get(node.input[0])
        sizes = spatial_sizes(shape)
        windows = None if sizes is None else _windows(node, sizes)
        if shape is None or windows is None:
            return None
        return _padded(graph, node, windows, shape, opset)

    return rewrite_nodes(graph, pad)


def _windows(node: NodeProto, sizes: tuple[int, ...]) -> list[_Windows] | None:
    """Return the windows along each axis; ``None`` where the node is right as it is, or is left as it is."""
    given, rank = attributes(node), len(sizes)
    kernel = given["kernel_shape"]
    strides = given.get("strides", [1] * rank)
    pads = given.get("pads", [0] * 2 * rank)
    kind, up = given.get("auto_pad", "NOTSET"), bool(given.get("ceil_mode", 0))
    if set(given.get("dilations", [1])) != {1} or kind not in ("NOTSET", "SAME_LOWER"):
        return None
    if kind == "SAME_LOWER":
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(sizes, strides, kernel, strict=True)]
        pads, up = [*(total - total // 2 for total in totals), *(total // 2 for total in totals)], False
    counted = bool(given.get("count_include_pad", 0))
    axes = zip(sizes, kernel, strides, pads[:rank], pads[rank:], strict=True)
    windows = [_along(*axis, up=up, counted=counted) for axis in axes]
    if not all(axis.factors.all() and np.isfinite(axis.factors).all() for axis in windows):
        return None  # a window that holds nothing but padding
    same = all((axis.factors == 1).all() for axis in windows)
    reaching = [axis.behind for axis in windows] == list(pads[rank:]) or not up
    return None if same and reaching and kind == "NOTSET" else windows


def _along(size: int, kernel: int, stride: int, before: int, behind: int, *, up: bool, counted: bool) -> _Windows:
    """Return the windows along one axis, as ONNX's ``AveragePool`` has them."""
    span = size + before + behind - kernel
    count = (-(-span // stride) if up else span // stride) + 1
    if up and (count - 1) * stride >= size + before:
        count -= 1  # the last window would begin in the padding behind
    starts = np.arange(count) * stride
    first, last = (0, size + before + behind) if counted else (before, before + size)
    elements = np.minimum(starts + kernel, last) - np.maximum(starts, first)
    with np.errstate(divide="ignore"):
        factors = kernel / np.maximum(elements, 0)
    return _Windows(before, max(0, int(starts[-1]) + kernel - size - before), factors)


def _padded(
    graph: GraphProto, node: NodeProto, windows: list[_Windows], shape: ValueShape, opset: int
) -> list[NodeProto]:
    x, y = node.input[0], node.output[0]
    widths = [0, 0, *(axis.before for axis in windows), 0, 0, *(axis.behind for axis in windows)]
    given = attributes(node)
    kept = {name: given[name] for name in ("kernel_shape", "strides") if name in given}
    factors = reduce(np.multiply.outer, (axis.factors for axis in windows))
    scaled = not math.isclose(factors.min(), 1) or not math.isclose(factors.max(), 1)
    pooled = f"{y}_of_zeros" if scaled else y
    nodes = [
        pad_node(graph, x, f"{y}_padded", widths, opset),
        helper.make_node("AveragePool", [f"{y}_padded"], [pooled], name=node.name, **kept),
    ]
    if scaled:
        constant = add_constant(graph, f"{y}_factors", factors[None, None].astype(shape.dtype))
        nodes.append(helper.make_node("Mul", [pooled, constant], [y], name=f"{y}_counted"))
    return nodes
