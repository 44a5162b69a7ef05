"""Worn and overgrown lanes and browsers, replaced: ``plan.recycling`` carried out."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping

import psutil

from webinfer.browsers.browser import Browser
from webinfer.browsers.lane import Lane
from webinfer.core.errors import WebinferError
from webinfer.core.lifetime.background import Tasks
from webinfer.core.options import Options
from webinfer.core.placement import LaneId
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.fleet.launcher import Launcher
from webinfer.pool.plan.recycling import REST, SAMPLES, Sample, Wear, limit_of, overgrown, pressing

log = logging.getLogger("webinfer.recycler")

_INTERVAL = 2.0
"""Seconds between measurements, at least: one takes the kernel some 10 ms for each process. They are taken after
something happened, so an idle fleet is not measured."""

_MB = 1e6


class Recycler:
    """Replaces what is worn by age or runs, or takes too much memory.

    Args:
        fleet: The browsers and lanes.
        launcher: Starts browsers in the place of others.
        options: Options of the accelerator.

    Attributes:
        on: Whether there is anything to see to.
        full: Names of browsers that take more memory than they may.
    """

    def __init__(self, fleet: Fleet, launcher: Launcher, options: Options) -> None:
        self._limits: dict[str, float] = {}
        self.full: set[str] = set()
        self._fleet = fleet
        self._launcher = launcher
        self._registry = fleet.registry
        self._options = options
        self._lane = Wear(options.max_lane_age, options.max_lane_runs)
        self._browser = Wear(options.max_browser_age)
        self._runs: dict[LaneId, int] = {}  # of lanes that are gone too
        self._samples: dict[str, deque[Sample]] = {}  # by browser's id
        self._relieved: dict[str, float] = {}  # when, by browser's name
        self._renewing: set[LaneId] = set()
        self._measured = 0.0  # when, last
        self._timer: asyncio.TimerHandle | None = None  # of the next measurement
        self._tasks = Tasks()
        self.on = self._watches_memory = False
        self.limit(options.memory_limits or {})

    def __repr__(self) -> str:
        return f"<Recycler limits={self._limits} full={sorted(self.full)}>"

    def limit(self, limits: Mapping[str, float]) -> None:
        """Limit the megabytes that browsers, by name, may take; those that are not named keep their limits.

        Args:
            limits: Megabytes by name.
        """
        self._limits.update(limits)
        options = self._options
        limited = bool(self._limits) or options.max_growth_mb is not None
        self._watches_memory = limited or options.restart_on_memory_pressure
        self.on = self._watches_memory or Wear() != self._lane or Wear() != self._browser

    def look(self) -> None:
        """Replace what is worn, and measure the memory if it is time to."""
        now = asyncio.get_running_loop().time()
        for lane in tuple(self._registry.lanes.values()):
            state = self._registry.states[lane.id]
            if self._watches_memory:
                self._runs[lane.id] = state.runs
            if why := self._lane.worn(now - lane.born, state.runs):
                self._renew(lane, why)
        for browser in tuple(self._registry.browsers.values()):
            if why := self._browser.worn(now - browser.born, 0):
                self._launcher.replace(browser, f"It is replaced: {why}.")
        if self._watches_memory and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(
                max(now, self._measured + _INTERVAL), self._start_measuring
            )

    async def close(self) -> None:
        """Replace nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.close()

    def _renew(self, lane: Lane, why: str) -> None:
        state = self._registry.states.get(lane.id)
        loading = state is not None and state.loading is not None  # that would be lost
        if lane.id not in self._renewing and not loading:
            extra = {"event": "recycling", "lane": str(lane.id), "reason": why}
            log.info("lane %s is replaced: %s", lane.id, why, extra=extra)
            self._renewing.add(lane.id)
            self._tasks.spawn(self._replace(lane, f"It is replaced: {why}."))

    async def _replace(self, lane: Lane, cause: str) -> None:
        browser = self._registry.browsers.get(lane.id.browser)
        try:
            if browser is not None:
                await self._fleet.add_lane(browser)  # before the old one ends: a browser ends with its last lane
                self._fleet.retire(lane, cause)
        except WebinferError as error:
            extra = {"event": "recycling_failed", "lane": str(lane.id), "code": error.code}
            log.warning("lane %s is worn and cannot be replaced for now: %s", lane.id, error, extra=extra)
            # Not again at once: every event looks at this lane, and what kept the new one from starting may last.
            asyncio.get_running_loop().call_later(REST, self._renewing.discard, lane.id)
        else:
            self._renewing.discard(lane.id)

    def _start_measuring(self) -> None:
        self._timer = None
        self._measured = asyncio.get_running_loop().time()
        self._tasks.spawn(self._measure(self._measured))

    async def _measure(self, now: float) -> None:
        browsers = list(self._registry.browsers.values())
        memory = await self._fleet.memory()  # browsers may come and go meanwhile, so sizes are matched by id
        sizes = [memory.get(browser.id, 0) for browser in browsers]
        ids = {browser.id for browser in browsers}
        self._runs = {lane: runs for lane, runs in self._runs.items() if lane.browser in ids}
        self._samples = {name: self._samples.get(name) or deque(maxlen=2 * SAMPLES) for name in ids}
        for browser, size in zip(browsers, sizes, strict=True):
            samples = self._samples[browser.id]
            runs = sum(runs for lane, runs in self._runs.items() if lane.browser == browser.id)
            samples.append(Sample(runs, size / _MB))
            name = browser.name
            why = overgrown(samples, limit_of(name, self._limits), self._options.max_growth_mb)
            self.full.add(name) if why else self.full.discard(name)
            if why:
                self._relieve(browser, why, now)
        machine = psutil.virtual_memory()
        if self._options.restart_on_memory_pressure and browsers and pressing(machine.available, machine.total):
            largest = max(zip(sizes, browsers, strict=True), key=lambda measured: measured[0])[1]
            self._relieve(largest, f"the machine has {machine.available / _MB:.0f} MB left", now)

    def _relieve(self, browser: Browser, why: str, now: float) -> None:
        """Have a browser give memory back: all of it, or what its lanes hold."""
        name = browser.name
        if now - self._relieved.get(name, float("-inf")) < REST or browser.id not in self._registry.browsers:
            return
        extra = {"event": "relief", "browser": browser.id, "browser_name": name, "reason": why}
        log.warning("browser %s (%s) is relieved: %s", browser.id, name, why, extra=extra)
        self._relieved[name] = now
        self._samples.pop(browser.id, None)
        if self._options.restart_on_memory_pressure:
            self._launcher.replace(browser, f"It is restarted: {why}.")
            return
        for lane in tuple(self._registry.lanes.values()):
            if lane.id.browser == browser.id:
                self._renew(lane, why)
