"""The fleet: a pool's browsers and lanes, started, replaced when they are lost, and ended."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from webinfer.browser import Browser
from webinfer.browsers.find import Installation
from webinfer.browsers.process import tree_memory
from webinfer.errors import BrowserLost, DeviceLost, WebinferError
from webinfer.events import BrowserEnded, BrowserStarted, LaneEnded, LaneStarted, Listener
from webinfer.host import Host
from webinfer.lane import Lane
from webinfer.options import Options
from webinfer.tasks import Tasks

log = logging.getLogger("webinfer.fleet")

_LANE_START = 60.0  # seconds for a worker to start and dial back


class Fleet:
    """Browsers and lanes.

    Args:
        host: A started host.
        installation: The browser to start.
        options: Options of the accelerator.
        announce: Told of every start and loss.
        on_lane: Called with each lane that can take work.
        on_gone: Called with each lane that no longer can; it may come twice.
        on_change: Called after anything that a plan may depend on.

    Attributes:
        browsers: Browsers that are up, by id.
        lanes: Lanes that can take work, by id.
        count: Browsers that are up or starting.
    """

    def __init__(
        self,
        host: Host,
        installation: Installation,
        options: Options,
        *,
        announce: Listener,
        on_lane: Callable[[Lane], None],
        on_gone: Callable[[Lane], None],
        on_change: Callable[[], None],
    ) -> None:
        self.installation = installation
        self.browsers: dict[str, Browser] = {}
        self.lanes: dict[str, Lane] = {}
        self.count = 0
        self._host = host
        self._options = options
        self._announce = announce
        self._on_lane = on_lane
        self._on_gone = on_gone
        self._on_change = on_change
        self._tasks = Tasks()
        self._ending: set[Browser] = set()  # lost or given up, and not yet gone
        self._shaken: set[str] = set()  # browsers that lost a GPU device
        self._started = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Fleet {self.installation.name} browsers={len(self.browsers)} lanes={len(self.lanes)}>"

    async def memory(self) -> int:
        """Return the memory of all browsers' processes, in bytes."""
        pids = [browser.pid for browser in self.browsers.values()]
        return sum(await asyncio.gather(*(asyncio.to_thread(tree_memory, pid) for pid in pids)))

    async def launch(self) -> None:
        """Start a browser and its lanes.

        Raises:
            LaunchFailed: It did not start.
            LaneLost: None of its lanes did; the browser is ended.
        """
        self.count += 1  # now: the next plan may be asked for before the task begins
        await self._tasks.hold(self._launch())

    def write_off(self, lane: Lane, error: WebinferError) -> WebinferError:
        """Give a lane nothing more, now: the news of its loss may still be on the way.

        Returns:
            Why it was lost, where that is known already: a closed socket is only how we heard of it.
        """
        lane.lose(error)
        self.lanes.pop(lane.id, None)
        self._on_gone(lane)
        return lane.lost.result()

    def stop_lane(self, lane: Lane, reason: WebinferError) -> None:
        """End a lane, whatever it is doing, and put another in its place."""
        self.write_off(lane, reason)
        if lane.browser in self.browsers:
            self._tasks.spawn(self.browsers[lane.browser].stop_lane(lane))

    def stop_browser(self, lane: Lane, cause: WebinferError) -> None:
        """End a lane's browser, whatever its lanes are doing.

        What a lane had the GPU compute outlives the lane: it is the GPU process that computes it, or hangs.
        """
        browser = self.browsers.get(lane.browser)
        if browser is not None:
            for each in tuple(browser.lanes.values()):
                self.write_off(each, BrowserLost(f"Browser {browser.id} was ended. {cause}", browser=browser.id))
            self._tasks.spawn(self._end(browser, str(cause)))

    def give_up(self, lane: Lane, cause: WebinferError) -> bool:
        """End the browser of a lane to which it denies a GPU, if it had one and lost it: a new browser may have it.

        After some crashes of its GPU process, Chromium grants no adapter any more for as long as it runs.

        Returns:
            Whether that was so.
        """
        browser = self.browsers.get(lane.browser)
        if browser is None or browser.id not in self._shaken:
            return False
        log.warning("browser %s has lost its GPU for good: %s", browser.id, cause)
        self.stop_browser(lane, cause)
        return True

    async def close(self) -> None:
        """End every browser."""
        self._closed = True
        await self._tasks.close()
        await asyncio.gather(*(browser.close() for browser in {*self.browsers.values(), *self._ending}))
        self.browsers.clear()
        self.lanes.clear()

    async def _launch(self) -> None:
        self._started += 1
        name = f"b{self._started}"
        options = self._options
        try:
            browser = await Browser.launch(
                name,
                self._host,
                self.installation,
                headless=options.headless,
                args=options.browser_args,
                timeout=options.launch_timeout,
            )
        except BaseException:
            self.count -= 1
            raise
        self.browsers[name] = browser
        browser.lost.add_done_callback(lambda _: self._browser_lost(browser))
        version = browser.capabilities.engine_version
        self._announce(BrowserStarted(name, self.installation.name, version, browser.pid, browser.start_seconds))
        try:
            lanes = (self._start_lane(browser) for _ in range(options.lanes))
            started = await asyncio.gather(*lanes, return_exceptions=True)
        except asyncio.CancelledError:
            await self._end(browser, "Its start was given up.")  # without lanes it is only in the way of another
            raise
        failures = [error for error in started if isinstance(error, BaseException)]
        if len(failures) == len(started):
            await self._end(browser, f"It starts no lane: {failures[0]}")
            raise failures[0]

    async def _start_lane(self, browser: Browser) -> None:
        lane = await browser.start_lane(self._threads(browser), _LANE_START)
        self.lanes[lane.id] = lane
        self._on_lane(lane)
        lane.lost.add_done_callback(lambda _: self._lane_lost(browser, lane))
        self._announce(LaneStarted(lane.id))

    def _threads(self, browser: Browser) -> int:
        cores = os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
        return self._options.threads or max(1, min(browser.capabilities.cores, cores or 1) // self._options.lanes)

    def _lane_lost(self, browser: Browser, lane: Lane) -> None:
        reason = self.write_off(lane, lane.lost.result())
        if self._closed:
            return
        if isinstance(reason, DeviceLost):
            self._shaken.add(browser.id)
        log.warning("lane %s is lost: %s", lane.id, reason)
        self._announce(LaneEnded(lane.id, reason.code, str(reason)))
        self._tasks.spawn(self._replace(browser, lane))

    async def _replace(self, browser: Browser, lane: Lane) -> None:
        """Put a new lane in a lost one's place, or end the browser when that cannot be done."""
        await browser.stop_lane(lane)
        if browser.lost.done():
            return
        try:
            await self._start_lane(browser)
        except WebinferError as error:
            log.warning("browser %s starts no lane any more: %s", browser.id, error)
            await self._end(browser, f"It starts no lane any more: {error}")
        self._on_change()

    def _browser_lost(self, browser: Browser) -> None:
        reason = str(browser.lost.result())
        if not self._closed and self._strike_off(browser, reason):
            log.warning("%s", reason)
            self._tasks.spawn(self._bury(browser))

    async def _end(self, browser: Browser, cause: str) -> None:
        if self._strike_off(browser, cause):
            await self._bury(browser)

    def _strike_off(self, browser: Browser, cause: str) -> bool:
        """Count on a browser no more; returns whether it was counted on until now."""
        if self.browsers.pop(browser.id, None) is None:
            return False
        self.count -= 1
        self._shaken.discard(browser.id)
        self._ending.add(browser)  # until it is gone, also when close() cuts that short
        self._announce(BrowserEnded(browser.id, browser.installation.name, cause))
        return True

    async def _bury(self, browser: Browser) -> None:
        self._on_change()  # its successor need not wait for the end
        await browser.close()
        self._ending.discard(browser)
