"""The fleet: a pool's browsers and lanes, started, replaced when they are lost, and ended."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence

from webinfer.browsers.browser import Browser
from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.lane import Lane
from webinfer.browsers.process_tree import tree_memory
from webinfer.core.background import Tasks
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import BackendUnavailable, BrowserError, BrowserLost, DeviceLost, LostError, WebinferError
from webinfer.core.options import Backend, Options
from webinfer.pool.events import (
    BrowserEnded,
    BrowserRefused,
    BrowserStarted,
    HeartbeatMissed,
    LaneEnded,
    LaneStarted,
    Listener,
    told,
)
from webinfer.pool.plan.affinity import BrowserState
from webinfer.pool.plan.retry import Breaker
from webinfer.transport.server import Host

log = logging.getLogger("webinfer.fleet")

_LANE_START = 60.0  # seconds for a worker to start and dial back


class Fleet:
    """Browsers and lanes.

    Args:
        host: A started host.
        installations: Browsers that may be started, in order of preference; one of each runs at most.
        options: Options of the accelerator.
        announce: Told of every start and loss.
        on_lane: Called with each lane that can take work.
        on_gone: Called with each lane that no longer can; it may come twice.
        on_change: Called after anything that a plan may depend on.

    Attributes:
        browsers: Browsers that are up, by id.
        lanes: Lanes that can take work, by id.
        states: What the scheduler knows of each browser that may be started, by name.
        capabilities: What each browser reported last, by name.
    """

    def __init__(
        self,
        host: Host,
        installations: Sequence[Installation],
        options: Options,
        *,
        announce: Listener,
        on_lane: Callable[[Lane], None],
        on_gone: Callable[[Lane], None],
        on_change: Callable[[], None],
    ) -> None:
        self.installations = {each.name: each for each in installations}
        self.browsers: dict[str, Browser] = {}
        self.lanes: dict[str, Lane] = {}
        self.states = {name: BrowserState() for name in self.installations}
        self.capabilities: dict[str, Capabilities] = {}
        self._host = host
        self._options = options
        self._announce = announce
        self._on_lane = on_lane
        self._on_gone = on_gone
        self._on_change = on_change
        self._tasks = Tasks()
        self._ending: set[Browser] = set()  # lost or given up, and not yet gone
        self._retiring: dict[str, tuple[Lane, Browser, str]] = {}  # lanes that answer what they have, and why they end
        self._shaken: set[str] = set()  # browsers that lost a GPU device
        self._starting: dict[str, asyncio.Task[Browser | WebinferError]] = {}  # launches under way, by name
        self._breakers: dict[str, Breaker] = {}  # of those that failed to start, last time
        self._started = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Fleet {'+'.join(self.installations)} browsers={len(self.browsers)} lanes={len(self.lanes)}>"

    async def memory(self) -> dict[str, int]:
        """Return the memory of each browser's processes, in bytes; 0 of one that is not ours."""
        pids = {label: browser.pid for label, browser in self.browsers.items()}
        taken = await asyncio.gather(*(asyncio.to_thread(tree_memory, pid) for pid in pids.values()))
        return dict(zip(pids, taken, strict=True))

    async def ensure(self, names: Sequence[str] = (), backend: Backend | None = None) -> Browser:
        """Have a browser up: the first one that starts and can run a backend.

        One that does not start is passed over for the time of its back-off, and another takes its place. Where there
        is none, it is tried again, ``launch_retries`` times.

        Args:
            names: Browsers to choose from, in order; none for all.
            backend: What it must be able to run; ``None`` for no matter.

        Raises:
            BackendUnavailable: None of them can run it.
            BrowserError: None of them started.
            LostError: The last one that was tried was lost while it started.
        """
        tries: Counter[str] = Counter()
        error: WebinferError | None = None
        while True:
            able = [name for name in names or self.installations if self.states[name].can_run(backend)]
            left = [name for name in able if tries[name] <= self._options.launch_retries]
            if not left:
                raise error if able and error is not None else self._unavailable(names, backend)
            name, pause = self._next(left)
            if pause and tries[name] and self._options.progressive_backoff:
                await asyncio.sleep(pause)
                continue  # another may be up by now
            tries[name] += 1
            outcome = self.up(name) or await self.launch(name)
            if isinstance(outcome, WebinferError):
                error = outcome
                if not isinstance(outcome, BrowserError | LostError):  # a page of another version, say
                    tries[name] += self._options.launch_retries
            elif self.states[name].can_run(backend):
                return outcome

    async def launch(self, name: str) -> Browser | WebinferError:
        """Start a browser and its lanes, or wait for the start that is under way already.

        Giving up the wait does not end the start, for others may wait too.

        Returns:
            The browser, or why it did not start.
        """
        if name not in self._starting:
            self.states[name].up = True  # now: the next plan may be asked for before the task begins
            self._starting[name] = self._tasks.hold(self._start(name))
            self._starting[name].add_done_callback(lambda _: self._starting.pop(name))
        return await asyncio.shield(self._starting[name])

    def is_due(self, name: str) -> bool:
        """Whether a browser that did not start may be tried once more, beside those that took its place."""
        if name not in self._breakers or name in self._starting:
            return False
        return asyncio.get_running_loop().time() >= self._breakers[name].until

    def obstacle(self, name: str, backend: Backend) -> str:
        """Say what keeps a session of that backend from a browser."""
        if name not in self.installations:
            return "is not installed"
        if name in self._breakers:
            return f"does not start ({self._breakers[name].cause})"
        return f"cannot run {backend} here" if not self.states[name].can_run(backend) else "was lost"

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
        else:
            self.stop_lane(lane, cause)  # it is retiring, and its browser ends with its last lane

    async def grow(self, browser: Browser) -> None:
        """Start a further lane in a browser.

        Raises:
            WebinferError: It did not start.
        """
        await self._tasks.hold(self._start_lane(browser))
        self._on_change()

    def retire(self, lane: Lane, cause: str) -> None:
        """Give a lane nothing more, and end it once it has answered what it has.

        A browser ends with its last lane.
        """
        browser = self.browsers.get(lane.browser)
        if browser is not None and self.lanes.pop(lane.id, None) is not None:
            lane.retired = True
            self._retiring[lane.id] = lane, browser, cause
            self._on_gone(lane)

    def drained(self, lane: str) -> None:
        """Take note that a lane has answered all that it had."""
        if lane in self._retiring and not self._closed:
            self._tasks.spawn(self._bid_farewell(*self._retiring[lane]))

    def lane(self, name: str) -> Lane | None:
        """Return a lane that works or is about to end."""
        return self.lanes.get(name) or next((lane for lane, _, _ in self._retiring.values() if lane.id == name), None)

    def retire_browser(self, browser: Browser, cause: str) -> None:
        """Put another browser in the place of one that ends once it has answered what it has."""
        lanes = [lane for lane in self.lanes.values() if lane.browser == browser.id]
        for lane in lanes:
            self.retire(lane, cause)
        if self._strike_off(browser, cause, lost=False):
            self._tasks.spawn(self._replace_browser(browser.installation.name))
            if not lanes:
                self._tasks.spawn(self._bury(browser))

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

    def up(self, name: str) -> Browser | None:
        """Return the browser of that name that has started, if there is one."""
        if name in self._starting:
            return None
        return next((browser for browser in self.browsers.values() if browser.installation.name == name), None)

    def _next(self, names: Sequence[str]) -> tuple[str, float]:
        """Choose which browser to try, and the seconds until it is due."""
        ready = next((name for name in names if not self.states[name].barred), None)
        if ready is not None:
            return ready, 0.0
        name = min(names, key=lambda each: self._breakers[each].until)
        return name, max(self._breakers[name].until - asyncio.get_running_loop().time(), 0.0)

    async def _start(self, name: str) -> Browser | WebinferError:
        try:
            browser = await self._launch(name)
        except BaseException as error:
            self.states[name].up = False
            if not isinstance(error, WebinferError):
                raise
            self._bar(name, error)
            return error
        self._breakers.pop(name, None)
        self.states[name].barred = False
        return browser.lost.result() if browser.lost.done() else browser

    def _bar(self, name: str, error: WebinferError) -> None:
        """Leave a browser alone for a while, since it did not start."""
        loop = asyncio.get_running_loop()
        breaker = self._breakers[name] = self._breakers.get(name, Breaker()).failed(loop.time(), error.code)
        event = BrowserRefused(name, error.code, str(error), breaker.failures, breaker.until - loop.time())
        log.warning("browser %s did not start, %d times in a row: %s", name, breaker.failures, error, extra=told(event))
        self.states[name].barred = True
        self._announce(event)

    def _unavailable(self, names: Sequence[str], backend: Backend | None) -> BackendUnavailable:
        """Say why none of the browsers can run a backend."""
        assert backend is not None
        known = {name: self.capabilities[name] for name in names or self.installations if name in self.capabilities}
        why = (
            f"{each.engine} {each.engine_version} cannot run {backend} here: {each.errors.get(backend)}"
            for each in known.values()
        )
        available = list(dict.fromkeys(able for each in known.values() for able in each.backends))
        return BackendUnavailable(
            f"{'; '.join(why)}. It can run: {', '.join(available)}.", backend=backend, available=available
        )

    async def _launch(self, name: str) -> Browser:
        self._started += 1
        installation, options = self.installations[name], self._options
        browser = await Browser.launch(
            f"b{self._started}",
            self._host,
            installation,
            headless=options.headless,
            args=options.browser_args,
            timeout=options.launch_timeout,
            profiles=options.profiles,
        )
        self.browsers[browser.id] = browser
        self.capabilities[name] = browser.capabilities
        self.states[name].backends = frozenset(browser.capabilities.backends)
        browser.lost.add_done_callback(lambda _: self._browser_lost(browser))
        version = browser.capabilities.engine_version
        event = BrowserStarted(browser.id, name, version, browser.pid, browser.start_seconds)
        log.info(
            "browser %s: %s %s is ready after %.2f s", *(browser.id, name, version, event.seconds), extra=told(event)
        )
        self._announce(event)
        browser.watch_pulse(lambda missed: self._missed(browser, missed))
        try:
            first = options.lanes if options.min_lanes is None else max(1, min(options.min_lanes, options.lanes))
            lanes = (self._start_lane(browser) for _ in range(first))
            started = await asyncio.gather(*lanes, return_exceptions=True)
        except asyncio.CancelledError:
            await self._end(browser, "Its start was given up.")  # without lanes it is only in the way of another
            raise
        failures = [error for error in started if isinstance(error, BaseException)]
        if len(failures) == len(started):
            await self._end(browser, f"It starts no lane: {failures[0]}")
            raise failures[0]
        return browser

    async def _start_lane(self, browser: Browser) -> None:
        lane = await browser.start_lane(self._threads(browser), _LANE_START)
        if browser.id not in self.browsers:
            raise BrowserLost(f"Browser {browser.id} was given up while lane {lane.id} started.", browser=browser.id)
        self.lanes[lane.id] = lane
        self._on_lane(lane)
        lane.lost.add_done_callback(lambda _: self._lane_lost(browser, lane))
        event = LaneStarted(lane.id)
        log.info("lane %s is ready: %s", lane.id, lane.runtime, extra={**told(event), "runtime": lane.runtime})
        self._announce(event)

    def _missed(self, browser: Browser, times: int) -> None:
        event = HeartbeatMissed(browser.id, times)
        log.info("browser %s left a heartbeat unanswered, %d so far", browser.id, times, extra=told(event))
        self._announce(event)

    def _threads(self, browser: Browser) -> int:
        cores = os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
        return self._options.threads or max(1, min(browser.capabilities.cores, cores or 1) // self._options.lanes)

    def _lane_lost(self, browser: Browser, lane: Lane) -> None:
        reason = self.write_off(lane, lane.lost.result())
        if self._closed or lane.retired:
            return
        if isinstance(reason, DeviceLost):
            self._shaken.add(browser.id)
        event = LaneEnded(lane.id, reason.code, str(reason))
        log.warning("lane %s is lost: %s", lane.id, reason, extra=told(event))
        self._announce(event)
        self._tasks.spawn(self._replace(browser, lane))

    async def _bid_farewell(self, lane: Lane, browser: Browser, cause: str) -> None:
        """End a lane that has answered what it had, and its browser after the last one."""
        event = LaneEnded(lane.id, "", cause, lost=False)
        log.info("lane %s is retired: %s", lane.id, cause, extra=told(event))
        await browser.stop_lane(lane)
        if self._retiring.pop(lane.id, None) is None:
            return
        self._announce(event)
        if browser.empty:
            await self._end(browser, cause, lost=False)
        if browser in self._ending and not any(each is browser for _, each, _ in self._retiring.values()):
            await self._bury(browser)

    async def _replace_browser(self, name: str) -> None:
        await self.launch(name)  # a failure is announced, and others take its place
        self._on_change()

    async def _replace(self, browser: Browser, lane: Lane) -> None:
        """Put a new lane in a lost one's place, or end the browser when that cannot be done."""
        await browser.stop_lane(lane)
        if browser.lost.done():
            return
        try:
            await self._start_lane(browser)
        except WebinferError as error:
            log.warning(
                "browser %s starts no lane any more: %s",
                browser.id,
                error,
                extra={"browser": browser.id, "code": error.code},
            )
            await self._end(browser, f"It starts no lane any more: {error}")
        self._on_change()

    def _browser_lost(self, browser: Browser) -> None:
        reason = str(browser.lost.result())
        if not self._closed and self._strike_off(browser, reason):
            self._tasks.spawn(self._bury(browser))

    async def _end(self, browser: Browser, cause: str, lost: bool = True) -> None:
        if self._strike_off(browser, cause, lost):
            await self._bury(browser)

    def _strike_off(self, browser: Browser, cause: str, lost: bool = True) -> bool:
        """Count on a browser no more; returns whether it was counted on until now."""
        if self.browsers.pop(browser.id, None) is None:
            return False
        self.states[browser.installation.name].up = False
        self._shaken.discard(browser.id)
        self._ending.add(browser)  # until it is gone, also when close() cuts that short
        event = BrowserEnded(browser.id, browser.installation.name, cause, lost)
        sentence = (
            cause if browser.id in cause else f"browser {browser.id} {'is lost' if lost else 'is retired'}: {cause}"
        )
        log.log(logging.WARNING if lost else logging.INFO, "%s", sentence, extra=told(event))
        self._announce(event)
        return True

    async def _bury(self, browser: Browser) -> None:
        self._on_change()  # its successor need not wait for the end
        await browser.close()
        self._ending.discard(browser)
