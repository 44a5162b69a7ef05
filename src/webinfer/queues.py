"""The requests that wait for a lane: by priority, then by session, then in the order in which they were asked for.

Every step here costs the same however many requests wait.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping

from webinfer.policy.assignment import SessionKey
from webinfer.request import Request

Level = Mapping[SessionKey, "Queue"]


class Queue(Collection[Request]):
    """Requests of one session and priority, the first asked for first, wherever they have been in between."""

    def __init__(self) -> None:
        self._requests: OrderedDict[int, Request] = OrderedDict()  # by number

    def __repr__(self) -> str:
        return f"<Queue of {len(self)}>"

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests.values())

    def __contains__(self, request: object) -> bool:
        return isinstance(request, Request) and request.number in self._requests

    def add(self, request: Request) -> None:
        """Put a request in its place: the last one, unless it was sent before and comes back."""
        earlier: list[Request] = []
        if self._requests and request.number < next(reversed(self._requests)):
            while next(iter(self._requests)) < request.number:  # those that came back before it: a few
                earlier.append(self._requests.popitem(last=False)[1])
            self._put_first(request)
            for each in reversed(earlier):
                self._put_first(each)
        else:
            self._requests[request.number] = request

    def take(self) -> Request:
        """Take out the oldest request."""
        return self._requests.popitem(last=False)[1]

    def remove(self, request: Request) -> None:
        """Take out a request that waits here."""
        del self._requests[request.number]

    def _put_first(self, request: Request) -> None:
        self._requests[request.number] = request
        self._requests.move_to_end(request.number, last=False)


class Queues:
    """All that waits.

    Attributes:
        count: Requests in all queues.
        peak: The most that ever waited.
    """

    def __init__(self) -> None:
        self.count = self.peak = 0
        self._levels: dict[int, dict[SessionKey, Queue]] = {}  # by priority; the session served longest ago first

    def __repr__(self) -> str:
        return f"<Queues {self.count} requests of {len(self.sessions())} sessions>"

    def __bool__(self) -> bool:
        return bool(self._levels)

    def levels(self) -> list[tuple[int, Level]]:
        """Return each priority and its queues, the highest first; the scheduler reads them as they are."""
        return sorted(self._levels.items(), reverse=True)

    def sessions(self) -> dict[SessionKey, list[Request]]:
        """Return what waits for each session, the most urgent first."""
        found: dict[SessionKey, list[Request]] = {}
        for _, level in self.levels():
            for key, queue in level.items():
                found.setdefault(key, []).extend(queue)
        return found

    def want(self, key: SessionKey) -> None:
        """Have a queue for a session that is wanted for itself, without a request."""
        self._levels.setdefault(0, {}).setdefault(key, Queue())

    def satisfy(self, key: SessionKey) -> None:
        """Drop the queue of a session that is there now, unless requests wait in it."""
        self._tidy(0, key)

    def push(self, request: Request) -> None:
        """Add a request; one that was sent before takes its old place."""
        self._levels.setdefault(request.priority, {}).setdefault(request.key, Queue()).add(request)
        self.count += 1
        self.peak = max(self.peak, self.count)

    def take(self, priority: int, key: SessionKey) -> Request:
        """Take out a session's oldest request; the session goes to the end, for it was just served."""
        level = self._levels[priority]
        queue = level[key] = level.pop(key)
        request = queue.take()
        self.count -= 1
        self._tidy(priority, key)
        return request

    def remove(self, request: Request) -> None:
        """Take out a request, if it waits."""
        queue = self._levels.get(request.priority, {}).get(request.key)
        if queue is not None and request in queue:
            queue.remove(request)
            self.count -= 1
            self._tidy(request.priority, request.key)

    def drop(self, key: SessionKey) -> list[Request]:
        """Take out a session's queues and return what waited in them."""
        dropped: list[Request] = []
        for priority, level in self.levels():
            dropped += level.get(key, ())
            self._levels[priority].pop(key, None)
            self._tidy(priority, key)
        self.count -= len(dropped)
        return dropped

    def _tidy(self, priority: int, key: SessionKey) -> None:
        """Drop a queue that is empty, and a level without queues."""
        level = self._levels.get(priority)
        if level is not None:
            if key in level and not level[key]:
                del level[key]
            if not level:
                del self._levels[priority]
