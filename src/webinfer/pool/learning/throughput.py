"""What an item takes with so many lanes at work, timed over stretches in which no lane was ever without work.

A lane that has work at each look, and every answer is followed by one, had its next request before it was done with
the last: so requests waited, in the queue or sent ahead, and what was answered is what so many lanes can do. Where two
models are at work, neither is timed: what one takes then depends on the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from webinfer.pool.learning.bandit import Arm

LEAST = 0.2
"""Seconds that a stretch takes at least."""
ROUNDS = 2
"""Runs of each lane in a stretch, at least."""
SLOW = 1.0
"""Seconds that a stretch may take for a further lane to wait for it."""
HOLD = 5.0
"""Seconds for which a further lane waits at most, until it is known what the present ones do."""


class Work(NamedTuple):
    """A model that keeps every lane of a browser busy, and nothing else is at work.

    Attributes:
        model: Hash of the model.
        arm: Where it runs.
        version: Version of the browser's engine.
        lanes: Ids of the browser's lanes.
    """

    model: str
    arm: Arm
    version: str
    lanes: tuple[str, ...]


class Stretch(NamedTuple):
    """What was answered in a time in which every lane had work.

    Attributes:
        work: What was at work.
        size: Elements of the inputs of an item, as the nearest power of two.
        items: Items answered.
        seconds: How long that took.
    """

    work: Work
    size: int
    items: int
    seconds: float

    @property
    def each(self) -> float:
        """Seconds that an item took."""
        return self.seconds / self.items


@dataclass(slots=True)
class Stopwatch:
    """Times stretches.

    A stretch goes from one answer to another. The first one with new lanes, or of a model that was not timed last,
    warms up and is left out.

    Attributes:
        work: What is at work now; ``None`` where a lane is idle or more than one model is at work.
        began: When the stretch began; ``None`` before the first answer.
        since: When it did, or when its work was first seen.
    """

    work: Work | None = None
    began: float | None = None
    since: float = 0.0
    _warm: Work | None = None
    _runs: int = 0
    _items: int = 0
    _elements: int = 0

    def see(self, work: Work | None, now: float) -> None:
        """Take note of what is at work after something happened; another work than before ends the stretch."""
        if work != self.work:
            self.work, self.began, self.since = work, None, now

    def answered(self, items: int, elements: int, now: float) -> Stretch | None:
        """Take note of an answer.

        Args:
            items: Its items.
            elements: Elements of its inputs, in all.
            now: When it came, in seconds.

        Returns:
            The stretch that it ends, if it does; the next one begins with it.
        """
        if self.work is None:
            return None
        if self.began is None:
            self._begin(now)
            return None
        self._runs += 1
        self._items += items
        self._elements += elements
        seconds = now - self.began
        if self._runs < ROUNDS * len(self.work.lanes) or seconds < LEAST or not self._items:
            return None
        size = max(0, round(math.log2(max(self._elements / self._items, 1))))
        made = Stretch(self.work, size, self._items, seconds)
        self._begin(now)
        if self.work != self._warm:
            self._warm = self.work
            return None
        return made

    def hold(self, pressed_since: float) -> float:
        """Return until when a further lane waits for the next stretch, since requests have waited."""
        return min(pressed_since + HOLD, self.since + SLOW)

    def _begin(self, now: float) -> None:
        self.began = self.since = now
        self._runs = self._items = self._elements = 0
