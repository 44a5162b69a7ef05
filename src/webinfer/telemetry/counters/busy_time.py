"""The time in which at least one of many overlapping spans was going on, in fixed memory."""

from __future__ import annotations

from array import array

_APART = 128  # stretches that are kept apart; a span that began before the older half of them is counted from there


class BusyTime:
    """The union of spans that come in order of their ends, as requests do when they are answered.

    Args:
        since: Where counting begins; what lies before is left out.

    Attributes:
        seconds: Length of the union.
    """

    __slots__ = ("_ends", "_floor", "_starts", "seconds")

    def __init__(self, since: float = float("-inf")) -> None:
        self.seconds = 0.0
        self._starts = array("d")  # of stretches without an overlap, rising
        self._ends = array("d")
        self._floor = since

    def __repr__(self) -> str:
        return f"<BusyTime {self.seconds:.3f} s>"

    def add(self, start: float, end: float) -> None:
        """Add a span, on a clock that only grows.

        Args:
            start: When it began.
            end: When it ended, not before any span that was added.
        """
        starts, ends = self._starts, self._ends
        start = max(start, self._floor)
        # Ends only rise, so a span can overlap or join the last stretches and no others.
        known = 0.0  # seconds of the stretches that this span joins
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
