"""Batches in the making: which requests wait for others to run with, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from webinfer.pool.owner import Owner
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.requests.queue import Level, Queue, Queues
from webinfer.pool.requests.request import Request


class Batcher:
    """Batches in the making.

    Args:
        queues: What waits.
        depth: Batches that a lane may hold at once.
        owner: The pool, which plans anew when a request has waited long enough for others.
    """

    def __init__(self, queues: Queues, depth: int, owner: Owner) -> None:
        self._queues = queues
        self._depth = depth
        self._owner = owner
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Batcher {'waiting' if self._timer else 'idle'}>"

    def depths(self, priority: int, level: Level) -> Mapping[SessionKey, int]:
        """Return how many batches a lane may hold to be given another, for sessions whose requests run together.

        A full batch travels while another one runs, as a lone request does. What is not full yet waits until a lane is
        free, for until then it may grow; and then for ``Batching.delay``.

        Args:
            priority: The level of priority.
            level: Its queues.
        """
        now = time.perf_counter()
        for key, queue in tuple(level.items()):  # a copy: what is handed over adds and drops queues of the level
            self._move_full(priority, key, queue)
        return {
            key: self._depth_of(key, queue, first, now)
            for key, queue in level.items()
            if (first := queue.first) is not None and first.group is not None
        }

    def count(self, key: SessionKey, level: Level) -> int:
        """Return how many requests of a session leave together, none where a batch before has taken them all.

        Args:
            key: The session.
            level: Its queues.
        """
        queue = level.get(key)
        first = queue.first if queue is not None else None
        if queue is None or first is None:
            return 0
        if first.group is None or first.group.key != key:
            return 1
        return first.group.batching.size(queue.group_size(first))

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._timer:
            self._timer.cancel()

    def _depth_of(self, key: SessionKey, queue: Queue, first: Request, now: float) -> int:
        assert first.group is not None
        batching = first.group.batching
        # Only full batches are handed over to a session of one size, so nothing there waits for more requests.
        if queue.group_size(first) >= batching.limit or (first.group.key == key and batching.sizes == "full"):
            return self._depth
        delay = batching.delay(len(queue), first.submitted, now)
        if delay <= 0:
            return 1
        self._wake_after(delay)
        return 0

    def _move_full(self, priority: int, key: SessionKey, queue: Queue) -> None:
        """Hand full batches over to the session that runs such, where that is another one."""
        while (first := queue.first) and first.group and first.group.key != key:
            limit = first.group.batching.limit
            if limit == 1 or queue.group_size(first) < limit:
                return
            self._queues.hand_over(priority, key, limit, first.group.key)

    def _wake_after(self, delay: float) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + delay
        if self._timer is not None and self._timer.when() <= at:
            return  # the plan at that time sets the timer for what still waits
        self.close()
        self._timer = loop.call_at(at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._owner.advance()
