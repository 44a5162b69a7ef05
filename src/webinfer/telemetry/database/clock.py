"""The time of day that only goes forward."""

from __future__ import annotations

import time
from collections.abc import Callable

_LEAP = 1.0  # seconds; clocks that are kept in step are moved by less


class Clock:
    """Seconds since 1970, counted on from the first reading, so that setting the clock back does not reorder rows.

    Args:
        wall: The machine's clock, in seconds since 1970.
        steady: Seconds that only grow.

    Attributes:
        jumps: How often ``check`` found the machine's clock set back.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.perf_counter) -> None:
        self._wall, self._steady = wall, steady
        self._offset = wall() - steady()
        self._counted = 0.0  # by how much the machine's clock was behind when that was last counted
        self.jumps = 0

    def now(self) -> float:
        """Return the seconds since 1970."""
        return self.at(self._steady())

    def at(self, moment: float) -> float:
        """Return the seconds since 1970 of a moment on the steady clock.

        Args:
            moment: Seconds, as ``time.perf_counter`` gives them.
        """
        return moment + self._offset

    def check(self) -> None:
        """Catch up with the machine's clock where it is ahead, as after a sleep; count it where it fell behind."""
        behind = self.now() - self._wall()
        if behind < -_LEAP:
            self._offset -= behind
            self._counted = 0.0
        elif behind - self._counted > _LEAP:
            self._counted = behind
            self.jumps += 1
