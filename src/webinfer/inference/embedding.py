"""Sentences as vectors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import DtypeMismatch, EmptyBatch
from webinfer.inference.result import Result
from webinfer.models.preprocessing.pooling import mean_pool, normalize
from webinfer.models.preprocessing.reader import Reader

RunBatch = Callable[[list[Any]], Awaitable[list[Result]]]


async def embed(
    run_batch: RunBatch, reader: Reader, texts: str | Sequence[str], *, normalized: bool, batch_size: int
) -> NDArray[np.float32]:
    """Embed sentences; see ``AsyncModel.embed``."""
    sentences = [texts] if isinstance(texts, str) or not isinstance(texts, Iterable) else list(texts)
    if not sentences:
        raise EmptyBatch("There are no sentences to embed.")
    for sentence in sentences:
        if not isinstance(sentence, str):
            raise DtypeMismatch(f"Sentences are texts, and {sentence!r} is {type(sentence).__name__}.")
    order = sorted(range(len(sentences)), key=lambda at: len(sentences[at]))  # alike lengths together: less padding
    groups = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    tokens = [reader.tokenizer.encode([sentences[at] for at in group]) for group in groups]
    hidden = await run_batch([reader.wanted(encoded) for encoded in tokens])
    vectors: NDArray[np.float32] | None = None
    for members, encoded, result in zip(groups, tokens, hidden, strict=True):
        pooled = _sentence_vectors(result, encoded["attention_mask"])
        if vectors is None:
            vectors = np.empty((len(sentences), pooled.shape[1]), np.float32)
        vectors[members] = normalize(pooled) if normalized else pooled
    assert vectors is not None
    return vectors


def _sentence_vectors(result: Result, mask: NDArray[Any]) -> NDArray[np.float32]:
    """Return the model's own sentence embedding, where it has one, else the mean of its hidden state."""
    if "sentence_embedding" in result.outputs:
        return result.outputs["sentence_embedding"]
    return mean_pool(next(array for array in result.outputs.values() if array.ndim == 3), mask)
