"""What is sent to a lane at once: requests that run together, most often one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from webinfer.browsers.lane import Lane
from webinfer.core.errors import RunFailed, WebinferError
from webinfer.pool.events import BatchFinished
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.batching import merge, split
from webinfer.pool.requests.request import Request
from webinfer.transport.wire import Message


class Batch:
    """Requests on a lane.

    Attributes:
        requests: They, the oldest first; all of one session.
        lane: Where they run.
        rows: Rows that are run, of which the last ones may only fill up; 1 for a request as its caller made it.
    """

    __slots__ = ("lane", "requests", "rows")

    def __init__(self, requests: list[Request], lane: Lane) -> None:
        mates = requests[0].mates
        self.requests = requests
        self.lane = lane
        self.rows = mates.batching.rows(len(requests)) if mates and mates.key == requests[0].key else 1

    def __repr__(self) -> str:
        return f"<Batch of {len(self.requests)} on {self.lane.id}>"

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def key(self) -> SessionKey:
        """Their session."""
        return self.requests[0].key

    def is_wanted(self, but_for: Request | None = None) -> bool:
        """Whether somebody waits for one of them, another than ``but_for``."""
        return any(not request.settled for request in self.requests if request is not but_for)

    @property
    def timeout(self) -> float | None:
        """The longest of their time limits, in seconds."""
        limits = [request.timeout for request in self.requests]
        return None if None in limits else max(limit for limit in limits if limit is not None)

    @property
    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """Their inputs."""
        if self.rows == 1:
            return self.requests[0].tensors
        return merge([request.tensors for request in self.requests], self.rows)

    def take_blame(self) -> None:
        """Hold the lane's loss against what it was computing, not against what was only sent to it.

        Of requests that ran together any one may be to blame, so each runs alone then, which will tell.
        """
        if self.lane.blamed:
            return
        self.lane.blamed = True
        for request in self.requests:
            if not request.part():
                request.losses += 1

    def finished(self, reply: Message, now: float) -> BatchFinished:
        """Return the event of its end, and have its model's next batches profit from it."""
        seconds = reply.fields.get("timing", {}).get("run", 0.0) / 1e3
        mates = self.requests[0].mates
        if mates:
            mates.batching.ran(len(self), seconds, now)
        recorded = any(request.recorded for request in self.requests)
        return BatchFinished(self.lane.id, self.key, len(self), seconds, recorded)

    def answers(self, reply: Message | WebinferError) -> Sequence[Message | WebinferError]:
        """Return each request's own part of a reply."""
        if self.rows == 1:
            return [reply]
        if isinstance(reply, WebinferError):
            return [reply] * len(self.requests)
        if any(array.shape[:1] != (self.rows,) for array in reply.tensors.values()):
            return [RunFailed("An output has not one row for each item of its batch.")] * len(self.requests)
        return [replace(reply, tensors=own) for own in split(reply.tensors, len(self.requests))]


class Flights:
    """What was sent to each lane, in order of sending: a lane computes the first, and holds the others.

    Args:
        end: Called with what a lane has computed for too long while nobody waits for it, and with that in words.
    """

    def __init__(self, end: Callable[[Batch, str], None]) -> None:
        self._end = end
        self._batches: dict[str, deque[Batch]] = {}
        self._leftovers: dict[str, asyncio.TimerHandle] = {}  # of lanes that compute what nobody waits for

    def __repr__(self) -> str:
        return f"<Flights { ({lane: len(batches) for lane, batches in self._batches.items()}) }>"

    def by_lane(self) -> dict[str, list[Request]]:
        """Return the requests on each lane, in order of sending."""
        return {lane: [each for batch in batches for each in batch.requests] for lane, batches in self._batches.items()}

    def add(self, batch: Batch) -> None:
        """Note what was sent."""
        self._batches.setdefault(batch.lane.id, deque()).append(batch)

    def remove(self, batch: Batch) -> None:
        """Note what was answered, or lost with its lane."""
        lane = batch.lane.id
        self._batches[lane].remove(batch)  # one of the few that a lane may hold
        if self._leftovers and (timer := self._leftovers.pop(lane, None)):
            timer.cancel()
        if self._batches[lane]:
            self.watch(lane)
        else:
            del self._batches[lane]

    def on(self, lane: str) -> bool:
        """Whether a lane has anything."""
        return lane in self._batches

    def computed(self, lane: str) -> Batch:
        """Return what a lane computes."""
        return self._batches[lane][0]

    def watch(self, lane: str) -> None:
        """Allow what a lane computes, but nobody waits for any more, no more time than its caller did."""
        first = self._batches[lane][0] if lane in self._batches else None
        if first and lane not in self._leftovers and not first.is_wanted() and first.timeout is not None:
            loop = asyncio.get_running_loop()
            self._leftovers[lane] = loop.call_later(first.timeout, self._end_leftover, first, first.timeout)

    def close(self) -> None:
        """Watch nothing any more."""
        for timer in self._leftovers.values():
            timer.cancel()

    def _end_leftover(self, batch: Batch, timeout: float) -> None:
        del self._leftovers[batch.lane.id]
        self._end(batch, f"a run that nobody waited for took over {timeout:g} s")
