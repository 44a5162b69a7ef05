"""Scores from logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``exp(x) / sum(exp(x))`` over the last axis, shifted by the largest so that nothing overflows.

    Args:
        logits: float array of any shape.

    Returns:
        float64 array of the same shape.
    """
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``1 / (1 + exp(-x))``, computed with tanh, which does not overflow.

    Args:
        logits: float array of any shape.

    Returns:
        float64 array of the same shape.
    """
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64))))


def best(scores: NDArray[Any], count: int | None) -> list[int]:
    """Return the indices of the highest scores, best first. Equal scores stay in order.

    Args:
        scores: float array of one dimension.
        count: Number of indices; ``None`` for all.

    Returns:
        Indices.
    """
    return [int(at) for at in np.argsort(-scores, kind="stable")[:count]]
