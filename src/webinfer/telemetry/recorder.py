"""What is recorded of an accelerator: every result, and what its pool announces, as totals and as rows."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import asdict, fields
from operator import attrgetter, itemgetter
from typing import Any

import psutil

from webinfer.accuracy.comparison import limits_for
from webinfer.accuracy.record import Accuracy
from webinfer.core.capabilities import Verdict
from webinfer.core.lane_id import LaneId
from webinfer.core.options import Options
from webinfer.core.version import package_version
from webinfer.inference.result import ModelDescription, Result
from webinfer.inference.route import Decision
from webinfer.models.files.package import ModelPackage
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
from webinfer.pool.requests.request import Request, is_recorded
from webinfer.telemetry.counters.aggregate import Aggregate
from webinfer.telemetry.counters.bounded import Ended, Kept
from webinfer.telemetry.database.connection import MEMORY
from webinfer.telemetry.database.machine import machine, revision
from webinfer.telemetry.database.store import Entry, Store
from webinfer.telemetry.report import report as write_report
from webinfer.telemetry.sampler import Sampler
from webinfer.telemetry.tracing import trace_failure, trace_result

_MEASURED = ("times", "items", "batch", "attempts")  # they differ from request to request
_ELSEWHERE = ("outputs", "model_cid", "accuracy", "decision")  # they are not kept, or not with what requests share
_DESCRIBED = tuple(field.name for field in fields(Result) if field.name not in (*_MEASURED, *_ELSEWHERE))
_PLAIN = (str, int, float, bool, type(None), Verdict)
_COLUMNS = {"model": "model_name", "model_sha256": "model", "browser": "browser_name"}  # of sessions, by field

_described = attrgetter(*_DESCRIBED)
_place = itemgetter(_DESCRIBED.index("model_sha256"), _DESCRIBED.index("lane"))

_LANES, _SESSIONS, _MODELS = 1000, 1000, 10_000  # that rows are known of; sessions of each lane


class _Rows:
    """What is known of a lane's rows: ids of sessions, by all that describes them, and the last one of each model."""

    __slots__ = ("last", "sessions")

    def __init__(self) -> None:
        self.last: Kept[str, tuple[tuple[Any, ...], int]] = Kept(_SESSIONS)
        self.sessions: Kept[tuple[Any, ...], int] = Kept(_SESSIONS)


