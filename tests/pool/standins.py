"""Browsers and lanes of no process: they do what they are told, so that a test decides what is lost and when."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import msgspec
import pytest

from tests.frames import LANE_HELLO
from webinfer.browsers import browser as browsers
from webinfer.browsers.browser import Browser
from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.lane import Lane
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import LaneLost, WebinferError
from webinfer.core.lane_id import LaneId
from webinfer.core.options import Options
from webinfer.pool.events import Event
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.fleet.registry import Registry
from webinfer.transport.wire.messages import LaneHello

NAME = "chrome"


class StandInConnection:
    """A socket that nobody is behind."""

    def __init__(self) -> None:
        self.hello = msgspec.convert(LANE_HELLO, LaneHello)
        self.lost: asyncio.Future[WebinferError] = asyncio.get_running_loop().create_future()

    def watch(self, on_notice: Any) -> None:
        """Bring no messages."""

    async def close(self) -> None:
        """Close at once."""
        if not self.lost.done():
            self.lost.set_result(LaneLost("The socket was closed."))


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
