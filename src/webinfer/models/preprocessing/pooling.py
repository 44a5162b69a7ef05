"""From a model's hidden state to one vector per sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 1e-9  # keeps a division by nothing from being one, as sentence-transformers does


def mean_pool(hidden: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.float32]:
    """Average the hidden state over the positions that the mask keeps.

    The formula is that of sentence-transformers' ``Pooling`` in mode ``mean``:
    ``sum(hidden * mask) / max(sum(mask), 1e-9)``.

    Args:
        hidden: float array of shape (batch, sequence, hidden size).
        mask: Array of shape (batch, sequence): 1 for a token, 0 for padding.

    Returns:
        float32 array of shape (batch, hidden size).
    """
    weights = mask[:, :, None].astype(np.float32)
    total = np.einsum("bsh,bsx->bh", hidden.astype(np.float32, copy=False), weights)
    return np.asarray(total / np.maximum(weights.sum(axis=1), _SMALLEST), np.float32)


def sentence_vectors(outputs: Mapping[str, NDArray[Any]], mask: NDArray[Any]) -> NDArray[np.float32]:
    """Return a model's own sentence embedding, where it has one, else the mean of its hidden state.

    Args:
        outputs: Outputs by name. Without ``sentence_embedding``, the first one of three dimensions is the hidden state.
        mask: Array of shape (batch, sequence): 1 for a token, 0 for padding.

    Returns:
        float32 array of shape (batch, hidden size), not scaled.
    """
    if "sentence_embedding" in outputs:
        return outputs["sentence_embedding"]
    return mean_pool(next(array for array in outputs.values() if array.ndim == 3), mask)


def normalize(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Scale vectors to length 1 (Euclidean).

    Args:
        vectors: Array of shape (batch, size).

    Returns:
        float32 array of the same shape. A vector of zeros stays one.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
