"""Weights rounded one column after another, each making up for the errors of those before it.

GPTQ, https://arxiv.org/abs/2210.17323: the squared error of a layer's outputs, over inputs seen while calibrating, is a
quadratic form in the errors of its weights, whose matrix H is the sum of the inputs' outer products. Having rounded one
column, the others move to where the form is least.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from webinfer.quantization.weights.rounding import SHRINKS, Blocks, Floats, grid

_DAMPING = 0.01  # of H's mean diagonal, added to it, as in the paper: inputs that were never seen have no say


def calibrated(weights: Floats, bits: int, block: int, hessian: Floats, stored: int | None = None) -> Blocks:
    """Quantize weights for the inputs that a layer sees.

    Args:
        weights: Of shape (N, K).
        bits: The number of levels is two to this power.
        block: Weights in a block.
        hessian: The sum of the inputs' outer products, of shape (K, K).
        stored: Bits that a level takes when it is packed; ``None`` for ``bits``.

    Returns:
        The blocks, with their scales.
    """
    rows, columns = weights.shape
    count = -(-columns // block)
    rest = np.zeros((count * block, rows), np.float32)  # columns first, so that one lies together
    rest[:columns] = weights.T
    upper = factor(hessian, count * block)
    weigh = np.ascontiguousarray(np.diag(hessian)).astype(np.float32)
    weigh = np.pad(weigh, (0, count * block - columns)) + 1e-12
    levels = np.empty((rows, count, block), np.uint8)
    scales, zeros = np.empty((rows, count), np.float32), np.empty((rows, count), np.uint8)
    for index in range(count):
        at = slice(index * block, (index + 1) * block)
        now, errors = rest[at].copy(), np.empty((block, rows), np.float32)
        # The grid comes late, from weights that already carry the errors of the blocks before.
        scale, zero = grid(np.ascontiguousarray(now.T), bits, weigh[at], SHRINKS)
        scales[:, index], zeros[:, index] = scale, zero
        inner = upper[at, at]
        for column in range(block):
            level = np.clip(np.rint(now[column] / scale) + zero, 0, 2**bits - 1)
            levels[:, index, column] = level
            errors[column] = (now[column] - (level - zero) * scale) / inner[column, column]
            # An error moves to the columns not yet rounded: at once inside the block, for later blocks in one product.
            now[column + 1 :] -= inner[column, column + 1 :, None] * errors[column]
        rest[at.stop :] -= upper[at, at.stop :].T @ errors
    return Blocks(levels, scales, zeros, columns, stored or bits)


def factor(hessian: Floats, size: int) -> Floats:
    """Return the upper Cholesky factor of the inverse of H, damped; what pads it to ``size`` stands by itself.

    Args:
        hessian: float array of shape (inputs, inputs).
        size: Rows of the result.

    Returns:
        float array of shape (size, size).
    """
    columns = len(hessian)
    full: NDArray[np.float64] = np.zeros((size, size))
    full[:columns, :columns] = hessian
    full[np.diag_indices(size)] += _DAMPING * (float(np.diag(hessian).mean()) or 1.0)
    lower = np.linalg.cholesky(full[::-1, ::-1])  # H = R R' with R upper: the factor of H turned about, turned back
    upper = np.ascontiguousarray(lower[::-1, ::-1]).astype(np.float32)
    return np.ascontiguousarray(np.triu(np.linalg.inv(upper)))
