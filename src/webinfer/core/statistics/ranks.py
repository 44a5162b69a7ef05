"""Exact distributions of rank statistics under chance alone.

SciPy gives the p-values of these tests and not the distributions, which the intervals are read from. So they are here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank from 1 on; equal values share the mean of their ranks.

    Args:
        values: Array of one dimension.

    Returns:
        Ranks, in the order of the values.
    """
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[where]
    return ranks


def signed_rank_chances(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how likely each sum of the ranks with a positive sign is when all signs are chance.

    Args:
        ranks: Multiples of one half.

    Returns:
        Chances; index i is that of the sum i / 2.
    """
    doubled = np.rint(2 * ranks).astype(int)
    chances = np.zeros(int(doubled.sum()) + 1)
    chances[0] = 1.0
    # Each rank has a positive sign half of the time: the distribution is the mean of itself and itself moved by it.
    for step in doubled:
        moved = np.zeros_like(chances)
        moved[step:] = chances[: len(chances) - step]
        chances = (chances + moved) / 2
    return chances


def rank_sum_chances(first: int, second: int) -> NDArray[np.float64]:
    """Return how likely each number of pairs that favour the first sample is, when both are from one distribution.

    The Mann-Whitney U statistic: the generating function is a Gaussian binomial coefficient, multiplied out and divided
    factor by factor.

    Args:
        first: Size of the first sample.
        second: Size of the second one.

    Returns:
        Chances; index u is that of u pairs.
    """
    size = first * second
    counts = np.zeros(size + 1)
    counts[0] = 1.0
    for i in range(1, min(first, second) + 1):
        upper = max(first, second) + i
        if upper <= size:  # times 1 - q ** upper
            counts[upper:] -= counts[: size + 1 - upper].copy()
        for at in range(i, size + 1):  # divided by 1 - q ** i
            counts[at] += counts[at - i]
    chances: NDArray[np.float64] = counts / counts.sum()
    return chances
