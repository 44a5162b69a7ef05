"""What waits in a pool: a request for an inference, and the loading of a session."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from webinfer.browsers.lane import Lane, Recipe, Residents
from webinfer.core.errors import WebinferError
from webinfer.core.placement import Placement
from webinfer.pool.events import SessionLoaded
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.batching import Mates
from webinfer.transport.connection import OnTransfer
from webinfer.transport.wire import Message

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
    """Whether requests that are made here and now go into the database."""
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
    mates: Mates | None = None  # whom it may run with; None for one that runs alone
    together: int = 1  # requests that it was sent with, itself included
    attempts: int = 0
    losses: int = 0  # attempts that ended with the lane's loss while it computed this
    submitted: float = 0.0
    dispatched: float = 0.0
    lane: Lane | None = None
    place: Lane | None = None  # the lane that it was sent to last, be it lost
    placement: Placement | None = None  # of the session that it was sent to
    future: asyncio.Future[Message] = field(init=False)
    times: Times = field(init=False)
    settled: bool = False
    residents: Residents | None = None
    nobodys: bool = False  # a canary, or one to warm up with: it counts nowhere
    recorded: bool = field(default_factory=is_recorded)
    audio_shader: str | None = None  # the workgroup of the shader that made its features
    pinned: str | None = None  # the lane that holds its residents: it runs there or not at all

    def __repr__(self) -> str:
        where = f"on {self.lane.id}" if self.lane else "waiting"
        return f"<Request {self.key.model[:8]} {self.key.backend} {where} attempts={self.attempts}>"

    def sent(self, lane: Lane, together: int, now: float, placement: Placement | None = None) -> None:
        """Note that it was sent, with so many, to a session whose nodes are there."""
        self.lane = self.place = lane
        self.placement = placement
        self.together = together
        self.attempts += 1
        self.dispatched = now

    def part(self) -> bool:
        """Have it run alone from now on; returns whether it was to run with others, or did."""
        if self.mates is None or (self.together == 1 and self.key == self.mates.alone):
            return False
        self.key, self.mates = self.mates.alone, None
        return True

    def settle(self) -> None:
        """Mark the request as over: nobody waits for it any more."""
        self.settled = True

    def succeed(self, message: Message) -> None:
        """Answer it."""
        now = time.perf_counter()
        timing = message.fields.get("timing", {})
        wait, run = timing.get("wait", 0.0) / 1e3, timing.get("run", 0.0) / 1e3
        transfer = max(0.0, now - self.dispatched - wait - run)
        self.times = Times(self.dispatched - self.submitted, wait, run, transfer, now - self.submitted)
        self.settle()
        if not self.future.done():
            self.future.set_result(message)

    def fail(self, error: WebinferError) -> None:
        """Fail it."""
        self.settle()
        if not self.future.done():
            self.future.set_exception(error)


class Loading:
    """A session that somebody wants, and how far it is.

    Attributes:
        recipe: How a lane creates it.
        loaded: Its first creation, once there was one.
        attempts: Creations tried since the last success.
        users: Models that opened it and have not closed it.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.loaded: SessionLoaded | None = None
        self.attempts = 0
        self.users = 0
        self.watchers: list[OnTransfer] = []
        self._waiters: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        return f"<Loading {self.recipe.model.path} {self.recipe.backend} {'loaded' if self.loaded else 'waiting'}>"

    async def wait(self) -> None:
        """Wait until it is loaded.

        Raises:
            WebinferError: It could not be.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def transferred(self, done: int, total: int | None) -> None:
        """Tell the watchers how many bytes have arrived."""
        for watcher in self.watchers:
            watcher(done, total)

    def finish(self, loaded: SessionLoaded) -> None:
        """Wake whoever waits."""
        self.loaded = self.loaded or loaded
        self._wake(None)

    def fail(self, error: WebinferError) -> None:
        """Fail whoever waits."""
        self._wake(error)

    def _wake(self, error: WebinferError | None) -> None:
        waiters, self._waiters = self._waiters, []
        self.watchers.clear()
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
