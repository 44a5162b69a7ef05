"""One launched browser: its process, its page, and the lanes in it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.discovery.gpus import list_gpus
from webinfer.browsers.lane import Lane
from webinfer.browsers.processes.launch import BrowserProcess, launch
from webinfer.browsers.remote import Visit, expect, is_visitor
from webinfer.core.capabilities import Capabilities, Speeds, Verdict
from webinfer.core.errors import BrowserLost, LaneLost, LaunchFailed, WebinferError
from webinfer.core.options import Backend
from webinfer.core.placement import LaneId
from webinfer.transport.connection import Connection
from webinfer.transport.server import Host, Ticket
from webinfer.transport.wire.commands import Goodbye, StartLaneCommand, StopLaneCommand, Welcome
from webinfer.transport.wire.messages import CapabilityNotice, LaneFailure, Notice


class BrowserOwner(Protocol):
    """The owner of browsers and their lanes. It is notified as soon as something happens to them."""

    def browser_lost(self, browser: Browser, reason: WebinferError) -> None:
        """Take note that a browser cannot be used any more.

        Args:
            browser: The browser.
            reason: Why.
        """

    def lane_lost(self, browser: Browser, lane: Lane, reason: WebinferError) -> None:
        """Take note that a lane cannot be used any more.

        Args:
            browser: The browser.
            lane: The lane.
            reason: Why.
        """

    def lane_failed(self, id: LaneId, error: WebinferError) -> None:
        """Take note that the page says of a lane that its worker failed.

        Args:
            id: The lane, as it was started here.
            error: What the page says of it.
        """

    def heartbeat_missed(self, browser: Browser, times: int) -> None:
        """Take note that a page left a ping unanswered, and how often it did.

        Args:
            browser: The browser.
            times: How often it did, in all.
        """


class Browser:
    """A browser whose page has dialled back and reported what it can do. Its lanes belong to its owner.

    Args:
        id: Which one it is, ``b1``.
        host: Where it dialled.
        process: What was started.
        page: Its page's socket.
        owner: Is notified of losses.

    Attributes:
        id: Which one it is, ``b1``.
        installation: What was started.
        capabilities: What its page reported.
        start_seconds: From launching to the report.
        born: When it dialled back, on the loop's clock.
        lost: Done once it cannot be used any more, with the reason.
    """

    def __init__(
        self, id: str, host: Host, process: BrowserProcess | Visit, page: Connection, owner: BrowserOwner
    ) -> None:
        self.id = id
        self.installation: Installation = process.installation
        self.capabilities: Capabilities
        self.start_seconds = 0.0
        self.born = asyncio.get_running_loop().time()
        self.lost: asyncio.Future[WebinferError] = asyncio.get_running_loop().create_future()
        self._reported: asyncio.Future[Capabilities] = asyncio.get_running_loop().create_future()
        self._host = host
        self._process = process
        self._page = page
        self._owner = owner
        self._lane_ids: dict[str, LaneId] = {}  # of all lanes ever started here, by their names on the wire
        self._dialling: dict[LaneId, Ticket] = {}  # lanes whose workers were started and have not dialled back
        self._verdicts: dict[Backend, tuple[Capabilities, Verdict]] = {}
        page.on_miss = partial(owner.heartbeat_missed, self)
        # Last, when all fields are there: watch() delivers at once what came before.
        page.watch(self._notice)
        page.lost.add_done_callback(lambda lost: self._lose(f"Its page is gone: {lost.result()}"))
        process.exited.add_done_callback(
            lambda exited: None if exited.cancelled() else self._lose(f"It ended: {exited.result()}")
        )

    def __repr__(self) -> str:
        state = "lost" if self.lost.done() else "ready"
        return f"<Browser {self.id} {self.installation.name} pid={self.pid} {state}>"

    @property
    def pid(self) -> int:
        """Process id of the browser's main process; 0 where it is not ours."""
        return self._process.pid

    @property
    def name(self) -> str:
        """Its name, ``firefox``."""
        return self.installation.name

    def verdict(self, backend: Backend) -> Verdict:
        """Return whether a backend is hardware here. It is judged once for what is known of the browser.

        Args:
            backend: The backend.
        """
        known = self._verdicts.get(backend)
        if known is None or known[0] is not self.capabilities:
            known = self._verdicts[backend] = self.capabilities, self.capabilities.verdict(backend)
        return known[1]

    @classmethod
    async def launch(
        cls,
        id: str,
        host: Host,
        installation: Installation,
        owner: BrowserOwner,
        *,
        headless: bool,
        args: tuple[str, ...],
        timeout: float,
        profiles: Path | None = None,
    ) -> Browser:
        """Start a browser and wait until its page has reported what it can do.

        Args:
            id: Which one it is to be, ``b1``.
            host: Where its page dials.
            installation: What is started.
            owner: Is notified of losses.
            headless: Start it without a window.
            args: Further arguments of its command line.
            timeout: Seconds until its page must have reported.
            profiles: Directory for its throw-away profile; ``None`` for the system's own.

        Returns:
            The browser, without lanes.

        Raises:
            LaunchFailed: It ended, or did not report within ``timeout`` seconds. Nothing of it is left running.
        """
        began = time.monotonic()
        ticket = host.invite("page")
        url = f"{host.origin}/#token={ticket.token}"
        process: BrowserProcess | Visit
        if is_visitor(installation):
            process = await expect(installation, url)
        else:
            process = await launch(installation, url, headless=headless, args=args, profiles=profiles)
        try:
            async with asyncio.timeout(timeout):
                browser = cls(id, host, process, await _dial(ticket, process), owner)
                browser._greet()
                browser.capabilities = await browser._reported
                if not is_visitor(installation):
                    gpus = await asyncio.to_thread(list_gpus)
                    browser.capabilities = replace(browser.capabilities, gpus=gpus)
        except TimeoutError:
            await process.close()
            who = (
                "Nobody opened the page, or it"
                if is_visitor(installation)
                else f"{installation.name} at {installation.executable}"
            )
            raise LaunchFailed(
                f"{who} did not report within {timeout:g} s: raise launch_timeout, or try another browser.",
                browser=installation.name,
            ) from None
        except BaseException:  # a cancellation too: nobody else knows of this process
            await process.close()
            raise
        browser.start_seconds = time.monotonic() - began
        return browser

    async def start_lane(self, threads: int, timeout: float) -> Lane:
        """Start a lane.

        Args:
            threads: Threads that its runtime may use.
            timeout: Seconds until its worker must have dialled back.

        Returns:
            The lane, which the caller owns from now on.

        Raises:
            LaneLost: Its worker failed or did not dial back in time.
            BrowserLost: The browser is gone.
        """
        # Noted before anything is awaited, so that lanes that start side by side get different ids.
        lane = LaneId(self.id, len(self._lane_ids) + 1)
        self._lane_ids[str(lane)] = lane
        ticket = self._host.invite("lane")
        command = StartLaneCommand(
            lane=str(lane),
            token=ticket.token,
            access=self._host.access,
            threads=threads,
            max_message_bytes=self._host.max_bytes,
        )
        self._dialling[lane] = ticket
        try:
            async with asyncio.timeout(timeout):
                await self._page.ask(command, timeout)
                connection = await ticket.connected
        except TimeoutError:
            raise LaneLost(f"Lane {lane} did not start within {timeout:g} s.") from None
        finally:
            del self._dialling[lane]
            # The page's answer and the ticket may both report one failure. Reading the second one's exception keeps
            # asyncio from logging that nobody retrieved it.
            if not ticket.connected.cancel() and not ticket.connected.cancelled():
                ticket.connected.exception()
        return Lane(lane, connection, self)

    def learn(self, speeds: Speeds) -> None:
        """Take in how fast its adapter was.

        Args:
            speeds: What was measured.
        """
        self.capabilities = replace(self.capabilities, speeds=speeds)

    def lane_lost(self, lane: Lane, reason: WebinferError) -> None:
        """Pass the loss of a lane on to the owner.

        Args:
            lane: The lane.
            reason: Why.
        """
        self._owner.lane_lost(self, lane, reason)

    async def stop_lane(self, lane: Lane) -> None:
        """Terminate a lane's worker, whatever it is doing.

        Args:
            lane: The lane.
        """
        lane.lose(LaneLost(f"Lane {lane.id} was stopped."))
        if not self._page.lost.done():
            self._page.post(StopLaneCommand(lane=str(lane.id)), lambda _: None)
        await lane.close()

    async def close(self) -> None:
        """End the browser and delete its profile. Its lanes end with it; their sockets are their owner's to close."""
        self._page.notify(Goodbye())
        await asyncio.gather(self._page.close(), self._process.close())

    def _greet(self) -> None:
        welcome = Welcome(
            browser=self.id,
            heartbeat=self._host.heartbeat,
            patience=self._host.patience,
            max_message_bytes=self._host.max_bytes,
        )
        self._page.notify(welcome)

    def _notice(self, notice: Notice) -> None:
        match notice:
            case CapabilityNotice():
                if not self._reported.done():
                    self._reported.set_result(Capabilities.of(notice.capabilities))
            case LaneFailure():
                self._lane_failed(notice.lane, notice.error.to_exception())

    def _lane_failed(self, name: str, error: WebinferError) -> None:
        """Pass on what the page says of a lane that was started here."""
        lane = self._lane_ids.get(name)
        if lane in self._dialling:
            self._fail_start(lane, error)
        elif lane is not None:
            self._owner.lane_failed(lane, error)

    def _fail_start(self, lane: LaneId, error: WebinferError) -> None:
        connected = self._dialling[lane].connected
        if not connected.done():
            connected.set_exception(error)

    def _lose(self, cause: str) -> None:
        if self.lost.done():
            return
        reason = BrowserLost(f"Browser {self.id} ({self.installation.name}) was lost. {cause}", browser=self.id)
        # The owner comes last: it may start a successor, and must find all that waits for this browser failed.
        self.lost.set_result(reason)
        if not self._reported.done():
            self._reported.set_exception(LaunchFailed(str(reason), browser=self.installation.name))
        for lane in self._dialling:
            self._fail_start(lane, reason)
        self._owner.browser_lost(self, reason)


async def _dial(ticket: Ticket, process: BrowserProcess | Visit) -> Connection:
    """Return the page's connection, once it has dialled back.

    Raises:
        LaunchFailed: The browser ended before.
    """
    either: set[asyncio.Future[Any]] = {ticket.connected, process.exited}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if ticket.connected.done():
        return ticket.connected.result()
    ticket.connected.cancel()
    raise LaunchFailed(
        f"{process.installation.name} at {process.installation.executable} ended before it opened its page: "
        f"{process.exited.result()}",
        browser=process.installation.name,
    )
