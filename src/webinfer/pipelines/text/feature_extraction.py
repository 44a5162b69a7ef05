"""``feature-extraction``: the hidden state of each token, or one vector for each text."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from webinfer.core.options import one_of
from webinfer.models.preprocessing.pooling import mean_pool, normalize
from webinfer.pipelines.base.texts import Row, TextPipeline, texts_of

Pooling = Literal["none", "mean", "cls"]
POOLINGS: tuple[Pooling, ...] = ("none", "mean", "cls")
MINILM = "wheel:all-MiniLM-L6-v2"


class HiddenState(TextPipeline):
    """A task that reads the last hidden state."""

    default: ClassVar[str | None] = MINILM

    def _find_output(self) -> str:
        """Return ``last_hidden_state``, else the first output of three dimensions."""
        outputs = self.model.package.signature.outputs
        for spec in sorted(outputs, key=lambda spec: spec.name != "last_hidden_state"):
            if len(spec.shape) == 3 and spec.name != "logits":
                return spec.name
        self._refuse(self.model, "it gives no hidden state of shape (batch, sequence, hidden size)")


class FeatureExtraction(HiddenState):
    """Turn texts into vectors."""

    task: ClassVar[str] = "feature-extraction"

    async def _answer(
        self, inputs: Any, /, *, pooling: Pooling = "none", normalize: bool = False, batch_size: int = 32
    ) -> Any:
        """Return the last hidden state.

        Args:
            inputs: A text or a list of texts.
            pooling: ``none`` keeps every token, with the special ones. ``mean`` averages over the tokens. ``cls`` takes
                the first token.
            normalize: Scale each pooled vector to length 1.
            batch_size: Most texts in one run.

        Returns:
            With pooling, float32 of shape (texts, hidden size). Without, float32 of shape (1, tokens, hidden size), and
            for a list of texts a list of these.
        """
        one_of("pooling", pooling, POOLINGS)
        texts, several = texts_of(inputs, self.task)
        rows = await self._rows(texts, batch_size)
        if pooling == "none":
            states = [row.output[row.tokens][None] for row in rows]
            return states if several else states[0]
        return pooled(rows, pooling, normalized=normalize)


def pooled(rows: list[Row], pooling: Pooling, *, normalized: bool) -> NDArray[np.float32]:
    """Return one vector for each row.

    Args:
        rows: Hidden states of each text, with the mask of its tokens.
        pooling: ``cls`` takes the first token; any other value takes the mean over the tokens.
        normalized: Whether each vector is scaled to length 1.

    Returns:
        float32 array of shape (rows, hidden size).
    """
    if pooling == "cls":
        vectors = np.stack([row.output[row.tokens][0] for row in rows]).astype(np.float32)
    else:
        vectors = np.concatenate([mean_pool(row.output[None], row.mask[None]) for row in rows])
    return normalize(vectors) if normalized else vectors
