"""Turns: runs in a row, long enough to be timed, after a warm-up. Benchmarks and the tuner share them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

from webinfer.core.statistics import is_steady

Answer = TypeVar("Answer")

_LONGEST = 60  # most runs of a warm-up
_MOST = 64  # most runs of a turn, per caller


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
    """The number of runs that make a turn. The warm-up determines it.

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
        """Run until times are steady or the time is over, at least twice.

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
        # The fastest run is the closest to a warm one, so that turns do not become shorter than asked.
        self.count = max(1, min(_MOST, round(self._turn / min(times))))
        return times

    async def take(self, run: Callable[[], Awaitable[Answer]]) -> Taken[Answer]:
        """Return a turn in which every caller sends its next request when it has its answer.

        Args:
            run: Runs one request.
        """

        async def repeat() -> list[Answer]:
            return [await run() for _ in range(self.count)]

        began = time.perf_counter()
        answers = await asyncio.gather(*(repeat() for _ in range(self._callers)))
        return Taken([answer for caller in answers for answer in caller], time.perf_counter() - began, self._callers)


def cost(seconds: Sequence[float], elapsed: float, callers: int) -> float:
    """Return the seconds per item of a turn.

    Args:
        seconds: Time of each request.
        elapsed: Time of the turn.
        callers: Callers at once.

    Returns:
        The median for one caller, else the turn's length divided by its requests: several share the time.
    """
    return median(seconds) if callers == 1 else elapsed / len(seconds)
