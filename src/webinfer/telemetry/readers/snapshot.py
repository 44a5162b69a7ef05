"""What an accelerator is doing at one moment: a tree of plain values, for people and for programs."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from webinfer.browsers.lane import Lane
from webinfer.core.placement import Placement
from webinfer.core.tensors import DTYPES
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.pool import Pool
from webinfer.pool.requests.request import Request
from webinfer.telemetry.counters.counters import Counters
from webinfer.telemetry.counters.counts import Counts
from webinfer.telemetry.counters.gauges import measure
from webinfer.telemetry.counters.recent import Fault, Recent
from webinfer.telemetry.counters.series import LaneCounts, SessionCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSnapshot:
    """A session: one model for one backend, precision and set of fixed dimensions.

    Attributes:
        model: The model's name.
        model_sha256: The hash of its file.
        backend: Backend that was asked for.
        precision: Its precision.
        dimensions: Its fixed dimensions.
        placement: Which backend each node went to. ``None`` where the runtime does not report it, of a session that is
            not created yet, and of a queue whose lanes differ.
    """

    model: str
    model_sha256: str
    backend: str
    precision: str
    dimensions: dict[str, int]
    placement: Placement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSnapshot:
    """A lane.

    Attributes:
        id: Its name, ``b1.1``.
        runtime: Name, version and bundle of its runtime.
        sessions: Sessions that it holds.
        loading: The session that it is creating, if any.
        running: Requests sent to it and not yet answered.
        oldest: Seconds since the oldest of these was sent.
        runs: Requests that it answered.
        errors: Requests and loads that failed on it.
        busy: Seconds that it spent in the runtime's runs, of those that have ended.
        kept: Outputs that it keeps for callers; see the argument ``keep`` of ``Model.run``.
        kept_bytes: Their size.
    """

    id: str
    runtime: str
    sessions: tuple[SessionSnapshot, ...]
    loading: SessionSnapshot | None
    running: int
    oldest: float | None
    runs: int
    errors: int
    busy: float
    kept: int
    kept_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserSnapshot:
    """A browser.

    Attributes:
        id: Its name, ``b1``.
        name: Which browser it is: ``embedded``, ``firefox`` …
        engine: ``chromium``, ``firefox`` or ``webkit``.
        version: The engine's version.
        pid: Its main process; 0 of one that we did not start.
        uptime: Seconds since it was ready.
        memory_mb: Memory of its processes; ``None`` where it was not measured yet.
        lanes: Its lanes.
    """

    id: str
    name: str
    engine: str
    version: str
    pid: int
    uptime: float
    memory_mb: float | None
    lanes: tuple[LaneSnapshot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSnapshot:
    """What waits for a session.

    Attributes:
        session: The session.
        waiting: Requests that wait for a lane.
        oldest: Seconds that the oldest of these has waited.
        running: Requests on lanes.
        lanes: Lanes that hold the session.
        runs: Requests answered.
        errors: Attempts that failed.
    """

    session: SessionSnapshot
    waiting: int
    oldest: float | None
    running: int
    lanes: int
    runs: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over everything.

    Attributes:
        waiting: Requests that wait for a lane, now.
        running: Requests on lanes, now.
        runs: Requests answered.
        items: Their batch sizes, summed.
        loads: Sessions created.
        browser_mb: Memory of all browsers.
        python_mb: Resident memory of this process.
    """

    waiting: int
    running: int
    runs: int
    items: int
    loads: int
    browser_mb: float
    python_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What an accelerator is doing. Times are in seconds, memory in 10^6 bytes; nothing is estimated.

    Attributes:
        pid: The Python process.
        at: When, in seconds since 1970.
        uptime: Seconds since the accelerator was made.
        browsers: Its browsers and their lanes; none before the first ``start`` or ``load``.
        queue: What waits and runs, by session.
        totals: Sums over everything.
        recent: The runs of the last seconds.
        errors: Failed attempts of requests and loads, by code.
        recoveries: Counts of browsers and lanes started and lost, of requests run again, and of those answered then.
        faults: The last faults, the newest first.
    """

    pid: int
    at: float
    uptime: float
    browsers: tuple[BrowserSnapshot, ...]
    queue: tuple[QueueSnapshot, ...]
    totals: Totals
    recent: Recent
    errors: dict[str, int]
    recoveries: dict[str, int]
    faults: tuple[Fault, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, ready for JSON."""
        return asdict(self)


