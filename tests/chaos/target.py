"""What a fault can lay hands on: one accelerator with its browsers, lanes and sockets."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.chaos.workload import Subject
from tests.processes import name
from webinfer import AsyncAccelerator
from webinfer.browsers.browser import Browser
from webinfer.browsers.lane import Lane
from webinfer.browsers.processes.process_tree import processes
from webinfer.inference.model import AsyncModel
from webinfer.pool.events import BrowserRefused, Event, HostStalled, RunFailedEvent, RunFinished
from webinfer.pool.pool import Pool
from webinfer.transport.connection import Connection
from webinfer.transport.server import Host

HEARTBEAT = 0.5
SILENCE = 3 * HEARTBEAT  # seconds after which either side counts as lost


@dataclass
class Target:
    """An accelerator under attack.

    Attributes:
        random: Decides everything that is left to chance here.
        endless: The model that computes for as long as it is told.
        glutton: The model that no lane has the memory for.
        bulk: The model that negates as many numbers as it gets.
        subject: A model under test, and the same one ``on_gpu``, where WebGPU is quick enough to be tested.
        full_disk: A directory on a disk without room, if there could be one.
        events: How often each kind of event was announced.
        answered: Requests that the pool says it answered with a result, but for those of the faults' own models.
        retries: How often a request was run again, by the error's code.
        notices: When the pool told of a loss, a refusal or a stall.
    """

    accelerator: AsyncAccelerator
    random: np.random.Generator
    endless: AsyncModel
    glutton: AsyncModel
    bulk: AsyncModel
    subject: Subject
    on_gpu: AsyncModel | None = None
    full_disk: Path | None = None
    events: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    notices: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._own = {model.package.sha256 for model in (self.endless, self.glutton, self.bulk)}
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
        lanes = sorted(self.pool.lanes.values(), key=lambda lane: -len(self.pool.in_flight.get(lane.id, ())))
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
        if self.engine == "webkit":
            return [process for process in self.processes() if name(process).startswith("WebKitWebProc")]
        return self.processes("--type=renderer") if self.engine == "chromium" else self.processes("-contentproc", "tab")

    async def run_on_gpu(self, timeout: float) -> None:
        """Send a request of the fault's own to the GPU.

        Raises:
            WebinferError: As the pool reported it.
        """
        assert self.on_gpu is not None
        x = self.subject.draw(self.random)
        result = await self.on_gpu.run({"x": x}, timeout=timeout)
        self.answered -= 1  # no caller's
        assert self.subject.is_right(x, result.outputs["y"]), "the GPU's answer is wrong"

    def _count(self, event: Event) -> None:
        self.events[type(event).__name__] += 1
        if isinstance(event, BrowserRefused | HostStalled) or getattr(event, "lost", False):
            self.notices.append(time.monotonic())
        if isinstance(event, RunFinished) and event.key.model not in self._own:
            self.answered += 1
        if isinstance(event, RunFailedEvent) and event.retried:
            self.retries[event.code] += 1


def transport_of(connection: Connection) -> Any:
    """Return the transport under a socket."""
    return connection._socket.transport


def feed(connection: Connection, frame: bytes) -> None:
    """Have a connection find a frame as though the other side had sent it."""
    connection._take(memoryview(frame))
