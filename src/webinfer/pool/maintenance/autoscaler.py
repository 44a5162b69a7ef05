"""Lanes that come and go with the work: ``plan.scaling`` carried out."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Set

from webinfer.core.errors import WebinferError
from webinfer.core.lifetime.background import Tasks
from webinfer.core.options import Options
from webinfer.core.placement import LaneId
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.fleet.launcher import Launcher
from webinfer.pool.plan.affinity import home
from webinfer.pool.plan.assignment import LaneState, State
from webinfer.pool.plan.scaling import BrowserLoad, LaneLoad, ScalingLimits, scale
from webinfer.pool.requests.queue import Queues

log = logging.getLogger("webinfer.scaler")


class Scaler:
    """Starts lanes while requests wait, and ends idle ones.

    Args:
        fleet: The browsers and lanes.
        launcher: Knows which browsers have started.
        state: What the scheduler knows.
        queues: What waits.
        options: Options of the accelerator.
        full: Names of browsers that may not grow.
    """

    def __init__(
        self, fleet: Fleet, launcher: Launcher, state: State, queues: Queues, options: Options, full: Set[str]
    ) -> None:
        self._fleet = fleet
        self._launcher = launcher
        self._state = state
        self._queues = queues
        self._limits = ScalingLimits(options.min_lanes or 0, options.lanes, options.idle_timeout)
        self._full = full
        self._rested: dict[LaneId, tuple[int, float]] = {}  # by idle lane: its runs, and since when it has had no more
        self._pressed: dict[str, float] = {}  # by browser's name: since when its lanes have had no room
        self._starting: Counter[str] = Counter()  # lanes, by browser's name
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = Tasks()

    def __repr__(self) -> str:
        return f"<Scaler {self._limits.least} to {self._limits.most} lanes, starting={self._starting.total()}>"

    def look(self) -> None:
        """Start and end lanes, as far as it is time to."""
        now = asyncio.get_running_loop().time()
        todo = scale(self._loads(now), self._limits, now)
        for name in todo.grow:
            log.info(
                "requests wait: browser %s gets a further lane", name, extra={"event": "scaling", "browser_name": name}
            )
            self._starting[name] += 1
            self._tasks.spawn(self._grow(name))
        for lane in todo.end:
            self._fleet.retire(self._fleet.registry.lanes[lane], f"It was idle for {self._limits.idle:g} s.")
        self._wake(todo.wake)

    async def close(self) -> None:
        """Start and end nothing any more."""
        self._wake(None)
        await self._tasks.close()

    async def _grow(self, name: str) -> None:
        browser = self._launcher.up(name)
        try:
            if browser is not None:
                await self._fleet.add_lane(browser)
        except WebinferError as error:
            extra = {"event": "scaling_failed", "browser_name": name, "code": error.code}
            log.warning("browser %s gets no further lane: %s", name, error, extra=extra)
        finally:
            self._starting[name] -= 1
            self._pressed.pop(name, None)  # to be counted anew, with the new lane
        self.look()  # the load may be over by now, and nothing else would look when the lanes have been idle enough

    def _loads(self, now: float) -> list[BrowserLoad]:
        lanes: dict[str, list[LaneState]] = {}
        for lane in self._state.lanes.values():
            lanes.setdefault(lane.browser, []).append(lane)
        rested, self._rested = self._rested, {}  # built anew at every look, so that lanes that are gone drop out
        waiting = {
            home(key.browsers, key.subject, self._state.browsers)
            for _, level in self._queues.levels()
            for key, queue in level.items()
            if queue
        }
        return [self._load(name, own, name in waiting, rested, now) for name, own in lanes.items()]

    def _load(
        self, name: str, own: list[LaneState], wanted: bool, rested: dict[LaneId, tuple[int, float]], now: float
    ) -> BrowserLoad:
        pressed = self._pressed_since(name, wanted and not any(map(self._has_room, own)), now)
        return BrowserLoad(
            name,
            [LaneLoad(lane.id, self._idle_since(lane, rested, now)) for lane in own],
            self._starting[name],
            pressed,
            name in self._full,
        )

    @staticmethod
    def _has_room(lane: LaneState) -> bool:
        """Return whether a lane could take what waits, or soon will; then what waits gathers for a batch."""
        return not lane.running or lane.loading is not None

    def _idle_since(self, lane: LaneState, rested: dict[LaneId, tuple[int, float]], now: float) -> float | None:
        if lane.running or lane.loading:
            return None
        # Another number of runs than at the last look: it has worked in between, though it is idle at both.
        runs, since = rested.get(lane.id, (-1, now))
        self._rested[lane.id] = lane.runs, since if runs == lane.runs else now
        return self._rested[lane.id][1]

    def _pressed_since(self, name: str, pressed: bool, now: float) -> float | None:
        if not pressed:
            self._pressed.pop(name, None)
            return None
        return self._pressed.setdefault(name, now)

    def _wake(self, at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self.look) if at is not None else None
