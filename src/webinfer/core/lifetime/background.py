"""Work that goes on in the background and ends with its owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger("webinfer.tasks")


class Tasks:
    """Running tasks, held so that they are neither lost nor left behind."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"<Tasks {len(self._running)}>"

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work that nobody has to wait for; an exception that escapes it is a bug, and logged as one.

        Args:
            work: The work.

        Returns:
            The task, for who waits all the same.
        """
        task = self.hold(work)
        task.add_done_callback(_report)
        return task

    def hold(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work that the caller waits for.

        Args:
            work: The work.

        Returns:
            The task, to be awaited.
        """
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def close(self) -> None:
        """Cancel what runs and wait for its end."""
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


async def gather_all(works: Iterable[Awaitable[T]]) -> list[T]:
    """Wait until all have ended, whatever becomes of each.

    Args:
        works: What to await, side by side.

    Returns:
        Their results, in order.

    Raises:
        BaseException: The first error in order, once all have ended.
    """
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    results = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return results


def _report(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a task in the background failed", exc_info=error)
