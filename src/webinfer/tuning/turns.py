"""Turns: some runs in a row, long enough to be timed, after a warm-up. Benchmarks and the tuner measure alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

from webinfer.core.statistics import is_steady

Answer = TypeVar("Answer")

_LONGEST = 60  # runs of a warm-up
_MOST = 64  # runs of a turn, per caller


@dataclass(frozen=True, slots=True)
class Taken(Generic[Answer]):
    """A turn that was taken.

    Attributes:
        answers: What the runs gave, of all callers.
        elapsed: Seconds of the turn.
        callers: Callers at once.
    """

    answers: list[Answer]
    elapsed: float
    callers: int


class Pace:
    """How many runs make a turn. The warm-up finds out.

    Args:
        turn: Seconds that a turn should take.
        callers: Callers at once.

    Attributes:
        count: Runs of each caller in a turn.
    """

    def __init__(self, turn: float, callers: int) -> None:
        self.count = 1
        self._turn = turn
        self._callers = callers

    async def warm_up(self, run: Callable[[], Awaitable[object]], limit: float) -> list[float]:
        """Run until times are steady or the time is over, twice at least.

        Args:
            run: Runs one request.
            limit: Seconds that it may take.

        Returns:
            Seconds of the runs, each of all callers at once.
        """
        times: list[float] = []
        end = time.perf_counter() + limit
        while not is_steady(times) and len(times) < _LONGEST and (len(times) < 2 or time.perf_counter() < end):
            began = time.perf_counter()
            await asyncio.gather(*(run() for _ in range(self._callers)))
            times.append(time.perf_counter() - began)
        self.count = max(1, min(_MOST, round(self._turn / min(times))))
        return times

    async def take(self, run: Callable[[], Awaitable[Answer]]) -> Taken[Answer]:
        """Take a turn: every caller asks again as soon as it is answered.

        Args:
            run: Runs one request.

        Returns:
            The answers, and what they took.
        """

        async def repeat() -> list[Answer]:
            return [await run() for _ in range(self.count)]

        began = time.perf_counter()
        answers = await asyncio.gather(*(repeat() for _ in range(self._callers)))
        return Taken([answer for some in answers for answer in some], time.perf_counter() - began, self._callers)


def cost(seconds: Sequence[float], elapsed: float, callers: int) -> float:
    """Return the seconds per item of a turn.

    Args:
        seconds: Of its requests.
        elapsed: Of the turn.
        callers: Callers at once.

    Returns:
        The median where one runs at a time, else the turn's length by its requests.
    """
    return median(seconds) if callers == 1 else elapsed / len(seconds)
