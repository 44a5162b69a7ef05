"""Measures of how far one array, or one set of arrays, is from another: pure functions over NumPy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def cosine(right: Array, other: Array) -> float:
    """Return the cosine similarity of two arrays of one shape, taken as vectors.

    Args:
        right: What is right.
        other: What is compared with it.

    Returns:
        A number from -1 to 1: 1 where both are zero everywhere, 0 where one alone is or where either holds NaN or
        infinities.
    """
    one, two = right.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(two))
    if not all(np.isfinite(lengths)):
        return 0.0
    if not all(lengths):
        return float(lengths[0] == lengths[1])
    return float(one @ two / lengths[0] / lengths[1])


def relative_error(right: Iterable[Array], other: Iterable[Array]) -> float:
    """Return the length of the difference of two sets of arrays, as a part of the length of the right ones.

    Args:
        right: Arrays that are right.
        other: As many arrays of the same shapes.

    Returns:
        ``norm(other - right) / norm(right)``, each set taken as one vector; 0 where the right ones are zero.
    """
    difference = length = 0.0
    for one, two in zip(right, other, strict=True):
        expected, got = one.astype(np.float64), two.astype(np.float64)
        difference += float(((got - expected) ** 2).sum())
        length += float((expected**2).sum())
    return (difference / length) ** 0.5 if length else 0.0


def largest_difference(right: Array, other: Array) -> float:
    """Return the largest difference of any value, where both are finite; 0 for arrays without such values."""
    one, two = right.astype(np.float64), other.astype(np.float64)
    both = np.isfinite(one) & np.isfinite(two)
    return float(np.abs(np.where(both, one, 0.0) - np.where(both, two, 0.0)).max(initial=0.0))


def element_error(right: Array, other: Array, base: float) -> float:
    """Return the largest difference of any value as a part of itself, where both are finite.

    Args:
        right: What is right.
        other: What is compared with it.
        base: What is added to the magnitude of each value.

    Returns:
        ``max(abs(other - right) / (abs(right) + base))``; 0 where nothing differs.
    """
    one, two = right.astype(np.float64), other.astype(np.float64)
    both = np.isfinite(one) & np.isfinite(two) & (one != two)
    with np.errstate(divide="ignore"):
        return float((np.abs(one[both] - two[both]) / (np.abs(one[both]) + base)).max(initial=0.0))


def largest_value(array: Array) -> float:
    """Return the largest magnitude of any finite value; 0 for an array without such values."""
    values = array.astype(np.float64)
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def count_strange(right: Array, other: Array) -> int:
    """Return how many values are NaN or infinite in one of two arrays alone, or infinities of another sign."""
    if right.dtype.kind != "f":
        return 0
    finite, other_finite = np.isfinite(right), np.isfinite(other)
    # Infinities must be the same ones. Any NaN is as good as another.
    odd = ~finite & ~other_finite & ~(np.isnan(right) & np.isnan(other)) & (right != other)
    return int(np.sum(finite != other_finite) + np.sum(odd))


def top_share(right: Array, other: Array, count: int) -> float:
    """Return the share of the highest entries of the last axis that are the same ones, in any order.

    Args:
        right: Scores, with at least ``count`` entries in the last axis.
        other: Scores of the same shape.
        count: How many entries of each row count as the highest.
    """
    rows, others = (array.reshape(-1, array.shape[-1]) for array in (right, other))
    if not len(rows):
        return 1.0
    wanted, highest = (np.argpartition(scores, -count, axis=-1)[:, -count:] for scores in (rows, others))
    return float(np.mean([len(set(one) & set(two)) / count for one, two in zip(wanted, highest, strict=True)]))


def equal_share(right: Array, other: Array) -> float:
    """Return the share of values that are equal; 1 for empty arrays."""
    return float(np.mean(right == other)) if right.size else 1.0
