"""Percentiles of any number of times, in fixed memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

_RATIO = math.log(1.01)  # buckets grow by 1%, so that what is told of one is off by half a percent at most
_FLOOR = 1e-9


class Histogram:
    """Counts of positive values in buckets that each reach 1% further than the one before."""

    __slots__ = ("_buckets", "_told", "count")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._told: tuple[int, Sequence[float], list[float]] = (-1, (), [])  # asked last: of so many values
        self.count = 0

    def __repr__(self) -> str:
        return f"<Histogram count={self.count}>"

    def add(self, value: float) -> None:
        """Count a value."""
        self._buckets[math.floor(math.log(max(value, _FLOOR)) / _RATIO)] += 1
        self.count += 1

    def update(self, other: Histogram) -> None:
        """Count what another one counted."""
        self._buckets.update(other._buckets)
        self.count += other.count

    def percentiles(self, shares: Sequence[float]) -> list[float]:
        """Return what these shares of all values do not exceed, within 0.5%; 0 where there are none.

        Args:
            shares: Of 100, rising; the nearest rank is taken.
        """
        counted, asked, found = self._told
        if (counted, asked) == (self.count, shares):
            return found
        found = []
        ranks = [math.ceil(share * self.count / 100) for share in shares]
        passed = 0
        for bucket in sorted(self._buckets):
            passed += self._buckets[bucket]
            while len(found) < len(ranks) and passed >= ranks[len(found)]:
                found.append(math.exp((bucket + 0.5) * _RATIO))
        found = found or [0.0] * len(ranks)
        self._told = self.count, shares, found
        return found
