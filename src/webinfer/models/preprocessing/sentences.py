"""From sentences to vectors: sentences of about the same length run together, and their tokens are averaged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import DtypeMismatch, EmptyBatch
from webinfer.models.preprocessing.pooling import normalize, sentence_vectors
from webinfer.models.preprocessing.reader import Reader


class HasOutputs(Protocol):
    """The part of a run's result that sentences need."""

    @property
    def outputs(self) -> Mapping[str, NDArray[Any]]:
        """Arrays by output name."""


RunBatch = Callable[[list[Any]], Awaitable[Sequence[HasOutputs]]]


async def embed(
    run_batch: RunBatch, reader: Reader, texts: str | Sequence[str], *, normalized: bool, batch_size: int
) -> NDArray[np.float32]:
    """Embed sentences.

    Args:
        run_batch: Runs requests and returns their results, in order.
        reader: Has the model's tokenizer.
        texts: One sentence or several.
        normalized: Scale each vector to length 1.
        batch_size: Sentences in a request at most.

    Returns:
        float32 array of shape (sentences, hidden size), in the order of the sentences.

    Raises:
        TokenizerMissing: The model came without a tokenizer.
        EmptyBatch: There are no sentences.
        DtypeMismatch: They are no texts.
    """
    sentences = _check_sentences(texts)
    # Sentences of similar length run together, so that they need less padding.
    order = sorted(range(len(sentences)), key=lambda at: len(sentences[at]))
    groups = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    tokens = [reader.tokenizer.encode([sentences[at] for at in group]) for group in groups]
    answers = await run_batch([reader.wanted(encoded) for encoded in tokens])
    vectors: NDArray[np.float32] | None = None
    for members, encoded, answer in zip(groups, tokens, answers, strict=True):
        pooled = sentence_vectors(answer.outputs, encoded["attention_mask"])
        if vectors is None:
            vectors = np.empty((len(sentences), pooled.shape[1]), np.float32)
        vectors[members] = normalize(pooled) if normalized else pooled
    assert vectors is not None
    return vectors


def _check_sentences(texts: str | Sequence[str]) -> list[str]:
    sentences = [texts] if isinstance(texts, str) or not isinstance(texts, Iterable) else list(texts)
    if not sentences:
        raise EmptyBatch("There are no sentences to embed.")
    for sentence in sentences:
        if not isinstance(sentence, str):
            raise DtypeMismatch(f"Sentences are texts, and {sentence!r} is {type(sentence).__name__}.")
    return sentences
