"""``sentence-similarity``: how close sentences are in meaning to one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from webinfer.core.errors import EmptyBatch, InputError
from webinfer.pipelines.text.feature_extraction import HiddenState, Pooling, pooled


class SentenceSimilarity(HiddenState):
    """Compare sentences by the cosine of their vectors."""

    task: ClassVar[str] = "sentence-similarity"

    async def _answer(
        self, source: Any, sentences: Any = None, /, *, pooling: Pooling = "mean", batch_size: int = 32
    ) -> list[float]:
        """Return each sentence's similarity to the source.

        Args:
            source: The sentence to compare with; or ``{"source_sentence": …, "sentences": […]}``.
            sentences: The sentences to compare, a list or one.
            pooling: How a sentence's tokens become one vector: ``mean`` or ``cls``.
            batch_size: Most sentences in one run.

        Returns:
            Cosines, between -1 and 1, in order.

        Raises:
            InputError: The inputs are something else.
            EmptyBatch: There are no sentences to compare.
        """
        if isinstance(source, Mapping):
            source, sentences = source.get("source_sentence"), source.get("sentences")
        others = [sentences] if isinstance(sentences, str) else sentences
        if not isinstance(source, str) or not isinstance(others, Sequence):
            raise InputError(f"{self.task} takes a sentence and a list of sentences to compare with it.")
        if not others:
            raise EmptyBatch(f"{self.task} was given no sentences to compare with the first.")
        vectors = pooled(await self._rows([source, *others], batch_size), pooling, normalized=True)
        return [float(cosine) for cosine in vectors[1:] @ vectors[0]]
