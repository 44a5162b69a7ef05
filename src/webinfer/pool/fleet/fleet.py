"""The fleet: browsers and lanes, started, lost and replaced, retired and ended."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from webinfer.browsers.browser import Browser
from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.lane import Lane
from webinfer.browsers.processes.process_tree import tree_memory
from webinfer.core.errors import BrowserLost, DeviceLost, LaneLost, WebinferError
from webinfer.core.lifetime.background import Tasks
from webinfer.core.options import Backend, Options
from webinfer.core.placement import LaneId
from webinfer.pool.events import BrowserEnded, BrowserStarted, HeartbeatMissed, LaneEnded, LaneStarted, log_fields
from webinfer.pool.fleet.registry import Registry, Retirement
from webinfer.pool.fleet.size import Sizes, is_spare
from webinfer.pool.owner import Owner
from webinfer.pool.plan.recovery import Loss, Step, next_step
from webinfer.transport.server import Host

log = logging.getLogger("webinfer.fleet")

_LANE_START = 60.0  # seconds for a worker to start and dial back


class Fleet:
    """What happens to browsers and lanes.

    Every loss comes in by ``_lose``, which takes what was lost off the registry, announces it, and does what
    ``plan.recovery`` says. Lanes and browsers report their own losses (``lane_lost``, ``browser_lost``); ``stop_run``
    and ``refuse_gpu`` add what only a request or a load can notice.

    Args:
        host: A started host.
        options: Options of the accelerator.
        registry: Takes down which browsers and lanes there are.
        owner: The pool.
    """

    def __init__(self, host: Host, options: Options, registry: Registry, owner: Owner) -> None:
        self.registry = registry
        self._host = host
        self._options = options
        self._owner = owner
        self._tasks = Tasks()
        self._started = 0  # browsers ever started
        self._sizes = Sizes(options)
        self._starting: Counter[str] = Counter()  # lanes that are starting or are to be, by browser's id
        self._closed = False

    def __repr__(self) -> str:
        return f"<Fleet {self.registry!r} {'closed' if self._closed else 'open'}>"

    async def memory(self) -> dict[str, int]:
        """Return the memory of each browser's processes, in bytes, by the browser's id; 0 of one that is not ours."""
        pids = {id: browser.pid for id, browser in self.registry.browsers.items()}
        sizes = await asyncio.gather(*(asyncio.to_thread(tree_memory, pid) for pid in pids.values()))
        return dict(zip(pids, sizes, strict=True))

    async def start_browser(self, installation: Installation) -> Browser:
        """Start a browser and its first lanes.

        Args:
            installation: What is started.

        Returns:
            The browser, which is up.

        Raises:
            CancelledError: The caller gave up. The browser is ended.
            WebinferError: The browser did not start, or none of its lanes. Nothing of it is left then.
        """
        self._started += 1
        options = self._options
        browser = await Browser.launch(
            f"b{self._started}",
            self._host,
            installation,
            self,
            headless=options.headless,
            args=options.browser_args,
            timeout=options.launch_timeout,
            profiles=options.profiles,
        )
        self.registry.add_browser(browser)  # before its lanes start: _start_lane() ends those of an unknown browser
        version = browser.capabilities.engine_version
        started = BrowserStarted(browser.id, browser.name, version, browser.pid, browser.start_seconds)
        about = (browser.id, browser.name, version, started.seconds)
        log.info("browser %s: %s %s is ready after %.2f s", *about, extra=log_fields(started))
        self._owner.announce(started)
        try:
            most = self._sizes.of(browser.name).lanes
            first = most if options.min_lanes is None else max(1, min(options.min_lanes, most))
            lanes = (self._start_lane(browser) for _ in range(first))
            outcomes = await asyncio.gather(*lanes, return_exceptions=True)
        except asyncio.CancelledError:
            await self._end(browser, "Its start was given up.")  # without lanes it is only in the way of another
            raise
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        # One lane is enough to work with.
        if len(failures) == len(outcomes):
            await self._end(browser, f"It starts no lane: {failures[0]}")
            raise failures[0]
        return browser

    async def add_lane(self, browser: Browser) -> None:
        """Start a further lane in a browser.

        Args:
            browser: The browser.

        Raises:
            WebinferError: It did not start.
        """
        try:
            await self._tasks.hold(self._start_lane(browser))
        except WebinferError as error:
            if not self.registry.lanes_of(browser) and not self._starting[browser.id]:
                await self._give_up(browser, error)  # its last lane ended meanwhile
            raise
        self._owner.advance()

    async def resize(self, name: str, lanes: int, threads: int | None) -> None:
        """Have a browser have as many lanes as a contest found to be the best, now and whenever it starts anew.

        Lanes without a session give way to new ones, since these have other numbers of threads. A lane that does not
        start is logged.

        Args:
            name: The browser's name.
            lanes: The number. One that was asked for before is not lowered.
            threads: WebAssembly threads of each; ``None`` shares the cores out. The option ``threads`` goes before it.
        """
        before, browser = self._sizes.of(name), self.registry.named(name)
        size = self._sizes.raise_to(name, lanes, threads)
        if size == before or browser is None:
            return
        states = {id: state for id, state in self.registry.states.items() if id.browser == browser.id}
        spare = [id for id, state in states.items() if is_spare(state)]
        adding = (self.add_lane(browser) for _ in range(size.lanes - len(states) + len(spare)))
        failures = [outcome for outcome in await asyncio.gather(*adding, return_exceptions=True) if outcome]
        for failure in failures:
            if not isinstance(failure, WebinferError):
                raise failure
            log.warning("browser %s gets no further lane: %s", browser.id, failure)
        # Spare lanes go last, and stay where a new one failed. Work may have come to one of them meanwhile.
        for id in spare if not failures else ():
            if id in self.registry.states and is_spare(self.registry.states[id]):
                self.retire(self.registry.lanes[id], "Lanes of the size that was tuned take its place.")

    # Losses

    def browser_lost(self, browser: Browser, reason: WebinferError) -> None:
        """Take in that a browser or its page is gone.

        Args:
            browser: The browser.
            reason: Why.
        """
        self._lose("browser", browser, None, reason)

    def lane_lost(self, browser: Browser, lane: Lane, reason: WebinferError) -> None:
        """Take in that a lane's worker, socket or GPU device is gone.

        Args:
            browser: The browser.
            lane: The lane.
            reason: Why.
        """
        self._lose("device" if isinstance(reason, DeviceLost) else "lane", browser, lane, reason)

    def lane_failed(self, id: LaneId, error: WebinferError) -> None:
        """Take in that a page says of a lane that its worker failed.

        Args:
            id: The lane.
            error: What the page says of it.
        """
        if (lane := self.registry.lane(id)) is not None:
            lane.lose(error)

    def heartbeat_missed(self, browser: Browser, times: int) -> None:
        """Announce that a page left a ping unanswered.

        Args:
            browser: The browser.
            times: How often it did, in all.
        """
        if browser.id in self.registry.browsers:
            event = HeartbeatMissed(browser.id, times)
            log.info("browser %s left a heartbeat unanswered, %d so far", browser.id, times, extra=log_fields(event))
            self._owner.announce(event)

    def stop_run(self, lane: Lane, backend: Backend, reason: WebinferError) -> None:
        """End what a lane is doing, since it takes too long: with the lane, or with its browser where the GPU does it.

        Args:
            lane: The lane.
            backend: The backend that is at work.
            reason: Why it ends.
        """
        browser = self.registry.browsers.get(lane.id.browser)
        if backend == "webgpu" and browser is not None:
            self._lose("gpu hangs", browser, None, reason)
        else:
            lane.lose(reason)

    def refuse_gpu(self, lane: Lane, reason: WebinferError) -> bool:
        """Take in that a lane's browser grants it no GPU.

        Args:
            lane: The lane.
            reason: Why.

        Returns:
            Whether the browser had one and lost it: then it ends, and its successor may be granted one.
        """
        browser = self.registry.browsers.get(lane.id.browser)
        if browser is None or self._lose("gpu refused", browser, None, reason) == "nothing":
            return False
        log.warning("browser %s had lost its GPU for good: %s", browser.id, reason)
        return True

    def _lose(self, loss: Loss, browser: Browser, lane: Lane | None, reason: WebinferError) -> Step:
        """Return what is done about a loss, which is done or begun here: the one way in for every kind of loss.

        This runs to its end before anything else does, so that no plan counts on what is lost. What takes time (to
        close sockets, to start a successor) is only begun. ``reason`` is what the requests of the lost lanes get.
        """
        if self._closed:
            return "nothing"  # close() ends everything
        registry = self.registry
        # All is read before anything changes below: unregistering a browser forgets that it lost a GPU.
        up, retired = browser.id in registry.browsers, lane is not None and lane.retired
        step = next_step(loss, up=up, retired=retired, lost_gpu=browser.id in registry.lost_gpu)
        if loss == "device" and up:
            registry.lost_gpu.add(browser.id)
        if lane is not None:
            if registry.remove_lane(lane):  # the end of a lane that is retiring is announced as such
                ended = LaneEnded(lane.id, reason.code, str(reason))
                log.warning("lane %s is lost: %s", lane.id, reason, extra=log_fields(ended))
                self._owner.announce(ended)
            if step == "new lane":
                self._starting[browser.id] += 1  # from now on, so that the browser does not end for want of lanes
                self._tasks.spawn(self._replace_lane(browser, lane))
            else:
                self._tasks.spawn(browser.stop_lane(lane))
            return step
        lanes = registry.lanes_of(browser)
        if step == "new browser":
            self._unregister(browser, str(reason))
            self._tasks.spawn(self._close_browser(browser))
        if loss != "browser":
            reason = BrowserLost(f"Browser {browser.id} was ended. {reason}", browser=browser.id)
        if loss == "browser" or step == "new browser":
            for other in lanes:
                other.lose(reason)  # which comes back here; none is replaced, for their browser is not counted on
        return step

    async def _replace_lane(self, browser: Browser, lane: Lane) -> None:
        """Put a new lane in a lost one's place, or end the browser when that cannot be done."""
        try:
            await browser.stop_lane(lane)
            if browser.id not in self.registry.browsers:  # it was lost or retired meanwhile
                return
            await self._start_lane(browser)
        except WebinferError as error:
            await self._give_up(browser, error)
        finally:
            self._starting[browser.id] -= 1
        self._owner.advance()

    async def _start_lane(self, browser: Browser) -> None:
        self._starting[browser.id] += 1
        try:
            lane = await browser.start_lane(self._sizes.threads(browser), _LANE_START)
        finally:
            self._starting[browser.id] -= 1
        # The browser may have ended during the start. Nobody else knows of this lane yet, so nobody else closes it.
        if browser.id not in self.registry.browsers:
            await lane.close()
            raise BrowserLost(f"Browser {browser.id} was given up while lane {lane.id} started.", browser=browser.id)
        self.registry.add_lane(lane)
        started = LaneStarted(lane.id)
        extra = {**log_fields(started), "runtime": lane.runtime}
        log.info("lane %s is ready: %s", lane.id, lane.runtime, extra=extra)
        self._owner.announce(started)

    # Retirement

    def retire(self, lane: Lane, cause: str) -> None:
        """Give a lane nothing more, and end it once it has answered what it has. A browser ends with its last lane.

        Args:
            lane: The lane.
            cause: Why, in words.
        """
        state = self.registry.retire_lane(lane, cause)
        if state is not None and not state.running:
            self.drained(lane)

    def retire_browser(self, browser: Browser, cause: str) -> bool:
        """Give a browser's lanes nothing more, and end it once they have answered what they have.

        Args:
            browser: The browser.
            cause: Why, in words.

        Returns:
            Whether it was counted on until now.
        """
        # Lanes first: a lane is only retired while its browser is registered.
        for lane in self.registry.lanes_of(browser):
            self.retire(lane, cause)
        if not self._unregister(browser, cause, lost=False):
            return False
        if not self.registry.lanes_of(browser):  # else the last lane to finish ends it
            self._tasks.spawn(self._close_browser(browser))
        return True

    def drained(self, lane: Lane) -> None:
        """Take note that a lane which is retiring has answered all that it had.

        Args:
            lane: The lane.
        """
        retirement = self.registry.retiring.get(lane.id)
        if retirement is not None and not self._closed:
            self._tasks.spawn(self._finish_retiring(retirement))

    async def _finish_retiring(self, retirement: Retirement) -> None:
        """End a lane that has answered what it had, and its browser after the last one."""
        lane, browser, cause = retirement.lane, retirement.browser, retirement.cause
        ended = LaneEnded(lane.id, "", cause, lost=False)
        log.info("lane %s is retired: %s", lane.id, cause, extra=log_fields(ended))
        await browser.stop_lane(lane)
        if self.registry.retiring.pop(lane.id, None) is None:
            return
        self._owner.announce(ended)
        if self.registry.lanes_of(browser):
            return
        if browser in self.registry.ending:
            await self._close_browser(browser)
        elif not self._starting[browser.id]:
            await self._end(browser, cause, lost=False)

    # Ends

    async def close(self) -> None:
        """End every browser.

        All at once: what hangs does not answer the closing of its socket until it is killed.
        """
        self._closed = True  # first: the losses that follow must replace nothing
        await self._tasks.close()
        registry = self.registry
        lanes = (*registry.lanes.values(), *(retirement.lane for retirement in registry.retiring.values()))
        browsers = {*registry.browsers.values(), *registry.ending}
        await asyncio.gather(*(lane.close() for lane in lanes), *(browser.close() for browser in browsers))
        registry.clear()

    async def _give_up(self, browser: Browser, error: WebinferError) -> None:
        """End a browser that starts no lane any more."""
        if browser.id in self.registry.browsers:
            extra = {"browser": browser.id, "code": error.code}
            log.warning("browser %s starts no lane any more: %s", browser.id, error, extra=extra)
            await self._end(browser, f"It starts no lane any more: {error}")

    async def _end(self, browser: Browser, cause: str, lost: bool = True) -> None:
        """End a browser that is not useful any more, with its lanes."""
        if self._unregister(browser, cause, lost):
            await self._close_browser(browser)

    def _unregister(self, browser: Browser, cause: str, lost: bool = True) -> bool:
        """Return whether a browser was counted on until now. It is not any more."""
        if not self.registry.remove_browser(browser):
            return False
        event = BrowserEnded(browser.id, browser.name, cause, lost)
        end = "is lost" if lost else "is retired"
        sentence = cause if browser.id in cause else f"browser {browser.id} {end}: {cause}"
        log.log(logging.WARNING if lost else logging.INFO, "%s", sentence, extra=log_fields(event))
        self._owner.announce(event)
        return True

    async def _close_browser(self, browser: Browser) -> None:
        """End the processes of a browser that is not counted on any more.

        Its lanes are closed beside it, each in a task of its own: what hangs does not answer the closing of its socket
        until it is killed.
        """
        for lane in self.registry.lanes_of(browser):
            lane.lose(LaneLost(f"Lane {lane.id} was closed with its browser."))
        self._owner.advance()  # its successor need not wait for the end
        await browser.close()
        self.registry.ending.discard(browser)
