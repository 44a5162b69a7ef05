"""The time in which at least one of many overlapping spans was going on, in fixed memory."""

from __future__ import annotations

from array import array

_APART = 128  # stretches that are told apart; a span that began before the older half of them is counted from there


class Busy:
    """The union of spans that are told in order of their ends, as requests are when they are answered.

    Attributes:
        seconds: Its length.
    """

    __slots__ = ("_ends", "_floor", "_starts", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._starts = array("d")  # of stretches without an overlap, rising
        self._ends = array("d")
        self._floor = float("-inf")

    def __repr__(self) -> str:
        return f"<Busy {self.seconds:.3f} s>"

    def add(self, start: float, end: float) -> None:
        """Take in a span, on a clock that only grows.

        Args:
            start: When it began.
            end: When it ended, not before any that was told.
        """
        starts, ends = self._starts, self._ends
        start = max(start, self._floor)
        known = 0.0
        while ends and ends[-1] >= start:
            first, last = starts.pop(), ends.pop()
            known += last - first
            start, end = min(start, first), max(end, last)
        starts.append(start)
        ends.append(end)
        self.seconds += end - start - known
        if len(ends) > _APART:
            half = _APART // 2
            self._floor = ends[half - 1]
            del starts[:half], ends[:half]
