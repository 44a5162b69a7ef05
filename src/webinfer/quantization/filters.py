"""Filters of convolutions in 8 or 4 bits, which the runtime restores to floats before each use."""

from __future__ import annotations

import numpy as np

from webinfer.quantization.mixed_precision import Layer
from webinfer.quantization.weights.gptq import calibrated
from webinfer.quantization.weights.rounding import Array, Floats, nearest, searched
from webinfer.quantization.weights.scheme import Method, Scheme
from webinfer.quantization.weights.targets import LEAST, Target


def filter_blocks(
    target: Target, filters: Array, scheme: Scheme, hessian: Floats | None, method: Method, methods: dict[str, int]
) -> Layer:
    """Quantize filters of shape (out, in, ...).

    With 4 bits or fewer asked for they get 4, the least that their operator knows, in blocks over the channels that
    they take. Where those are too few (the first layer) they get 8, and a scale to each filter.

    Args:
        target: The weight.
        filters: Its values.
        scheme: How it is to be quantized.
        hessian: Of its inputs, shape (in, in), for calibration; ``None`` for none.
        method: How values are rounded.
        methods: Counts of the methods that were used, added to.

    Returns:
        The quantized layer.
    """
    channels = filters.shape[1]
    small = scheme.bits >= 8 or channels < LEAST
    if small:
        methods["nearest"] = methods.get("nearest", 0) + 1
        return _eighths(target, filters)
    block = min(scheme.block, 1 << (channels.bit_length() - 1))
    rows = np.ascontiguousarray(np.moveaxis(filters, 1, -1)).reshape(-1, channels)
    if method == "calibrated" and hessian is None:
        method = "searched"
    if method == "calibrated":
        assert hessian is not None
        blocks = calibrated(rows, 4, block, hessian)
    else:
        blocks = (searched if method == "searched" else nearest)(rows, 4, block)
    methods[method] = methods.get(method, 0) + 1
    outer, inner = filters.shape[0], filters.shape[2:]

    def back(array: Array, size: int) -> Array:
        return np.ascontiguousarray(np.moveaxis(array.reshape(outer, *inner, -1)[..., :size], -1, 1))

    count = blocks.scales.shape[1]
    levels = back(blocks.levels.reshape(len(rows), -1), channels)
    parts = levels, back(blocks.scales, count), back(blocks.zeros, count), block
    finer = _eighths(target, filters) if scheme.mixed else None
    return Layer(target, None, None, filters.shape, parts, back(blocks.restored(), channels), finer)


def _eighths(target: Target, filters: Array) -> Layer:
    peaks = np.abs(filters).reshape(len(filters), -1).max(axis=1)
    scales = np.maximum(peaks / 127, np.finfo(np.float32).tiny).astype(np.float32)
    shape = (-1,) + (1,) * (filters.ndim - 1)
    levels = np.clip(np.rint(filters / scales.reshape(shape)), -127, 127).astype(np.int8)
    restored = levels * scales.reshape(shape)
    return Layer(target, None, None, filters.shape, (levels, scales, None, None), restored)