class Recorder:
    """A listener of a pool's events that is told of every result, too.

    Args:
        aggregate: Running totals.

    Attributes:
        store: Where rows go, once ``open`` was called; ``None`` without a database.
    """

    def __init__(self, aggregate: Aggregate) -> None:
        self.store: Store | None = None
        self._aggregate = aggregate
        self._pool: Pool | None = None
        self._run = 0
        self._requests = True
        self._browsers: dict[str, int] = {}  # rows, by the browsers' labels, of those that ended lately as well
        self._ended = Ended(self._browsers)
        self._up: dict[str, int] = {}  # the same, of those that run
        self._lanes: Kept[str | None, _Rows] = Kept(_LANES)  # rows of sessions
        self._ended_lanes = Ended(self._lanes)
        self._lane_browsers: Kept[str, int | None] = Kept(_LANES)  # rows, by the lanes as results show them
        self._checked: Kept[tuple[tuple[str, str], ...], bool] = Kept(_MODELS)  # combinations whose accuracy has a row
        self._limits: Mapping[str, Mapping[str, float]] | None = None
        self._lost: dict[str, deque[float]] = {"lane": deque(), "browser": deque()}  # when, not made good yet
        self._cached: Kept[str, bool] = Kept(_MODELS)  # of those from IPFS, whether nothing had to be fetched
        self._sampler: Sampler | None = None

    def __repr__(self) -> str:
        return f"<Recorder {self.store or 'without a database'}>"

    def open(self, store: Store, options: Options) -> None:
        """Record in a database from now on."""
        here = machine()
        store.add("machines", **here)
        self._run = store.add(
            "runs",
            machine=here["id"],
            started=store.clock.now(),
            pid=psutil.Process().pid,
            version=package_version(),
            revision=revision(),
            options=asdict(options),
        )
        self.store, self._requests, self._limits = store, options.store_results, options.accuracy_limits

    def watch(self, pool: Pool) -> None:
        """Listen to a pool."""
        self._pool = pool
        self._sampler = Sampler(pool, self._add, self._up)
        pool.listen(self)

    def model(self, package: ModelPackage) -> None:
        """Take down a model that was loaded."""
        if self.store is not None:
            known = {name: getattr(package, name) for name in ("name", "cid", "family", "weights", "nbytes", "origin")}
            if "from" in package.quantized:
                known["variant_of"] = package.quantized["from"]
            self.store.add("models", sha256=package.sha256, **known)
            if package.cached is not None and package.sha256 not in self._cached:
                self._cached.keep(package.sha256, package.cached)

    def checked(self, model: ModelDescription, browser: str, accuracy: Accuracy) -> None:
        """Take down how a model's answers in a browser compare with the reference, whatever followed from it."""
        if self.store is not None:
            self.store.put(self._checks, (model, browser, accuracy))

    def hit(self, found: bool) -> None:
        """Take down a look-up of a model: found loaded, or not."""
        self._aggregate.hit(found)

    async def take(self, model: ModelDescription, request: Request, work: Awaitable[Result]) -> Result:
        """Await a result, and take it down, or that it failed."""
        began = time.perf_counter()
        try:
            result = await work
        except BaseException as error:
            self.failed(error, model, request, time.perf_counter() - began)
            raise
        self.answered(result, request.recorded)
        trace_result(result)
        return result

    def answered(self, result: Result, recorded: bool = True) -> None:
        """Take down a result. What the loop's thread does here for each, in microseconds, requests wait for."""
        now = time.perf_counter()
        self._aggregate.answered(result, now)
        store = self.store
        if store is not None and self._requests and recorded:
            now = store.clock.at(now)
            session = self._session(now, _described(result), result.decision)
            if session is not None:
                store.answer(result, self._run, session, now)

    def failed(
        self, error: BaseException, model: ModelDescription, request: Request | None = None, seconds: float = 0.0
    ) -> None:
        """Take down a request that failed, or whose caller gave it up; ``None`` for one that did not come about."""
        trace_failure(error, model, request, seconds)
        store = self.store
        if store is not None and self._requests and (request.recorded if request else is_recorded()):
            code = getattr(error, "code", "cancelled" if isinstance(error, asyncio.CancelledError) else "unknown")
            lane = str(request.place.id) if request and request.place else None
            session = self._session(store.clock.now(), _failed(model, lane))
            if session is not None:
                spent = time.perf_counter() - request.submitted if request and request.submitted else None
                tried = {"items": request.items, "batch": request.together} if request else {}
                tried["attempts"] = request.attempts if request else 0
                told = {"error_code": code, "error": str(error)}
                self._add("inferences", session=session, total=spent, **tried, **told)

    def report(self, format: str) -> str:
        """Write a report of this run. It waits for the disk."""
        assert self.store is not None
        status = self.store.status
        loss = status.error or (f"{status.dropped:,} rows were lost so far." if status.dropped else None)
        with self.store.reading() as connection:
            return write_report(connection, format, runs=[self._run], path=_named(self.store.path), loss=loss)

    def close(self) -> None:
        """Write what is left. It waits for the disk."""
        if self.store is not None:
            now, dropped, jumps = self.store.clock.now(), self.store.status.dropped, self.store.clock.jumps
            for row in self._up.values():
                self.store.add("browsers", id=row, ended=now, lost=False, cause="the accelerator was closed")
            self.store.add("runs", id=self._run, ended=now, dropped=dropped, clock_jumps=jumps)
            self.store.close()

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        store = self.store
        if store is None:
            return
        match event:
            case RunFinished():
                assert self._sampler is not None
                self._sampler.answered(event.items, event.total)
                if event.attempts > 1 and self._requests and event.recorded:
                    self._add("recoveries", kind="request", place=str(event.lane))
            case BatchFinished() if self._requests and event.recorded:
                self._add("batches", **_where(event.lane, event.key), size=event.size, seconds=event.run)
            case SessionLoaded() | LoadFailedEvent():
                self._load(event)
            case RunFailedEvent() if self._requests and event.recorded:
                tried = {"attempts": event.attempts, "retried": event.retried}
                place = str(event.lane) if event.lane else None
                self._fault("request", event.code, place, event.reason, event.key, **tried)
            case LaneStarted():
                self._made_good("lane", str(event.lane))
                self._lane_browsers.keep(str(event.lane), self._browsers.get(event.lane.browser))
            case HeartbeatMissed() if event.browser in self._up:
                store.add("browsers", id=self._up[event.browser], heartbeat_failures=event.missed)
            case LaneEnded():
                self._ended_lanes.add(str(event.lane))
                if event.lost:
                    self._lost["lane"].append(time.monotonic())
                    self._fault("lane", event.code, str(event.lane), event.cause)
            case BrowserStarted() | BrowserRefused() | BrowserEnded():
                self._browser(event)

    def _load(self, event: SessionLoaded | LoadFailedEvent) -> None:
        key = event.key
        row = {**_where(event.lane, key), "precision": key.precision, "shape": dict(key.dimensions)}
        row["browser"] = self._browsers.get(event.lane.browser)
        if isinstance(event, LoadFailedEvent):
            self._add("loads", **row, error_code=event.code, error=event.reason)
            self._fault("load", event.code, str(event.lane), event.reason, key)
        else:
            spent = {"seconds": event.seconds, "fetch_time": event.fetch, "create_time": event.create}
            self._add("loads", **row, **spent, nbytes=event.nbytes, stored=event.stored)

    def _browser(self, event: BrowserStarted | BrowserRefused | BrowserEnded) -> None:
        assert self.store is not None
        now = self.store.clock.now()
        if isinstance(event, BrowserStarted):
            row = self._add("browsers", **self._describe(event), started=now)
            self._browsers[event.browser] = self._up[event.browser] = row
            self._made_good("browser", event.browser)
        elif isinstance(event, BrowserRefused):
            self._add("browsers", name=event.name, cause=event.cause, run=self._run)
            self._fault("launch", event.code, event.name, event.cause)
        else:
            if event.browser in self._up:
                row = self._up.pop(event.browser)
                self._ended.add(event.browser)
                self.store.add("browsers", id=row, ended=now, lost=event.lost, cause=event.cause)
            if event.lost:
                self._lost["browser"].append(time.monotonic())
                self._fault("browser", "lost.browser", event.browser, event.cause)

    def _describe(self, event: BrowserStarted) -> dict[str, Any]:
        assert self._pool is not None
        capabilities = self._pool.browsers[event.browser].capabilities
        return {
            "label": event.browser,
            "name": event.name,
            "engine": capabilities.engine,
            "engine_version": event.engine_version,
            "adapter": str(capabilities.adapter) if capabilities.adapter else None,
            "backends": capabilities.backends,
            "verdicts": {backend: capabilities.verdict(backend).kind for backend in capabilities.backends},
            "pid": event.pid,
            "launch_seconds": event.seconds,
            "heartbeat_failures": 0,
            "details": {"report": dict(capabilities.report)},
        }

    def _made_good(self, kind: str, place: str) -> None:
        if self._lost[kind]:
            self._add("recoveries", kind=kind, place=place, seconds=time.monotonic() - self._lost[kind].popleft())

    def _fault(
        self, kind: str, code: str, place: str | None, reason: str, key: SessionKey | None = None, **tried: Any
    ) -> None:
        of = {"model": key.model, "backend": key.backend} if key else {}
        self._add("faults", kind=kind, code=code, place=place, reason=reason, **of, **tried)

    def _add(self, table: str, **values: Any) -> int:
        assert self.store is not None
        return self.store.add(table, **{"run": self._run, **values})

    def _session(self, now: float, described: tuple[Any, ...], decision: Decision | None = None) -> int | None:
        """Return the row of a session, which is written where it is new; ``None`` if there is no room for it."""
        model, lane = _place(described)
        known = self._lanes.recall(lane) or self._lanes.keep(lane, _Rows())
        last = known.last.get(model)
        if last is not None and last[0] == described:
            return last[1]
        key = tuple(value if isinstance(value, _PLAIN) else repr(value) for value in described)
        session = known.sessions.recall(key)
        if session is None:
            assert self.store is not None
            session = self.store.next_id()
            if not self.store.put(self._new_session, (now, session, described, decision)):
                return None
            known.sessions.keep(key, session)
        known.last.keep(model, (described, session))
        return session

    # On the writer's thread

    def _checks(self, payload: tuple[ModelDescription, str, Accuracy]) -> Iterable[Entry]:
        """Yield how a model's answers compared with the reference, once for each that was compared."""
        assert self.store is not None
        model, browser, accuracy = payload
        about = tuple(accuracy.combination.items())
        if about in self._checked or not accuracy.tried:
            return
        self._checked.keep(about, True)
        row = {
            "run": self._run,
            "timestamp": accuracy.at,
            "model": model.package.sha256,
            "model_name": model.package.name,
            "precision": model.precision,
            "backend": model.backend,
            "browser_name": browser,
            "reference": f"onnxruntime {accuracy.reference}".strip(),
            "nbytes": model.package.nbytes,
            "details": accuracy.to_dict(),
        }
        for name, value, limit, passed in accuracy.measures(limits_for(model.precision, self._limits)):
            measured = {"metric": name, "value": value, "threshold": limit, "passed": passed}
            yield self.store.entry("accuracy_checks", id=self.store.next_id(), **measured, **row)

    def _new_session(self, payload: tuple[float, int, tuple[Any, ...], Decision | None]) -> Iterable[Entry]:
        assert self.store is not None
        now, session, described, decision = payload
        values = {_COLUMNS.get(name, name): value for name, value in zip(_DESCRIBED, described, strict=True)}
        verdict = values["verdict"]
        if verdict is not None:
            values |= {"verdict": verdict.kind, "evidence": verdict.evidence}
        values["decision"] = decision.to_dict() if decision is not None else None
        values["compute_shader_optimized"] = values["audio_shader"] is not None
        values["ipfs_cache_hit"] = self._cached.get(values["model"])
        values["precompile_shaders"] = bool(values["warmed"]) and values["backend"] == "webgpu"
        browser = self._lane_browsers.get(values["lane"])
        yield self.store.entry("sessions", id=session, run=self._run, timestamp=now, browser=browser, **values)


def _failed(model: ModelDescription, lane: str | None) -> tuple[Any, ...]:
    """Return how a request that failed is described: what it did not come to is ``None``."""
    package = model.package
    known = {"model": package.name, "model_sha256": package.sha256, "family": package.family, "lane": lane}
    known |= {"weights": package.weights, "backend": model.backend, "precision": model.precision}
    return tuple(known.get(name) for name in _DESCRIBED)


def _named(path: str) -> str:
    return "" if path == MEMORY else path


def _where(lane: LaneId, key: SessionKey) -> dict[str, Any]:
    return {"lane": str(lane), "model": key.model, "backend": key.backend}
