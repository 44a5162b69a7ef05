"""Choosing the next token from its logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import OptionError
from webinfer.core.options import positive
from webinfer.pipelines.base.scores import softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        do_sample: By chance, as probable as the model says; else always the likeliest.
        temperature: Divides the logits: below 1 the likely ones gain, above 1 the unlikely ones.
        top_k: Only so many of the likeliest are considered; 0 for all.
        top_p: Only the likeliest that together have this probability are considered; 1 for all.
        repetition_penalty: Above 1, tokens that occurred are less likely (Keskar et al., arXiv:1909.05858).
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        positive("temperature", self.temperature)
        positive("repetition_penalty", self.repetition_penalty)
        if self.top_k < 0:
            raise OptionError(f"top_k must be 0 or more, not {self.top_k}.", option="top_k")
        if not 0 < self.top_p <= 1:
            raise OptionError(f"top_p must be above 0 and at most 1, not {self.top_p}.", option="top_p")

    def choose(self, logits: NDArray[Any], before: NDArray[np.int64], chance: np.random.Generator) -> int:
        """Choose a token.

        Args:
            logits: Of each token of the vocabulary, shape (vocabulary,).
            before: Tokens that occurred.
            chance: Where chance comes from; untouched where none is needed.
        """
        if self.repetition_penalty != 1:
            logits = self._penalized(logits, before)
        if not self.do_sample:
            return int(logits.argmax())
        order, chances = self.distribution(logits)
        return int(chance.choice(order, p=chances))

    def distribution(self, logits: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the tokens that are considered, likeliest first, and their probabilities.

        Args:
            logits: float array of shape (vocabulary,).

        Returns:
            Ids, and probabilities that add up to 1.
        """
        order = np.argsort(-logits, kind="stable")[: self.top_k or None]
        chances = softmax(logits[order] / self.temperature)
        if self.top_p < 1:  # up to and with the one that reaches it
            count = int(np.searchsorted(np.cumsum(chances), self.top_p)) + 1
            order, chances = order[:count], chances[:count] / chances[:count].sum()
        return order, chances

    def _penalized(self, logits: NDArray[Any], before: NDArray[np.int64]) -> NDArray[Any]:
        logits = logits.copy()
        seen = np.unique(before)
        kept = logits[seen]
        logits[seen] = np.where(kept > 0, kept / self.repetition_penalty, kept * self.repetition_penalty)
        return logits
