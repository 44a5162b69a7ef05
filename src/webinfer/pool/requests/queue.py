"""The requests that wait for a lane: by priority, then by session, then in the order in which they were asked for.

Every step here costs the same however many requests wait.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice

from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.batching import BatchGroup
from webinfer.pool.requests.request import Request

Level = Mapping[SessionKey, "Queue"]
_Line = OrderedDict[int, Request]  # by number


class Queue(Collection[Request]):
    """Requests of one session and priority, the first asked for first, wherever they have been in between."""

    def __init__(self) -> None:
        self._requests: _Line = OrderedDict()
        self._groups: dict[BatchGroup, _Line] = {}  # the same ones, apart from those that run alone

    def __repr__(self) -> str:
        return f"<Queue of {len(self)}>"

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests.values())

    def __contains__(self, request: object) -> bool:
        return isinstance(request, Request) and request.number in self._requests

    @property
    def first(self) -> Request | None:
        """The oldest request."""
        return next(iter(self._requests.values()), None)

    def group_size(self, request: Request) -> int:
        """Return how many may run with a request that waits here, itself included.

        Args:
            request: One that waits here.
        """
        return len(self._groups[request.group]) if request.group else 1

    def add(self, request: Request) -> None:
        """Put a request in its place: the last one, unless it was sent before and comes back.

        Args:
            request: The request.
        """
        _insert(self._requests, request)
        if request.group:
            _insert(self._groups.setdefault(request.group, OrderedDict()), request)

    def take(self, count: int) -> list[Request]:
        """Take out the oldest request and the next ones that may run with it.

        Args:
            count: How many at most.

        Returns:
            The requests, in order.
        """
        first = next(iter(self._requests.values()))
        line = self._groups[first.group] if first.group else self._requests
        taken = list(islice(line.values(), count if first.group else 1))
        for request in taken:
            self.remove(request)
        return taken

    def remove(self, request: Request) -> None:
        """Take out a request that waits here.

        Args:
            request: One that may wait here.
        """
        del self._requests[request.number]
        if request.group:
            line = self._groups[request.group]
            del line[request.number]
            if not line:
                del self._groups[request.group]


def _insert(line: _Line, request: Request) -> None:
    """Put a request in its place by number.

    A dictionary that keeps its order is the line: it finds, adds at either end and removes in constant time. Nearly all
    requests are new and go to the end. Only one that comes back from a lost lane belongs in front, and only behind the
    few that came back before it: these are taken out and put in front again.
    """
    if not line or request.number > next(reversed(line)):
        line[request.number] = request
        return
    earlier: list[Request] = []
    # The last number is larger, so this ends before the line is empty.
    while next(iter(line)) < request.number:  # those that came back before it: a few
        earlier.append(line.popitem(last=False)[1])
    for front in (request, *reversed(earlier)):
        line[front.number] = front
        line.move_to_end(front.number, last=False)


class Queues:
    """All that waits.

    Attributes:
        count: Requests in all queues.
        peak: The most that ever waited.
    """

    def __init__(self) -> None:
        self.count = self.peak = 0
        self._levels: dict[int, dict[SessionKey, Queue]] = {}  # by priority; the session served longest ago first
        self._resting: dict[Request, asyncio.TimerHandle] = {}

    def __repr__(self) -> str:
        return f"<Queues {self.count} requests of {len(self.sessions())} sessions>"

    def __bool__(self) -> bool:
        return bool(self._levels)

    def levels(self) -> list[tuple[int, Level]]:
        """Return each priority and its queues, the highest first; the scheduler reads them as they are."""
        return sorted(self._levels.items(), reverse=True)

    def sessions(self) -> dict[SessionKey, list[Request]]:
        """Return what waits for each session, the most urgent first."""
        waiting: dict[SessionKey, list[Request]] = {}
        for _, level in self.levels():
            for key, queue in level.items():
                waiting.setdefault(key, []).extend(queue)
        return waiting

    def want(self, key: SessionKey) -> None:
        """Have a queue for a session that is wanted for itself, without a request.

        Args:
            key: The session.
        """
        self._levels.setdefault(0, {}).setdefault(key, Queue())

    def satisfy(self, key: SessionKey) -> None:
        """Drop the queue of a session that is there now, unless requests wait in it.

        Args:
            key: The session.
        """
        self._tidy(0, key)

    def push(self, request: Request) -> None:
        """Add a request; one that was sent before takes its old place.

        Args:
            request: The request.
        """
        self._levels.setdefault(request.priority, {}).setdefault(request.key, Queue()).add(request)
        self.count += 1
        self.peak = max(self.peak, self.count)

    def rest(self, request: Request, seconds: float, wake: Callable[[], None]) -> None:
        """Keep a request out of every plan for a while, and add it then.

        Args:
            request: The request.
            seconds: How long.
            wake: Called once it is added.
        """

        def add() -> None:
            self.count -= 1
            del self._resting[request]
            self.push(request)
            wake()

        self._resting[request] = asyncio.get_running_loop().call_later(seconds, add)
        self.count += 1

    def take(self, priority: int, key: SessionKey, count: int = 1) -> list[Request]:
        """Take out a session's oldest request and the next ones that may run with it.

        The session goes to the end, for it was just served.

        Args:
            priority: The level of priority.
            key: The session.
            count: How many at most.

        Returns:
            The requests, in order.
        """
        level = self._levels[priority]
        queue = level[key] = level.pop(key)  # out and in again: a dictionary's order is the order of turns
        requests = queue.take(count)
        self.count -= len(requests)
        self._tidy(priority, key)
        return requests

    def hand_over(self, priority: int, key: SessionKey, count: int, to: SessionKey) -> None:
        """Have a session's oldest request, and the next ones that may run with it, wait for another session.

        Args:
            priority: The level of priority.
            key: The session.
            count: How many at most.
            to: The other session.
        """
        level = self._levels[priority]
        queue = level.setdefault(to, Queue())
        for request in level[key].take(count):
            request.key = to
            queue.add(request)
        self._tidy(priority, key)

    def remove(self, request: Request) -> None:
        """Take out a request, if it waits.

        Args:
            request: One that may wait here.
        """
        queue = self._levels.get(request.priority, {}).get(request.key)
        if (timer := self._resting.pop(request, None)) is not None:
            timer.cancel()
            self.count -= 1
        elif queue is not None and request in queue:
            queue.remove(request)
            self.count -= 1
            self._tidy(request.priority, request.key)

    def drop(self, key: SessionKey) -> list[Request]:
        """Take out a session's queues and return what waited in them.

        Args:
            key: The session.

        Returns:
            The requests that waited.
        """
        resting = [request for request in self._resting if request.key == key]
        for request in resting:
            self.remove(request)
        dropped: list[Request] = []
        for priority, level in self.levels():
            dropped += level.get(key, ())
            self._levels[priority].pop(key, None)
            self._tidy(priority, key)
        self.count -= len(dropped)
        return [*resting, *dropped]

    def _tidy(self, priority: int, key: SessionKey) -> None:
        """Drop a queue that is empty, and a level without queues."""
        level = self._levels.get(priority)
        if level is not None:
            if key in level and not level[key]:
                del level[key]
            if not level:
                del self._levels[priority]
