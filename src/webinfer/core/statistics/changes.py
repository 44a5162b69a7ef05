"""Where a history of measurements broke: change points, with what they are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from webinfer.core.statistics.comparison import MARGIN, Comparison, Severity, named, unpaired
from webinfer.core.statistics.interval import Values
from webinfer.core.statistics.ranks import rank
from webinfer.core.statistics.student import student_two_sided

_ALPHA = 0.01
_SHUFFLES = 999
LEAST = 3  # measurements on each side of a change: what lasts less may be some bad days
ENOUGH = 2 * LEAST


@dataclass(frozen=True, slots=True)
class Change:
    """A lasting change in a history.

    Attributes:
        index: The first measurement after it.
        before: Median of the stretch before it.
        after: Median of the stretch after it.
        p_value: How likely a history without any change looks broken like this.
        compared: The two stretches, one against the other: how large the change is, in which interval, and how seldom
            they overlap. The interval takes the place of the change as given; its own p-value knows nothing of the
            search for that place, and is not the one to quote.
    """

    index: int
    before: float
    after: float
    p_value: float
    compared: Comparison

    @property
    def change(self) -> float:
        """Relative change: 0.15 where what follows is 15 % larger."""
        return self.compared.change

    @property
    def severity(self) -> Severity:
        """Say how bad it is, in the words that comparisons have."""
        return named(self.change)


def changes(values: Values, *, alpha: float = _ALPHA, margin: float = MARGIN, seed: int = 0) -> list[Change]:
    """Find the lasting changes in a history.

    Two tests look for the place where what follows differs most from what was before; then both parts are looked at in
    the same way. One holds mean ranks against those of shuffled histories (Pettitt, 1979, "A non-parametric approach to
    the change-point problem", Appl. Statist. 28): one bad day is no change to it, but below ten measurements no order
    of them is rare enough. The other is the t-test of mean logarithms at the best of all places, with Bonferroni's
    bound for these (Worsley, 1979, "On the likelihood ratio test for a shift in location of normal populations",
    J. Amer. Statist. Assoc. 74): how far values lie apart counts as well, so that three on each side may do. Of the two
    p-values twice the smaller one counts. Both take the measurements for independent of each other.

    Args:
        values: One measurement per run, in order, all above 0.
        alpha: Chance, for each stretch, that a change is found where none is.
        margin: Relative change that does not matter; smaller ones are left out.
        seed: Chooses the shuffles.

    Returns:
        The changes, the oldest first.
    """
    series = np.asarray(values, float)
    breaks = _split(np.log(series), 0, alpha, np.random.default_rng(seed))
    while breaks:  # leaving one out joins the stretches on both sides, which moves the medians of its neighbours
        edges = [0, *(index for index, _ in breaks), len(series)]
        parts = [series[start:end] for start, end in pairwise(edges)]
        steps = [_change(parts[at], parts[at + 1], index, p) for at, (index, p) in enumerate(breaks)]
        smallest = min(steps, key=lambda change: abs(change.change))
        if abs(smallest.change) > margin:
            return steps
        breaks = [(index, p) for index, p in breaks if index != smallest.index]
    return []


def _change(before: NDArray[np.float64], after: NDArray[np.float64], index: int, p_value: float) -> Change:
    return Change(index, float(np.median(before)), float(np.median(after)), p_value, unpaired(before, after))


def _split(logs: NDArray[np.float64], start: int, alpha: float, chance: np.random.Generator) -> list[tuple[int, float]]:
    if len(logs) < 2 * LEAST:
        return []
    p_value, cut = min(_by_ranks(logs, chance), _by_means(logs))
    p_value = min(1.0, 2 * p_value)  # two tests, by Bonferroni
    if p_value > alpha:
        return []
    return [
        *_split(logs[:cut], start, alpha, chance),
        (start + cut, p_value),
        *_split(logs[cut:], start + cut, alpha, chance),
    ]


def _by_ranks(logs: NDArray[np.float64], chance: np.random.Generator) -> tuple[float, int]:
    """Return how likely shuffled ranks differ as much at any cut, and the cut where these differ most."""
    ranks = rank(logs)
    cuts, strengths = _strongest(ranks[None])
    shuffled = chance.permuted(np.tile(ranks, (_SHUFFLES, 1)), axis=1)
    p_value = float((1 + (_strongest(shuffled)[1] >= strengths[0]).sum()) / (1 + _SHUFFLES))
    return p_value, int(cuts[0])


def _by_means(logs: NDArray[np.float64]) -> tuple[float, int]:
    """Return how likely means of normal values differ as much at any cut, and the cut where these differ most."""
    count = len(logs)
    cuts = np.arange(LEAST, count - LEAST + 1)
    centred = logs - logs.mean()
    sums = np.cumsum(centred)[cuts - 1]
    explained = sums**2 * (1 / cuts + 1 / (count - cuts))  # of the sum of squares, by the two means
    best = int(explained.argmax())
    # Two means may explain everything; the bound keeps t finite then.
    left = max(float((centred**2).sum() - explained[best]), 1e-24)
    t = math.sqrt(float(explained[best]) / left * (count - 2))
    return min(1.0, len(cuts) * student_two_sided(t, count - 2)), int(cuts[best])


def _strongest(ranks: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return for each row where the mean ranks differ most, and by how many standard errors."""
    n = ranks.shape[1]
    cuts = np.arange(LEAST, n - LEAST + 1)
    sums = np.cumsum(ranks, axis=1)[:, cuts - 1]
    # By chance alone a sum of k of n ranks has the mean k (n + 1) / 2 and the variance k (n - k) (n + 1) / 12.
    scores = np.abs(sums - cuts * (n + 1) / 2) / np.sqrt(cuts * (n - cuts) * (n + 1) / 12)
    best = scores.argmax(axis=1)
    return cuts[best], scores[np.arange(len(scores)), best]
