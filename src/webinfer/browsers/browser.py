"""One launched browser: its process, its page, and the lanes in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.discovery.gpus import list_gpus
from webinfer.browsers.lane import Lane
from webinfer.browsers.launch import BrowserProcess, launch
from webinfer.browsers.remote import Visit, expect, is_visitor
from webinfer.core.capabilities import Capabilities, Speeds
from webinfer.core.errors import BrowserLost, LaneLost, LaunchFailed, MalformedFrame, WebinferError, from_wire
from webinfer.transport.connection import Connection
from webinfer.transport.server import Host, Ticket
from webinfer.transport.wire import Message


class Browser:
    """A browser whose page has dialled back and told what it can do.

    Attributes:
        id: Its name, ``b1``.
        installation: What was started.
        capabilities: What its page reported.
        start_seconds: From launching to the report.
        born: When it dialled back, on the loop's clock.
        lost: Done once it cannot be used any more, with the reason.
    """

    def __init__(self, name: str, host: Host, process: BrowserProcess | Visit, page: Connection) -> None:
        self.id = name
        self.installation: Installation = process.installation
        self.capabilities: Capabilities
        self.start_seconds = 0.0
        self.born = asyncio.get_running_loop().time()
        self.lost: asyncio.Future[WebinferError] = asyncio.get_running_loop().create_future()
        self.lanes: dict[str, Lane] = {}
        self._reported: asyncio.Future[Capabilities] = asyncio.get_running_loop().create_future()
        self._host = host
        self._process = process
        self._page = page
        self._lanes_started = 0
        self._dialling: dict[str, Ticket] = {}  # lanes whose workers were started and have not dialled back
        page.watch(self._notice)
        page.lost.add_done_callback(lambda lost: self._lose(f"Its page is gone: {lost.result()}"))
        process.exited.add_done_callback(
            lambda exited: None if exited.cancelled() else self._lose(f"It ended: {exited.result()}")
        )

    def __repr__(self) -> str:
        state = "lost" if self.lost.done() else "ready"
        return f"<Browser {self.id} {self.installation.name} pid={self.pid} lanes={len(self.lanes)} {state}>"

    @property
    def pid(self) -> int:
        """Process id of the browser's main process; 0 where it is not ours."""
        return self._process.pid

    @property
    def empty(self) -> bool:
        """Whether it has no lane, and none is starting."""
        return not self._dialling and all(lane.lost.done() for lane in self.lanes.values())

    @classmethod
    async def launch(
        cls,
        name: str,
        host: Host,
        installation: Installation,
        *,
        headless: bool,
        args: tuple[str, ...],
        timeout: float,
        profiles: Path | None = None,
    ) -> Browser:
        """Start a browser and wait until its page has reported what it can do.

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
                browser = cls(name, host, process, await _dial(ticket, process))
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
        except BaseException:
            await process.close()
            raise
        browser.start_seconds = time.monotonic() - began
        return browser

    async def start_lane(self, threads: int, timeout: float) -> Lane:
        """Start a lane.

        Raises:
            LaneLost: Its worker failed or did not dial back within ``timeout`` seconds.
            BrowserLost: The browser is gone.
        """
        self._lanes_started += 1
        name = f"{self.id}.{self._lanes_started}"
        ticket = self._host.invite("lane")
        fields: dict[str, Any] = {
            "lane": name,
            "token": ticket.token,
            "access": self._host.access,
            "threads": threads,
            "max_message_bytes": self._host.max_bytes,
        }
        self._dialling[name] = ticket
        try:
            async with asyncio.timeout(timeout):
                await self._page.ask("start_lane", fields, timeout)
                connection = await ticket.connected
        except TimeoutError:
            raise LaneLost(f"Lane {name} did not start within {timeout:g} s.") from None
        finally:
            del self._dialling[name]
            if not ticket.connected.cancel() and not ticket.connected.cancelled():
                ticket.connected.exception()  # where the page's own answer was the first to tell of it
        lane = Lane(name, connection, self.capabilities, self.id, self.installation.name)
        self.lanes[name] = lane
        lane.lost.add_done_callback(lambda _: self.lanes.pop(name, None))
        return lane

    def learn(self, speeds: Speeds) -> None:
        """Take in how fast its adapter was; all of its lanes hear of it."""
        self.capabilities = replace(self.capabilities, speeds=speeds)
        for lane in self.lanes.values():
            lane.learn(self.capabilities)

    async def stop_lane(self, lane: Lane) -> None:
        """Terminate a lane's worker, whatever it is doing."""
        lane.lose(LaneLost(f"Lane {lane.id} was stopped."))
        if not self._page.lost.done():
            self._page.post("stop_lane", {"lane": lane.id}, lambda _: None)
        await lane.close()

    def watch_pulse(self, on_miss: Callable[[int], None]) -> None:
        """Have a function called when the page leaves a ping unanswered, with how often it did."""
        self._page.on_miss = on_miss

    async def close(self) -> None:
        """End the browser and delete its profile."""
        self._page.notify("goodbye")
        lanes = tuple(self.lanes.values())
        for lane in lanes:
            lane.lose(LaneLost(f"Lane {lane.id} was closed with its browser."))
        # All at once: what hangs does not answer the closing of its socket until it is killed.
        await asyncio.gather(*(lane.close() for lane in lanes), self._page.close(), self._process.close())

    def _greet(self) -> None:
        self._page.notify(
            "welcome",
            browser=self.id,
            heartbeat=self._host.heartbeat,
            patience=self._host.patience,
            max_message_bytes=self._host.max_bytes,
        )

    def _notice(self, message: Message) -> None:
        if message.kind == "capabilities" and not self._reported.done():
            try:
                self._reported.set_result(Capabilities.of(message.fields["capabilities"]))
            except (TypeError, ValueError, AttributeError, KeyError) as error:
                raise MalformedFrame(f"The page's capabilities cannot be read: {error}.") from error
        elif message.kind == "lane_failed":
            self._lane_failed(message.fields["lane"], from_wire({"code": LaneLost.code, **message.fields["error"]}))

    def _lane_failed(self, name: str, error: WebinferError) -> None:
        if name in self.lanes:
            self.lanes[name].lose(error)
        elif name in self._dialling and not self._dialling[name].connected.done():
            self._dialling[name].connected.set_exception(error)

    def _lose(self, cause: str) -> None:
        if self.lost.done():
            return
        reason = BrowserLost(f"Browser {self.id} ({self.installation.name}) was lost. {cause}", browser=self.id)
        self.lost.set_result(reason)
        if not self._reported.done():
            self._reported.set_exception(LaunchFailed(str(reason), browser=self.installation.name))
        for name in self._dialling:
            self._lane_failed(name, reason)
        for lane in tuple(self.lanes.values()):
            lane.lose(reason)


async def _dial(ticket: Ticket, process: BrowserProcess | Visit) -> Connection:
    """Wait for the page to dial back, or for the browser to end first."""
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
