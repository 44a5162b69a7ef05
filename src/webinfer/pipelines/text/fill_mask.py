"""``fill-mask``: the tokens that a model puts in a text's gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from webinfer.core.errors import InputError
from webinfer.core.options import positive
from webinfer.pipelines.base.scores import best, softmax
from webinfer.pipelines.base.texts import Row, TextPipeline, texts_of


class FillMask(TextPipeline):
    """Fill the gaps that mask tokens mark in a text."""

    task: ClassVar[str] = "fill-mask"

    async def _answer(
        self, inputs: Any, /, *, top_k: int = 5, targets: str | Sequence[str] | None = None, batch_size: int = 8
    ) -> list[Any]:
        """Return the best tokens for each gap.

        Args:
            inputs: A text with the model's mask token, such as ``[MASK]``, or a list of texts.
            top_k: Number of tokens, best first.
            targets: Consider only these tokens.
            batch_size: Most texts in one run.

        Returns:
            For a text with one gap, a list of ``{"score", "token", "token_str", "sequence"}``. For several gaps, a list
            of these lists. For a list of texts, a list of answers.

        Raises:
            InputError: A text has no gap, or a target is not in the vocabulary.
        """
        positive("top_k", top_k)
        texts, several = texts_of(inputs, self.task)
        for text in texts:
            if self._mask not in (text if isinstance(text, str) else " ".join(text)):
                raise InputError(f"There is no gap: put {self._mask} where a token is missing in {str(text)[:60]!r}.")
        among = None if targets is None else self._ids([targets] if isinstance(targets, str) else targets)
        answers = [self._filled(row, top_k, among) for row in await self._rows(texts, batch_size)]
        return answers if several else answers[0]

    def _filled(self, row: Row, top_k: int, among: list[int] | None) -> list[Any]:
        gaps = np.flatnonzero(row.ids == self.model.tokenizer.id(self._mask))
        if not gaps.size:
            raise InputError(f"The text was cut off before its first {self._mask}: make it shorter.")
        answers = [self._gap(row, int(at), top_k, among, alone=gaps.size == 1) for at in gaps]
        return answers[0] if gaps.size == 1 else answers

    def _gap(self, row: Row, at: int, top_k: int, among: list[int] | None, *, alone: bool) -> list[dict[str, Any]]:
        tokenizer = self.model.tokenizer
        scores = softmax(row.output[at])
        tokens = range(len(scores)) if among is None else among
        chosen = [tokens[rank] for rank in best(scores if among is None else scores[among], top_k)]
        answers = []
        for token in chosen:
            ids = row.ids.copy()
            ids[at] = token
            answers.append(
                {
                    "score": float(scores[token]),
                    "token": token,
                    "token_str": tokenizer.decode([token], special=True),
                    "sequence": tokenizer.decode(ids[row.tokens], special=not alone),
                }
            )
        return answers

    def _ids(self, targets: Sequence[str]) -> list[int]:
        known = [self.model.tokenizer.id(target) for target in targets]
        unknown = [target for target, number in zip(targets, known, strict=True) if number is None]
        if unknown or not targets:
            raise InputError(
                f"targets must be tokens of the model's vocabulary. Unknown: {', '.join(unknown) or 'none'}."
            )
        return [number for number in known if number is not None]

    def _check_models(self) -> None:
        super()._check_models()
        mask = self.model.tokenizer.mask_token
        if mask is None:
            self._refuse(self.model, "its tokenizer has no mask token")
        self._mask = mask

    def _find_output(self) -> str:
        return self._output_of_rank(3, "it gives no logits of shape (batch, sequence, vocabulary)")
