"""Letting requests wait for others to run with: what the scheduler is told of sessions whose requests run together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.requests.queue import Level, Queue, Queues
from webinfer.pool.requests.request import Request


class Gathering:
    """Batches in the making.

    Args:
        queues: What waits.
        depth: Batches that a lane may hold at once.
        advance: Called when a request has waited long enough for others.
    """

    def __init__(self, queues: Queues, depth: int, advance: Callable[[], None]) -> None:
        self._queues = queues
        self._depth = depth
        self._advance = advance
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Gathering {'waiting' if self._timer else 'idle'}>"

    def depths(self, priority: int, level: Level) -> Mapping[SessionKey, int]:
        """Return how many batches a lane may hold to be given another, for sessions whose requests run together.

        A full batch travels while another one runs, as a lone request does. What is not full yet waits until a lane is
        free, for until then it may grow; and then for ``Batching.delay``.
        """
        now = time.perf_counter()
        for key, queue in tuple(level.items()):
            self._move_full(priority, key, queue)
        return {
            key: self._depth_of(key, queue, first, now)
            for key, queue in level.items()
            if (first := queue.first) is not None and first.mates is not None
        }

    def count(self, key: SessionKey, level: Level) -> int:
        """Return how many requests of a session leave together, none where a batch before has taken them all."""
        queue = level.get(key)
        first = queue.first if queue is not None else None
        if queue is None or first is None:
            return 0
        if first.mates is None or first.mates.key != key:
            return 1
        return first.mates.batching.size(queue.mates(first))

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._timer:
            self._timer.cancel()

    def _depth_of(self, key: SessionKey, queue: Queue, first: Request, now: float) -> int:
        assert first.mates is not None
        batching = first.mates.batching
        if queue.mates(first) >= batching.limit or (first.mates.key == key and batching.sizes == "full"):
            return self._depth
        delay = batching.delay(len(queue), first.submitted, now)
        if delay <= 0:
            return 1
        self._wake_after(delay)
        return 0

    def _move_full(self, priority: int, key: SessionKey, queue: Queue) -> None:
        """Hand full batches over to the session that runs such, where that is another one."""
        while (first := queue.first) and first.mates and first.mates.key != key:
            limit = first.mates.batching.limit
            if limit == 1 or queue.mates(first) < limit:
                return
            self._queues.hand_over(priority, key, limit, first.mates.key)

    def _wake_after(self, delay: float) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + delay
        if self._timer is not None and self._timer.when() <= at:
            return
        self.close()
        self._timer = loop.call_at(at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._advance()
