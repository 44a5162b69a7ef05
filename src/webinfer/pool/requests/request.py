"""One caller's inputs on their way through the pool."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from webinfer.browsers.lane import Lane
from webinfer.browsers.recipe import Residents
from webinfer.core.errors import LostError, RuntimeDied, WebinferError
from webinfer.core.placement import LaneId, Placement
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.batching import BatchGroup
from webinfer.pool.plan.retry import backoff
from webinfer.transport.wire.answers import KeptTensor, RunAnswer
from webinfer.transport.wire.conversation import Reply

_LEAST = 0.5  # seconds before its deadline, after which a request does not rest any more
_RESTS = 5  # of a request without a deadline: 30 seconds

_recorded: ContextVar[bool] = ContextVar("recorded", default=True)


@contextlib.contextmanager
def unrecorded() -> Iterator[None]:
    """Leave the requests made in this block out of the database; the running totals have them all the same."""
    token = _recorded.set(False)
    try:
        yield
    finally:
        _recorded.reset(token)


def is_recorded() -> bool:
    """Return whether requests that are made here and now go into the database."""
    return _recorded.get()


@dataclass(frozen=True, slots=True)
class Times:
    """Where a request's time went, in seconds, all observed.

    Attributes:
        queue: From asking until it was sent to a lane.
        wait: In the lane, behind an earlier request.
        run: Inside ONNX Runtime Web.
        transfer: The rest of the round trip: both directions of the socket, and the frames' making and reading.
        total: From asking to answer.
    """

    queue: float
    wait: float
    run: float
    transfer: float
    total: float


@dataclass(slots=True, eq=False, weakref_slot=True)
class Request:
    """One caller's inputs on their way through the pool; higher priorities go first, then lower numbers."""

    key: SessionKey
    tensors: Mapping[str, NDArray[np.generic]]
    outputs: list[str] | None = None
    timeout: float | None = None
    items: int = 1
    priority: int = 0
    number: int = 0  # grows with every request of the pool
    group: BatchGroup | None = None  # whom it may run with; None for one that runs alone
    together: int = 1  # requests that it was sent with, itself included
    attempts: int = 0
    losses: int = 0  # attempts that ended with the lane's loss while it computed this
    rests: int = 0  # pauses after losses beyond those that are made up for at once
    submitted: float = 0.0
    dispatched: float = 0.0
    lane: Lane | None = None
    place: Lane | None = None  # the lane that it was sent to last, even if that is lost
    placement: Placement | None = None  # of the session that it was sent to
    future: asyncio.Future[Reply[RunAnswer]] = field(init=False)
    times: Times = field(init=False)
    settled: bool = False
    replaceable: bool = False  # another backend takes over where this one's runtime dies of it
    residents: Residents | None = None
    internal: bool = False  # a canary, or one to warm up with: it counts nowhere
    recorded: bool = field(default_factory=is_recorded)
    audio_shader: str | None = None  # the workgroup of the shader that made its features
    kept: Mapping[str, KeptTensor] | None = None  # what it left on its lane, by handle
    pinned: LaneId | None = None  # the lane that holds its residents: it runs there or not at all

    def __repr__(self) -> str:
        where = f"on {self.lane.id}" if self.lane else "waiting"
        return f"<Request {self.key.model[:8]} {self.key.backend} {where} attempts={self.attempts}>"

    def sent(self, lane: Lane, together: int, now: float, placement: Placement | None = None) -> None:
        """Note that it was sent, with so many, to a session whose nodes are there.

        Args:
            lane: Where to.
            together: Requests in the batch.
            now: Now, on the steady clock, in seconds.
            placement: Where the session's nodes are, where that is known.
        """
        self.lane = self.place = lane
        self.placement = placement
        self.together = together
        self.attempts += 1
        self.dispatched = now

    def part(self) -> bool:
        """Return whether it was to run with others, or did; it runs alone from now on."""
        if self.group is None or (self.together == 1 and self.key == self.group.alone):
            return False
        self.key, self.group = self.group.alone, None
        return True

    def rest(self, error: WebinferError, retries: int) -> float | None:
        """Return the seconds that it rests before it may lose yet another lane, and count that.

        The pauses grow, because it may be what ends lanes. They leave time until its deadline.

        Args:
            error: What it failed with. Only what was lost from outside comes back; a runtime that dies, dies again.
            retries: How many losses are made up for at once. Who wants none wants no rest, either.

        Returns:
            The seconds; ``None`` where it has no more time, or rested often enough without a deadline.
        """
        if not isinstance(error, LostError) or isinstance(error, RuntimeDied) or not retries:
            return None
        left = math.inf if self.timeout is None else self.submitted + self.timeout - time.perf_counter()
        spent = left < _LEAST or (self.timeout is None and self.rests >= _RESTS)
        if spent or self.internal or self.pinned is not None:
            return None
        self.rests += 1
        return min(backoff(self.rests), left / 2)

    def settle(self) -> None:
        """Mark the request as over: nobody waits for it any more."""
        self.settled = True

    def succeed(self, reply: Reply[RunAnswer]) -> None:
        """Answer it.

        Args:
            reply: What the lane answered.
        """
        now = time.perf_counter()
        timing = reply.answer.timing
        self.kept = reply.answer.kept
        wait, run = timing.wait / 1e3, timing.run / 1e3
        transfer = max(0.0, now - self.dispatched - wait - run)
        self.times = Times(self.dispatched - self.submitted, wait, run, transfer, now - self.submitted)
        self.settle()
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, error: WebinferError) -> None:
        """Fail it.

        Args:
            error: Why.
        """
        self.settle()
        if not self.future.done():
            self.future.set_exception(error)
