"""The requests that wait for a lane: a queue for each session, the session served longest ago first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from webinfer.policy.assignment import SessionKey
from webinfer.request import Request


class Queues(Mapping[SessionKey, deque[Request]]):
    """Waiting requests by session; the scheduler reads it as it is.

    Attributes:
        count: Requests in all queues.
        peak: The most that ever waited.
    """

    def __init__(self) -> None:
        self.count = self.peak = 0
        self._queues: dict[SessionKey, deque[Request]] = {}

    def __repr__(self) -> str:
        return f"<Queues {self.count} requests of {len(self._queues)} sessions>"

    def __getitem__(self, key: SessionKey) -> deque[Request]:
        return self._queues[key]

    def __iter__(self) -> Iterator[SessionKey]:
        return iter(self._queues)

    def __len__(self) -> int:
        return len(self._queues)

    def want(self, key: SessionKey) -> None:
        """Have a queue for a session that is wanted for itself, without a request."""
        self._queues.setdefault(key, deque())

    def satisfy(self, key: SessionKey) -> None:
        """Drop the queue of a session that is there now, unless requests wait in it."""
        if not self._queues.get(key, True):
            del self._queues[key]

    def push(self, request: Request, first: bool = False) -> None:
        """Add a request, at the front where it was sent before."""
        queue = self._queues.setdefault(request.key, deque())
        queue.appendleft(request) if first else queue.append(request)
        self.count += 1
        self.peak = max(self.peak, self.count)

    def take(self, key: SessionKey) -> Request:
        """Take out a session's oldest request; the session goes to the end, for it was just served."""
        queue = self._queues.pop(key)
        request = queue.popleft()
        self.count -= 1
        if queue:
            self._queues[key] = queue
        return request

    def remove(self, request: Request) -> None:
        """Take out a request, if it waits."""
        queue = self._queues.get(request.key)
        if queue and request in queue:
            queue.remove(request)
            self.count -= 1
            if not queue:
                del self._queues[request.key]

    def drop(self, key: SessionKey) -> list[Request]:
        """Take out a session's queue and return what waited in it."""
        dropped = list(self._queues.pop(key, ()))
        self.count -= len(dropped)
        return dropped
