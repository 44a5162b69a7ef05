"""Percentiles of any number of times, in fixed memory."""

from __future__ import annotations

import math
from collections import Counter

_RATIO = math.log(1.01)  # buckets grow by 1%, so that what is told of one is off by half a percent at most
_FLOOR = 1e-9


class Histogram:
    """Counts of positive values in buckets that each reach 1% further than the one before."""

    __slots__ = ("_buckets", "count")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0

    def __repr__(self) -> str:
        return f"<Histogram count={self.count}>"

    def add(self, value: float) -> None:
        """Count a value."""
        self._buckets[math.floor(math.log(max(value, _FLOOR)) / _RATIO)] += 1
        self.count += 1

    def percentile(self, share: float) -> float:
        """Return what that share of all values does not exceed, within 0.5%; 0 where there are none.

        Args:
            share: Between 0 and 1; the nearest rank is taken.
        """
        left = math.ceil(share * self.count)
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return math.exp((bucket + 0.5) * _RATIO)
        return 0.0
