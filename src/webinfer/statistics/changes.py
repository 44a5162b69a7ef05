"""Where a history of measurements broke: change points, with what they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from webinfer.statistics.comparison import MARGIN
from webinfer.statistics.interval import Values
from webinfer.statistics.ranks import rank

_ALPHA = 0.01
_SHUFFLES = 999
_LEAST = 3  # measurements on each side of a change
ENOUGH = 10  # measurements; in fewer even the clearest change could be chance


@dataclass(frozen=True, slots=True)
class Change:
    """A lasting change in a history.

    Attributes:
        index: The first measurement after it.
        before: Median of the stretch before it.
        after: Median of the stretch after it.
        p_value: How likely a history without any change looks broken like this.
    """

    index: int
    before: float
    after: float
    p_value: float

    @property
    def change(self) -> float:
        """Relative change: 0.15 where what follows is 15 % larger."""
        return self.after / self.before - 1


def changes(values: Values, *, alpha: float = _ALPHA, margin: float = MARGIN, seed: int = 0) -> list[Change]:
    """Find the lasting changes in a history.

    The place where ranks before and after differ most is a change if shuffled histories seldom show as much; then both
    parts are looked at in the same way. Ranks, so that one bad day is no change.

    Args:
        values: One measurement per run, in order, all above 0.
        alpha: Chance, for each stretch, that a change is found where none is.
        margin: Relative change that nobody minds; smaller ones are left out.
        seed: Chooses the shuffles.
    """
    series = np.asarray(values, float)
    found = _split(series, 0, alpha, np.random.default_rng(seed))
    while found:  # leaving one out joins the stretches on both sides, which moves the medians of its neighbours
        edges = [0, *(index for index, _ in found), len(series)]
        medians = [float(np.median(series[start:end])) for start, end in pairwise(edges)]
        told = [Change(index, medians[at], medians[at + 1], p) for at, (index, p) in enumerate(found)]
        smallest = min(told, key=lambda change: abs(change.change))
        if abs(smallest.change) > margin:
            return told
        found = [(index, p) for index, p in found if index != smallest.index]
    return []


def _split(
    series: NDArray[np.float64], start: int, alpha: float, chance: np.random.Generator
) -> list[tuple[int, float]]:
    if len(series) < 2 * _LEAST:
        return []
    ranks = rank(series)
    at, strength = _strongest(ranks[None])
    shuffled = chance.permuted(np.tile(ranks, (_SHUFFLES, 1)), axis=1)
    p_value = float((1 + (_strongest(shuffled)[1] >= strength[0]).sum()) / (1 + _SHUFFLES))
    if p_value > alpha:
        return []
    cut = int(at[0])
    return [
        *_split(series[:cut], start, alpha, chance),
        (start + cut, p_value),
        *_split(series[cut:], start + cut, alpha, chance),
    ]


def _strongest(ranks: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return, for each row, the cut where the mean ranks differ most, and by how many standard errors."""
    n = ranks.shape[1]
    cuts = np.arange(_LEAST, n - _LEAST + 1)
    sums = np.cumsum(ranks, axis=1)[:, cuts - 1]
    scores = np.abs(sums - cuts * (n + 1) / 2) / np.sqrt(cuts * (n - cuts) * (n + 1) / 12)
    best = scores.argmax(axis=1)
    return cuts[best], scores[np.arange(len(scores)), best]
