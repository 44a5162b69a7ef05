"""Rows of what a pool announces: browsers, loads, batches, faults and recoveries."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from webinfer.core.placement import LaneId
from webinfer.pool.events import (
    BatchFinished,
    BrowserEnded,
    BrowserRefused,
    BrowserStarted,
    Event,
    HeartbeatMissed,
    LaneEnded,
    LaneStarted,
    LoadFailedEvent,
    RunFailedEvent,
    RunFinished,
    SessionLoaded,
)
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.pool import Pool
from webinfer.telemetry.counters.bounded import Ended
from webinfer.telemetry.counters.counters import Counters
from webinfer.telemetry.recorder.rows import RunRows
from webinfer.telemetry.sampler import Sampler


class EventRows:
    """Writes the rows of a pool's events; call it with each one.

    Args:
        rows: The run's rows.
        pool: The pool.
        counters: What its events are counted by.
    """

    def __init__(self, rows: RunRows, pool: Pool, counters: Counters) -> None:
        self._rows = rows
        self._pool = pool
        self._browsers: dict[str, int] = {}  # ids of rows, of browsers that ended lately as well
        self._ended = Ended(self._browsers)
        self._running: dict[str, int] = {}  # the same, of those that run
        self._lost: dict[str, deque[float]] = {"lane": deque(), "browser": deque()}  # when, and not replaced yet
        self._sampler = Sampler(pool, counters, rows.add, self._running)

    def __repr__(self) -> str:
        return f"<EventRows browsers={len(self._running)}>"

    def close(self) -> None:
        """Write the end of the browsers that run."""
        now = self._rows.store.clock.now()
        for row in self._running.values():
            self._rows.store.add("browsers", id=row, ended=now, lost=False, cause="the accelerator was closed")

    def __call__(self, event: Event) -> None:
        """Write the rows of an event."""
        if isinstance(event, RunFinished):  # first, as there are many
            self._sampler.answered()
            if event.attempts > 1 and self._rows.requests and event.recorded:
                self._rows.add("recoveries", kind="request", place=str(event.lane))
            return
        requests = self._rows.requests
        match event:
            case BatchFinished() if requests and event.recorded:
                self._rows.add("batches", **_where(event.lane, event.key), size=event.size, seconds=event.run)
            case SessionLoaded() | LoadFailedEvent():
                self._load(event)
            case RunFailedEvent() if requests and event.recorded:
                tried = {"attempts": event.attempts, "retried": event.retried}
                self._fault("request", event.code, event.lane, event.reason, event.key, **tried)
            case LaneStarted():
                self._rows.sessions.lane_started(event.lane, self._browsers.get(event.lane.browser))
                self._replaced("lane", event.lane)
            case HeartbeatMissed() if event.browser in self._running:
                row = self._running[event.browser]
                self._rows.store.add("browsers", id=row, heartbeat_failures=event.missed)
            case LaneEnded():
                self._rows.sessions.lane_ended(event.lane)
                if event.lost:
                    self._lost["lane"].append(time.monotonic())
                    self._fault("lane", event.code, event.lane, event.cause)
            case BrowserStarted():
                self._browser_started(event)
            case BrowserRefused():
                self._rows.add("browsers", name=event.name, cause=event.cause)
                self._fault("launch", event.code, event.name, event.cause)
            case BrowserEnded():
                self._browser_ended(event)

    def _load(self, event: SessionLoaded | LoadFailedEvent) -> None:
        key = event.key
        row = {**_where(event.lane, key), "precision": key.precision, "shape": dict(key.dimensions)}
        row["browser"] = self._browsers.get(event.lane.browser)
        if isinstance(event, LoadFailedEvent):
            self._rows.add("loads", **row, error_code=event.code, error=event.reason)
            self._fault("load", event.code, event.lane, event.reason, key)
        else:
            spent = {"seconds": event.seconds, "fetch_time": event.fetch, "create_time": event.create}
            self._rows.add("loads", **row, **spent, nbytes=event.nbytes, stored=event.stored)

    def _browser_started(self, event: BrowserStarted) -> None:
        capabilities = self._pool.browsers[event.browser].capabilities
        row = self._rows.add(
            "browsers",
            label=event.browser,
            name=event.name,
            engine=capabilities.engine,
            engine_version=event.engine_version,
            adapter=str(capabilities.adapter) if capabilities.adapter else None,
            backends=capabilities.backends,
            verdicts={backend: capabilities.verdict(backend).kind for backend in capabilities.backends},
            pid=event.pid,
            launch_seconds=event.seconds,
            heartbeat_failures=0,
            details={"report": capabilities.report},
            started=self._rows.store.clock.now(),
        )
        self._browsers[event.browser] = self._running[event.browser] = row
        self._replaced("browser", event.browser)

    def _browser_ended(self, event: BrowserEnded) -> None:
        row = self._running.pop(event.browser, None)
        if row is not None:
            self._ended.add(event.browser)
            now = self._rows.store.clock.now()
            self._rows.store.add("browsers", id=row, ended=now, lost=event.lost, cause=event.cause)
        if event.lost:
            self._lost["browser"].append(time.monotonic())
            self._fault("browser", "lost.browser", event.browser, event.cause)

    def _replaced(self, kind: str, place: LaneId | str) -> None:
        """Write how long it took until something was there in place of what was lost."""
        # In order of the losses: the pool does not say what takes the place of what.
        if self._lost[kind]:
            seconds = time.monotonic() - self._lost[kind].popleft()
            self._rows.add("recoveries", kind=kind, place=str(place), seconds=seconds)

    def _fault(
        self, kind: str, code: str, place: LaneId | str | None, reason: str, key: SessionKey | None = None, **tried: Any
    ) -> None:
        of = {"model": key.model, "backend": key.backend} if key else {}
        where = None if place is None else str(place)
        self._rows.add("faults", kind=kind, code=code, place=where, reason=reason, **of, **tried)


def _where(lane: LaneId, key: SessionKey) -> dict[str, Any]:
    return {"lane": str(lane), "model": key.model, "backend": key.backend}