async def take(pool: Pool | None, counters: Counters) -> Snapshot:
    """Look at a pool, and at what was counted of it.

    Only the memory is measured, in threads; all else is read in one step of the loop, and so belongs together.

    Args:
        pool: The pool; ``None`` where nothing was started yet.
        counters: What its events were counted by.

    Returns:
        What is up, what waits, what was counted, and the memory that it takes.
    """
    gauges = await measure(pool)
    counts, now = counters.read(), counters.clock()
    queue = _queue(pool, counts) if pool is not None else ()
    return Snapshot(
        pid=os.getpid(),
        at=time.time(),
        uptime=now - counts.began,
        browsers=_browsers(pool, counts, gauges.memory) if pool is not None else (),
        queue=queue,
        totals=Totals(
            waiting=sum(session.waiting for session in queue),
            running=sum(session.running for session in queue),
            runs=counts.sum(lambda series: series.runs.answered),
            items=counts.sum(lambda series: series.runs.items),
            loads=counts.sum(lambda series: series.loads.count),
            browser_mb=gauges.browser_mb,
            python_mb=gauges.python_mb,
        ),
        recent=counts.recent.look(now),
        errors=dict(counts.faults_of("request", "load")),
        recoveries=_recoveries(counts),
        faults=counts.fault_log.look(now),
    )


def _recoveries(counts: Counts) -> dict[str, int]:
    return {
        "browsers_started": counts.starts.total(),
        "browsers_lost": counts.faults_of("browser").total(),
        "browsers_retired": counts.retired["browser"],
        "lanes_started": counts.lanes_started,
        "lanes_lost": counts.faults_of("lane").total(),
        "lanes_retired": counts.retired["lane"],
        "host_stalls": counts.faults_of("host").total(),
        "requests_rerun": counts.sum(lambda series: series.runs.retried),
        "requests_recovered": counts.recovered,
    }


def _browsers(pool: Pool, counts: Counts, memory: Mapping[str, float]) -> tuple[BrowserSnapshot, ...]:
    return tuple(
        BrowserSnapshot(
            id=browser.id,
            name=browser.installation.name,
            engine=browser.capabilities.engine,
            version=browser.capabilities.engine_version,
            pid=browser.pid,
            uptime=counts.uptime(browser.id),
            memory_mb=memory.get(browser.id),
            lanes=tuple(_lane(lane, pool, counts) for lane in pool.lanes.values() if lane.id.browser == browser.id),
        )
        for browser in pool.browsers.values()
    )


def _lane(lane: Lane, pool: Pool, counts: Counts) -> LaneSnapshot:
    state, own = pool.lane_states[lane.id], counts.lanes.get(lane.id, LaneCounts(0.0))
    now, flying = time.perf_counter(), pool.in_flight.get(lane.id, ())
    return LaneSnapshot(
        id=str(lane.id),
        runtime=lane.runtime,
        sessions=tuple(_session(key, counts, pool.placement(lane, key)) for key in state.loaded),
        loading=_session(state.loading, counts) if state.loading else None,
        running=len(flying),
        oldest=now - flying[0].dispatched if flying else None,
        runs=own.runs,
        errors=own.errors,
        busy=own.busy,
        kept=len(lane.kept),
        kept_bytes=sum(DTYPES[tensor.dtype].itemsize * math.prod(tensor.dims) for tensor in lane.kept.values()),
    )


def _queue(pool: Pool, counts: Counts) -> tuple[QueueSnapshot, ...]:
    """Return the queue of every session that is loaded, being loaded or wanted."""
    flying = Counter(request.key for requests in pool.in_flight.values() for request in requests)
    placed: dict[SessionKey, list[Placement | None]] = {}
    for lane in pool.lanes.values():
        for key in pool.lane_states[lane.id].loaded:
            placed.setdefault(key, []).append(pool.placement(lane, key))
    loading = dict.fromkeys(state.loading for state in pool.lane_states.values() if state.loading)
    keys = dict.fromkeys((*placed, *loading, *pool.waiting, *flying))
    return tuple(_waiting(key, pool.waiting.get(key, ()), flying[key], placed.get(key, ()), counts) for key in keys)


def _waiting(
    key: SessionKey, queue: Collection[Request], running: int, placed: Sequence[Placement | None], counts: Counts
) -> QueueSnapshot:
    own = counts.sessions.get(key, SessionCounts())
    agreed = placed[0] if placed and all(placement == placed[0] for placement in placed) else None
    return QueueSnapshot(
        session=_session(key, counts, agreed),
        waiting=len(queue),
        oldest=time.perf_counter() - min(request.submitted for request in queue) if queue else None,
        running=running,
        lanes=len(placed),
        runs=own.runs,
        errors=own.errors,
    )


def _session(key: SessionKey, counts: Counts, placement: Placement | None = None) -> SessionSnapshot:
    return SessionSnapshot(
        model=counts.names.short(key.model),
        model_sha256=key.model,
        backend=key.backend,
        precision=key.precision,
        dimensions=dict(key.dimensions),
        placement=placement,
    )
