"""Weights as blocks of a few bits, in the layout of onnxruntime's operator MatMulNBits.

A weight w of a block is stored as an integer q, so that w is about (q - zero) * scale:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float32]

_TINY = np.finfo(np.float32).tiny  # the least scale: below it there are denormals, which some backends take for 0
SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.74, 0.68, 0.62, 0.56, 0.5)  # parts of a block's range that are tried
_ROWS = 1 << 20  # weights looked at together: what fits a core's cache


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix of N rows and K columns in blocks along its rows.

    Attributes:
        levels: The integers, uint8 of shape (N, blocks, block); the last block is padded with its zero point.
        scales: float32 of shape (N, blocks).
        zeros: Zero points, uint8 of shape (N, blocks).
        columns: K.
        bits: How many bits each takes when it is packed: 8, 4 or 2.
    """

    levels: NDArray[np.uint8]
    scales: Floats
    zeros: NDArray[np.uint8]
    columns: int
    bits: int

    @property
    def block(self) -> int:
        """Weights in a block."""
        return int(self.levels.shape[2])

    def restored(self) -> Floats:
        """Return the matrix as the runtime computes with it."""
        centred = self.levels.astype(np.float32) - self.zeros[..., None]
        return (centred * self.scales[..., None]).reshape(len(self.levels), -1)[:, : self.columns]

    def packed(self) -> tuple[NDArray[np.uint8], Floats, NDArray[np.uint8]]:
        """Return the operator's inputs B, scales and zero points."""
        return pack(self.levels, self.bits), self.scales, pack(_padded(self.zeros, 8 // self.bits), self.bits)


def nearest(weights: Floats, bits: int, block: int, stored: int | None = None) -> Blocks:
    """Round weights to the nearest of the levels that a block's whole range is divided into.

    Args:
        weights: Of shape (N, K).
        bits: The number of levels is two to this power.
        block: Weights in a block.
        stored: Bits that a level takes when it is packed; ``None`` for ``bits``.

    Returns:
        The blocks, with their scales.
    """
    return _in_parts(weights, bits, block, stored, None, (1.0,))


def searched(weights: Floats, bits: int, block: int, stored: int | None = None, weigh: Floats | None = None) -> Blocks:
    """Choose each block's range so that the squared error is least, then fit its scale to the levels.

    The range is shrunk step by step, which clips the block's extremes and divides the rest more finely. Fitting scale
    and levels in turn is what HQQ does, https://mobiusml.github.io/hqq_blog, with squares in place of its norm.

    Args:
        weights: Of shape (N, K).
        bits: The number of levels is two to this power.
        block: Weights in a block.
        stored: Bits that a level takes when it is packed; ``None`` for ``bits``.
        weigh: How much an error of each column matters, of length K; ``None`` for all alike.

    Returns:
        The blocks, with their scales.
    """
    return _in_parts(weights, bits, block, stored, weigh, SHRINKS)


def grid(blocks: Floats, bits: int, weigh: Floats | None, shrinks: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return the scale and the zero point of each block.

    Args:
        blocks: Of shape (..., block).
        bits: The number of levels is two to this power.
        weigh: How much an error matters, of a shape that broadcasts to that of ``blocks``.
        shrinks: Parts of the range that are tried.
    """
    top = float(2**bits - 1)
    # Zero lies in every range, so that zeros and padding are exact.
    low = np.minimum(blocks.min(axis=-1), 0.0)
    high = np.maximum(blocks.max(axis=-1), 0.0)
    best: tuple[Floats, Floats, Floats] | None = None
    for shrink in shrinks:
        scale = np.maximum((high - low) * np.float32(shrink / top), _TINY)
        zero = np.clip(np.rint(-low * np.float32(shrink) / scale), 0, top)
        if len(shrinks) == 1:
            return scale, zero
        scale, error = _fitted(blocks, scale, zero, top, weigh)
        if best is None:
            best = error, scale, zero
            continue
        better = error < best[0]
        best = np.where(better, error, best[0]), np.where(better, scale, best[1]), np.where(better, zero, best[2])
    assert best is not None
    return best[1], best[2]


def pack(levels: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Put several integers of a few bits into each byte along the last axis, the first one lowest.

    Args:
        levels: uint8 array, each value below ``2 ** bits``; its last axis is a multiple of ``8 / bits``.
        bits: 2, 4 or 8.

    Returns:
        uint8 array whose last axis is shorter by ``8 / bits``.
    """
    if bits == 8:
        return levels
    per_byte = 8 // bits
    parts = levels.reshape(*levels.shape[:-1], -1, per_byte)
    packed = parts[..., 0].copy()
    for index in range(1, per_byte):
        packed |= parts[..., index] << np.uint8(bits * index)
    return packed


def _in_parts(
    weights: Floats, bits: int, block: int, stored: int | None, weigh: Floats | None, shrinks: tuple[float, ...]
) -> Blocks:
    """Return the blocks of all rows, a few rows at a time: a whole matrix with its candidates would not fit a cache."""
    rows, columns = weights.shape
    count = -(-columns // block)
    levels = np.empty((rows, count, block), np.uint8)
    scales, zeros = np.empty((rows, count), np.float32), np.empty((rows, count), np.uint8)
    factors = None if weigh is None else _padded(weigh.astype(np.float32), block).reshape(count, block)
    step = max(1, _ROWS // columns)
    for at in range(0, rows, step):
        part = _padded(weights[at : at + step], block).reshape(-1, count, block)
        scale, zero = grid(part, bits, factors, shrinks)
        levels[at : at + step] = np.clip(np.rint(part / scale[..., None]) + zero[..., None], 0, 2**bits - 1)
        scales[at : at + step], zeros[at : at + step] = scale, zero
    return Blocks(levels, scales, zeros, columns, stored or bits)


def _fitted(blocks: Floats, scale: Floats, zero: Floats, top: float, weigh: Floats | None) -> tuple[Floats, Floats]:
    """Return the scale that fits the levels best by least squares, and the error that remains."""
    centred = np.clip(np.rint(blocks / scale[..., None]), -zero[..., None], top - zero[..., None])
    counted = centred if weigh is None else centred * weigh
    square = (counted * centred).sum(axis=-1)
    fitted = np.where(square > 0, (counted * blocks).sum(axis=-1) / np.where(square > 0, square, 1), scale)
    fitted = np.maximum(fitted, _TINY).astype(np.float32)
    error = blocks - centred * fitted[..., None]
    error *= error
    return fitted, (error if weigh is None else error * weigh).sum(axis=-1)


def _padded(array: Array, multiple: int) -> Array:
    """Return the array with zeros at the end of its last axis, up to a multiple."""
    missing = -array.shape[-1] % multiple
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)]) if missing else array
