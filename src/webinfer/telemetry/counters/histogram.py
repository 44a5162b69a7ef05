"""Counts of values in buckets: percentiles and Prometheus' histograms are read from them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets of times, as Prometheus shows them."""

SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Upper bounds of the buckets of batch sizes."""

_RATIO, _LEAST, _MOST = 1.01, 1e-6, 1e6  # of fine bounds: one percent apart, from a microsecond to eleven days


def _fine_bounds() -> Iterator[float]:
    bound = _LEAST
    while bound < _MOST:
        yield bound
        bound *= _RATIO


FINE = tuple(sorted({*_fine_bounds(), *SECONDS}))
"""Upper bounds at most one percent apart, ``SECONDS`` among them: for percentiles."""


class Histogram:
    """Counts of values by size, in memory that does not grow with their number.

    Args:
        bounds: Upper bounds of the buckets, rising; a last bucket without a bound is implied. A value that is equal to
            a bound belongs to that bucket.

    Attributes:
        bounds: The same.
        buckets: Counts by number of the bucket; only those that hold something.
        count: Number of values.
        total: Sum of the values.
    """

    __slots__ = ("_last_percentiles", "bounds", "buckets", "count", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self._last_percentiles: tuple[int, Sequence[float], list[float]] = (-1, (), [])

    def __repr__(self) -> str:
        return f"<Histogram count={self.count} total={self.total:g}>"

    def add(self, value: float) -> None:
        """Count a value.

        Args:
            value: The value, in the unit of the bounds.
        """
        bucket = bisect_left(self.bounds, value)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.count += 1
        self.total += value

    def merge(self, other: Histogram) -> None:
        """Add what another histogram of the same bounds counted.

        Args:
            other: The other one.
        """
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        self.count += other.count
        self.total += other.total

    def cumulative(self, bounds: Sequence[float]) -> list[int]:
        """Return how many values do not exceed each bound, and, last, how many there are.

        Args:
            bounds: Rising, and each one of the histogram's own.
        """
        counts = [0] * (len(bounds) + 1)
        for bucket, count in self.buckets.items():
            at = bisect_left(bounds, self.bounds[bucket]) if bucket < len(self.bounds) else len(bounds)
            counts[at] += count
        return list(accumulate(counts))

    def percentiles(self, shares: Sequence[float]) -> list[float]:
        """Return what these shares of all values do not exceed, by the nearest rank; 0 where there are no values.

        The answer is the middle of a bucket. With ``FINE`` bounds it is within 0.5% of the value.

        Args:
            shares: In percent, rising.
        """
        # Values are only added, so with the same count they are the same ones.
        counted, asked, known = self._last_percentiles
        if (counted, asked) == (self.count, shares):
            return known
        ranks = [math.ceil(share * self.count / 100) for share in shares]
        values: list[float] = []
        passed = 0
        for bucket in sorted(self.buckets):
            passed += self.buckets[bucket]
            while len(values) < len(ranks) and passed >= ranks[len(values)]:
                values.append(self._middle(bucket))
        values = values or [0.0] * len(ranks)
        self._last_percentiles = self.count, shares, values
        return values

    def _middle(self, bucket: int) -> float:
        last = len(self.bounds) - 1
        low, high = self.bounds[max(0, bucket - 1)], self.bounds[min(bucket, last)]
        return math.sqrt(low * high)
