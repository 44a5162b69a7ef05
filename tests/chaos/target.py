"""What a fault can lay hands on: one accelerator with its browsers, lanes and sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np
import psutil

from webinfer import AsyncAccelerator
from webinfer.browser import Browser
from webinfer.browsers.process import processes
from webinfer.connection import Connection
from webinfer.events import Event, RunFailed, RunFinished
from webinfer.host import Host
from webinfer.lane import Lane
from webinfer.model import AsyncModel
from webinfer.pool import Pool

HEARTBEAT = 0.5
SILENCE = 3 * HEARTBEAT  # seconds after which either side counts as lost
DEBUGGING = "--remote-debugging-port=0"  # Chromium writes the port that it took into its profile


@dataclass
class Target:
    """An accelerator under attack.

    Attributes:
        endless: The model that computes for as long as it is told.
        glutton: The model that no lane has the memory for.
        random: Decides everything that is left to chance here.
        events: How often each kind of event was announced.
        answered: Requests that the pool says it answered with a result, but for those of the two harmful models.
        retries: How often a request was run again, by the error's code.
    """

    accelerator: AsyncAccelerator
    random: np.random.Generator
    endless: AsyncModel
    glutton: AsyncModel
    events: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    answered: int = 0

    def __post_init__(self) -> None:
        self._harmful = {self.endless.package.sha256, self.glutton.package.sha256}
        self.pool.listen(self._count)

    @property
    def pool(self) -> Pool:
        assert self.accelerator._pool is not None
        return self.accelerator._pool

    @property
    def host(self) -> Host:
        return self.pool.host

    @property
    def engine(self) -> str:
        return self.pool.installations[0].engine

    def browser(self) -> Browser | None:
        """Return a browser that is up, if there is one."""
        return next(iter(self.pool.browsers.values()), None)

    def lane(self) -> Lane | None:
        """Return a lane that is up, a busy one before an idle one."""
        lanes = sorted(self.pool.lanes.values(), key=lambda lane: -len(self.pool._flying[lane.id]))
        return next((lane for lane in lanes if not lane.lost.done()), None)

    def processes(self, *marks: str) -> list[psutil.Process]:
        """Return a browser's processes whose command line holds all of ``marks``, the largest one first."""
        browser = self.browser()
        found = []
        for process in processes(browser.pid) if browser else []:
            with contextlib.suppress(psutil.Error):
                if all(mark in process.cmdline() for mark in marks):
                    found.append((process.memory_info().rss, process.pid, process))
        return [process for _, _, process in sorted(found, reverse=True)]

    def renderers(self) -> list[psutil.Process]:
        """Return the processes that run pages, the largest one first."""
        return self.processes("--type=renderer") if self.engine == "chromium" else self.processes("-contentproc", "tab")

    async def debug(self, method: str) -> None:
        """Have Chromium's debugger do something to the page; no answer is awaited, a crash has none."""
        browser = self.browser()
        if browser is None:
            return
        text = await asyncio.to_thread((browser._process.profile / "DevToolsActivePort").read_text)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{text.split()[0]}/json/list") as response:
                pages = [page for page in await response.json() if page["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"]) as socket:
                await socket.send_str(json.dumps({"id": 1, "method": method}))
                with contextlib.suppress(TimeoutError):
                    await socket.receive(timeout=0.5)

    def _count(self, event: Event) -> None:
        self.events[type(event).__name__] += 1
        if isinstance(event, RunFinished) and event.key.model not in self._harmful:
            self.answered += 1
        if isinstance(event, RunFailed) and event.retried:
            self.retries[event.code] += 1


def transport_of(connection: Connection) -> Any:
    """Return the transport under a socket."""
    return connection._socket.transport


def feed(connection: Connection, frame: bytes) -> None:
    """Have a connection find a frame as though the other side had sent it."""
    connection._take(memoryview(frame))
