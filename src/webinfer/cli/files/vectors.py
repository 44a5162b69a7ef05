"""Sentence vectors from a model's outputs, the browser's or the native ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.models.preprocessing.pooling import mean_pool, normalize


def sentence_vectors(outputs: Mapping[str, NDArray[Any]], mask: NDArray[Any]) -> NDArray[np.float32]:
    """Return a model's own sentence embedding, where it has one, else the mean of its hidden state; of length 1.

    Args:
        outputs: Outputs by name.
        mask: int64 array of shape (batch, sequence): 1 for a token, 0 for padding.

    Returns:
        float32 array of shape (batch, hidden size).
    """
    if "sentence_embedding" in outputs:
        return normalize(outputs["sentence_embedding"])
    hidden = next(array for array in outputs.values() if array.ndim == 3)
    return normalize(mean_pool(hidden, mask))
