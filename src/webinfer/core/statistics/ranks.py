"""Exact distributions of rank statistics under chance alone, and Student's t."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank from 1 on; equal values share the mean of their ranks."""
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
        if upper <= size:
            counts[upper:] -= counts[: size + 1 - upper].copy()
        for at in range(i, size + 1):
            counts[at] += counts[at - i]
    chances: NDArray[np.float64] = counts / counts.sum()
    return chances


def student_two_sided(t: float, freedom: float) -> float:
    """Return the chance of a Student's t at least as far from zero.

    By the regularized incomplete beta function I_x(v/2, 1/2) at x = v / (v + t^2).
    """
    return _incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5)


@lru_cache(maxsize=64)
def student_quantile(freedom: float, confidence: float) -> float:
    """Return the t within which a fraction ``confidence`` lies, two-sided."""
    low, high = 0.0, 1.0
    while student_two_sided(high, freedom) > 1 - confidence:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if student_two_sided(middle, freedom) > 1 - confidence else (low, middle)
    return (low + high) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Return I_x(a, b), by its continued fraction (NIST DLMF 8.17.22), which converges fast below the mean."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    fraction = 1.0
    for n in range(200, 0, -1):  # from the inside out; far more terms than double precision can tell
        m = n // 2
        if n % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        fraction = 1 + term / fraction
    return front / fraction
