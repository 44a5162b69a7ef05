"""Browsers and lanes of no process: they do what they are told, so that a test decides what is lost and when."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import Any

import msgspec
import pytest

from tests.frames import LANE_HELLO
from webinfer.browsers import browser as browsers
from webinfer.browsers.browser import Browser
from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.lane import Lane
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import LaneLost, SocketLost, WebinferError
from webinfer.core.options import Options
from webinfer.core.placement import LaneId
from webinfer.pool.events import Event
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.fleet.registry import Registry
from webinfer.transport.wire.answers import LoadAnswer, LoadTiming, RunAnswer, RunTiming
from webinfer.transport.wire.commands import RunCommand
from webinfer.transport.wire.conversation import Reply
from webinfer.transport.wire.messages import LaneHello

NAME = "chrome"


class StandInConnection:
    """A socket behind which sessions are created at once, and runs wait until a test answers them."""

    def __init__(self) -> None:
        self.hello = msgspec.convert(LANE_HELLO, LaneHello)
        self.lost: asyncio.Future[WebinferError] = asyncio.get_running_loop().create_future()
        self.runs: deque[tuple[Any, Any]] = deque()  # tensors, and what is called with the outcome
        self.refusals: list[WebinferError] = []  # of the sessions that are created next

    def watch(self, on_notice: Any) -> None:
        """Bring no messages."""

    async def ask(self, command: Any, timeout: float, on_transfer: Any = None, tensors: Any = None) -> Any:
        """Create a session, in a later turn of the loop."""
        await asyncio.sleep(0)
        if self.refusals:
            raise self.refusals.pop(0)
        timing = LoadTiming(fetch=1.0, create=2.0)
        loaded = LoadAnswer(inputs=(), outputs=(), timing=timing, nbytes=3, stored=0, placement=None)
        return Reply(0, loaded, {})

    def post(self, command: Any, on_outcome: Any, tensors: Any = None) -> None:
        """Take a run; all else is done at once."""
        if self.lost.done():
            raise SocketLost("The lane's socket is closed.")
        if isinstance(command, RunCommand):
            self.runs.append((tensors, on_outcome))

    def answer(self, **outputs: Any) -> None:
        """Answer the oldest run, with its own inputs where nothing else is given."""
        tensors, on_outcome = self.runs.popleft()
        on_outcome(Reply(0, RunAnswer(timing=RunTiming(wait=0.0, run=1.0)), outputs or dict(tensors)))

    def fail(self, error: WebinferError) -> None:
        """Fail the oldest run."""
        self.runs.popleft()[1](error)

    def drop(self) -> None:
        """Close, which fails what waits, as a socket does."""
        if not self.lost.done():
            self.lost.set_result(SocketLost("The lane's socket closed."))
            runs, self.runs = self.runs, deque()
            for _, on_outcome in runs:
                on_outcome(self.lost.result())

    async def close(self) -> None:
        """Close at once."""
        self.drop()


class StandInBrowser:
    """A browser whose lanes start, once the gate is open, or do not, as ``failures`` says."""

    def __init__(self, id: str, owner: Any, gate: asyncio.Event) -> None:
        self.id = id
        self.name = NAME
        self.pid = 0
        self.start_seconds = 0.1
        self.capabilities = Capabilities("chromium", "153.0", cores=4)
        self.lost: asyncio.Future[WebinferError] = asyncio.get_running_loop().create_future()
        self.closed = False
        self.stopped: list[LaneId] = []
        self.failures: list[WebinferError] = []
        self._gate = gate
        self._owner = owner
        self._numbers = itertools.count(1)

    async def start_lane(self, threads: int, timeout: float) -> Lane:
        """Start a lane, in a later turn of the loop."""
        id = LaneId(self.id, next(self._numbers))
        await asyncio.sleep(0)
        await self._gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        connection: Any = StandInConnection()
        return Lane(id, connection, self)

    async def stop_lane(self, lane: Lane) -> None:
        """Stop a lane as a browser does."""
        self.stopped.append(lane.id)
        lane.lose(LaneLost(f"Lane {lane.id} was stopped."))
        await lane.close()

    def verdict(self, backend: Any) -> Any:
        """Judge nothing."""
        raise NotImplementedError

    def lane_lost(self, lane: Lane, reason: WebinferError) -> None:
        """Pass a lane's loss on."""
        browser: Any = self
        self._owner.lane_lost(browser, lane, reason)

    def lose(self, reason: WebinferError) -> None:
        """Be lost."""
        self.lost.set_result(reason)
        self._owner.browser_lost(self, reason)

    async def close(self) -> None:
        """End."""
        self.closed = True


class Yard:
    """A fleet of stand-ins, and what it announced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.events: list[Event] = []
        self.advances = 0
        self.started: list[StandInBrowser] = []
        self.failures: list[WebinferError] = []  # of the lanes that start next
        self.gate = asyncio.Event()  # for lanes to start
        self.gate.set()
        self.registry = Registry([NAME])
        host: Any = None
        self.fleet = Fleet(host, Options.of(**options), self.registry, self)
        monkeypatch.setattr(Browser, "launch", self._launch)

    def announce(self, event: Event) -> None:
        self.events.append(event)

    def advance(self) -> None:
        self.advances += 1

    def of(self, *kinds: type) -> list[Any]:
        """Return the events of these kinds."""
        return [event for event in self.events if isinstance(event, kinds)]

    async def start(self) -> StandInBrowser:
        """Start a browser with its lanes."""
        installation: Any = None
        await self.fleet.start_browser(installation)
        return self.started[-1]

    async def settle(self) -> None:
        """Let everything that was begun come to its end."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def _launch(
        self, id: str, host: Any, installation: Installation, owner: browsers.BrowserOwner, **options: Any
    ) -> StandInBrowser:
        self.started.append(StandInBrowser(id, owner, self.gate))
        self.started[-1].failures = self.failures
        return self.started[-1]
