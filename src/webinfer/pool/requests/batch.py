"""What is sent to a lane at once: requests that run together, most often one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from webinfer.browsers.lane import Lane
from webinfer.core.errors import RunFailed, WebinferError
from webinfer.pool.events import BatchFinished
from webinfer.pool.plan.assignment import LaneState, SessionKey
from webinfer.pool.plan.batching import merge, split
from webinfer.pool.requests.request import Request
from webinfer.transport.connection import Outcome
from webinfer.transport.wire.answers import RunAnswer
from webinfer.transport.wire.conversation import Reply


class Batch:
    """Requests on a lane.

    Attributes:
        requests: They, the oldest first; all of one session.
        lane: Where they run.
        state: What the scheduler knew of that lane; it stays when the lane is lost.
        rows: Rows that are run, of which the last ones may only fill up; 1 for a request as its caller made it.
    """

    __slots__ = ("lane", "requests", "rows", "state")

    def __init__(self, requests: list[Request], lane: Lane, state: LaneState) -> None:
        group = requests[0].group
        self.requests = requests
        self.lane = lane
        self.state = state
        self.rows = group.batching.rows(len(requests)) if group and group.key == requests[0].key else 1

    def __repr__(self) -> str:
        return f"<Batch of {len(self.requests)} on {self.lane.id}>"

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def key(self) -> SessionKey:
        """Their session."""
        return self.requests[0].key

    def is_wanted(self, but_for: Request | None = None) -> bool:
        """Return whether somebody waits for one of them, another than ``but_for``.

        Args:
            but_for: A request that does not count.
        """
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

        Any one of several requests may be to blame. So each of them runs alone then, which shows which it was.
        """
        # A connection fails its requests in the order of sending, so the first batch to come here was computed.
        if self.lane.blamed:
            return
        self.lane.blamed = True
        for request in self.requests:
            if not request.part():
                request.losses += 1

    def finished(self, reply: Reply[RunAnswer], now: float) -> BatchFinished:
        """Return the event of its end, and have its model's next batches profit from it.

        Args:
            reply: The lane's answer.
            now: Now, on the steady clock, in seconds.
        """
        seconds = reply.answer.timing.run / 1e3
        group = self.requests[0].group
        if group:
            group.batching.ran(len(self), seconds, now)
        recorded = any(request.recorded for request in self.requests)
        return BatchFinished(self.lane.id, self.key, len(self), seconds, recorded)

    def outcomes(self, outcome: Outcome[RunAnswer]) -> Sequence[Outcome[RunAnswer]]:
        """Return each request's own part of an outcome.

        Args:
            outcome: The whole batch's.
        """
        if self.rows == 1:
            return [outcome]
        if isinstance(outcome, WebinferError):
            return [outcome] * len(self.requests)
        if any(array.shape[:1] != (self.rows,) for array in outcome.tensors.values()):
            return [RunFailed("An output has not one row for each item of its batch.")] * len(self.requests)
        return [replace(outcome, tensors=own) for own in split(outcome.tensors, len(self.requests))]
