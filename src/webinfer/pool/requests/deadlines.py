"""Calling back when requests are late, at a cost that a request of microseconds does not feel."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import deque
from collections.abc import Callable

from webinfer.pool.requests.request import Request

STALL = 0.25
"""Seconds by which a timer is late where the loop was blocked by something else."""

GRACE = 1.0
"""Seconds for reading what came meanwhile, at most; as many as were lost, where these are fewer."""


class Deadlines:
    """The requests under way and when each is late.

    Requests of one timeout become late in the order in which they came, so each timeout has a queue and one timer. A
    timer per request would cost more than all else that is done for it here.

    Args:
        expire: Called with each request that is late.
    """

    def __init__(self, expire: Callable[[Request], None]) -> None:
        self._expire = expire
        # By timeout. Weak, or an answered request would hold its tensors until its timeout is over.
        self._queues: dict[float, deque[weakref.ref[Request]]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def __repr__(self) -> str:
        return f"<Deadlines {sum(map(len, self._queues.values()))} of {len(self._queues)} timeouts>"

    def add(self, request: Request) -> None:
        """Watch a request that was just submitted; one without a timeout is never late.

        Args:
            request: The request.
        """
        timeout = request.timeout
        if timeout is None:
            return
        queue = self._queues.get(timeout)
        if queue is None:
            queue = self._queues[timeout] = deque()
            self._arm(timeout, timeout)
        # Each request clears the front, so a queue holds about what is under way, not all of the last seconds.
        while queue and _is_over(queue[0]):
            queue.popleft()
        queue.append(weakref.ref(request))

    def close(self) -> None:
        """Watch nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._queues.clear()

    def _arm(self, timeout: float, delay: float) -> None:
        loop = asyncio.get_running_loop()
        self._timers[timeout] = loop.call_at(loop.time() + delay, self._fire, timeout, loop.time() + delay)

    def _fire(self, timeout: float, due: float) -> None:
        queue = self._queues[timeout]
        late = asyncio.get_running_loop().time() - due
        if late > STALL:  # the answers may have come meanwhile, and nobody has read them yet
            self._arm(timeout, min(late, GRACE))
            return
        while queue:
            request = queue[0]()
            if request is not None and not request.settled:
                left = request.submitted + timeout - time.perf_counter()
                if left > 0:
                    self._arm(timeout, left)
                    return
                self._expire(request)
            queue.popleft()
        del self._queues[timeout], self._timers[timeout]


def _is_over(reference: weakref.ref[Request]) -> bool:
    request = reference()
    return request is None or request.settled
