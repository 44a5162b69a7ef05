"""The choice of the next token from its logits."""

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
        do_sample: Draw tokens at random with the model's probabilities. Off, the likeliest token is taken.
        temperature: Divides the logits. Below 1 likely tokens become likelier, above 1 unlikely ones do.
        top_k: Consider only this many of the likeliest tokens; 0 for all.
        top_p: Consider only the likeliest tokens that have this probability together; 1 for all (nucleus sampling,
            Holtzman et al., arXiv:1904.09751).
        repetition_penalty: Above 1, tokens that occurred become less likely (Keskar et al., arXiv:1909.05858).
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
            logits: float array of shape (vocabulary,).
            before: Tokens that occurred.
            chance: Source of randomness; used only with ``do_sample``.

        Returns:
            The token's id.
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
        if self.top_p < 1:  # the token that reaches top_p still counts
            count = int(np.searchsorted(np.cumsum(chances), self.top_p)) + 1
            order, chances = order[:count], chances[:count] / chances[:count].sum()
        return order, chances

    def _penalized(self, logits: NDArray[Any], before: NDArray[np.int64]) -> NDArray[Any]:
        logits = logits.copy()
        repeated = np.unique(before)
        values = logits[repeated]
        # A negative logit is multiplied: to divide it would make the token likelier.
        logits[repeated] = np.where(values > 0, values / self.repetition_penalty, values * self.repetition_penalty)
        return logits
