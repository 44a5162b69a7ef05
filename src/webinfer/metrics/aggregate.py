"""Running totals of a pool's events, in the sections that the guide prints."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

import psutil

from webinfer.events import (
    BatchFinished,
    BrowserEnded,
    BrowserStarted,
    Event,
    LaneEnded,
    LoadFailed,
    RunFailed,
    SessionLoaded,
)
from webinfer.metrics.histogram import Histogram


class Spent(Protocol):
    """Times of a request, in seconds."""

    @property
    def queue(self) -> float: ...
    @property
    def wait(self) -> float: ...
    @property
    def run(self) -> float: ...
    @property
    def transfer(self) -> float: ...
    @property
    def total(self) -> float: ...


class Answer(Protocol):
    """What is counted and written of every result."""

    model_sha256: str
    browser: str
    items: int
    batch: int
    attempts: int

    @property
    def backend(self) -> str: ...
    @property
    def times(self) -> Spent: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What is so now, as far as counting events does not tell it.

    Attributes:
        queued: Requests waiting.
        queue_peak: The most that ever waited.
        running_peak: The most that ever ran.
        lanes: Lanes that are up.
        busy: Lanes that are running something.
        memory_mb: Memory of all browsers' processes.
        loaded: Names of the models that are loaded.
    """

    queued: int = 0
    queue_peak: int = 0
    running_peak: int = 0
    lanes: int = 0
    busy: int = 0
    memory_mb: float = 0.0
    loaded: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Totals:
    """Sums for one model, or for all."""

    loads: int = 0
    load_seconds: float = 0.0
    runs: int = 0
    items: int = 0
    run_seconds: float = 0.0
    total_seconds: float = 0.0
    nbytes: int = 0
    largest_batch: int = 0
    platforms: Counter[str] = field(default_factory=Counter)
    run_times: Histogram = field(default_factory=Histogram)
    latencies: Histogram = field(default_factory=Histogram)
    load_times: Histogram = field(default_factory=Histogram)

    def add_load(self, event: SessionLoaded) -> None:
        self.loads += 1
        self.load_seconds += event.seconds
        self.load_times.add(event.seconds)
        self.nbytes = max(self.nbytes, event.nbytes)

    def add_run(self, answer: Answer) -> None:
        times = answer.times
        run = times.run / answer.batch  # what ran together shares the time
        self.runs += 1
        self.items += answer.items
        self.run_seconds += run
        self.total_seconds += times.total
        self.largest_batch = max(self.largest_batch, answer.items, answer.batch)
        self.platforms[answer.backend] += 1
        self.run_times.add(run)
        self.latencies.add(times.total)

    def percentiles(self) -> dict[str, dict[str, float]]:
        """Return the percentiles of each time, beside its mean."""
        return {
            "model_load_time": _percentiles(self.load_times),
            "inference_time": _percentiles(self.run_times),
            "latency": _percentiles(self.latencies),
        }


class Aggregate:
    """Totals since the accelerator was made: of its results, and of what its pool announced.

    Times are in seconds, ``throughput`` in items per second of the requests' own time, memory in 10^6 bytes. A
    mean of nothing is 0.
    """

    def __init__(self) -> None:
        self._models: dict[str, _Totals] = {}
        self._all = _Totals()
        self._names: dict[str, str] = {}  # by hash
        self._cids: dict[str, str] = {}  # by hash
        self._browsers: set[str] = set()  # ids of those that run
        self._browser_runs: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._created = self._peak = self._retries = self._lanes_lost = 0
        self._batches: Counter[int] = Counter()  # by size, of models with dynamic batching
        self._hits = self._misses = 0

    def name(self, sha256: str, model: str, cid: str) -> None:
        """Remember a model's name and CID; several models of one name are told apart by their hash."""
        self._names[sha256] = model
        self._cids[sha256] = cid

    def hit(self, found: bool) -> None:
        """Count a look-up of a model: found loaded, or not."""
        self._hits += found
        self._misses += not found

    def answered(self, answer: Answer) -> None:
        """Take in a result."""
        self._totals(answer.model_sha256).add_run(answer)
        self._all.add_run(answer)
        self._browser_runs[answer.browser] += 1

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        match event:
            case BatchFinished():
                self._batches[event.size] += 1
            case SessionLoaded():
                self._totals(event.key.model).add_load(event)
                self._all.add_load(event)
            case RunFailed():
                self._errors[event.code] += 1
                self._retries += event.retried
            case LoadFailed():
                self._errors[event.code] += 1
            case LaneEnded():
                self._lanes_lost += event.lost
            case BrowserStarted():
                self._created += 1
                self._browsers.add(event.browser)
                self._peak = max(self._peak, len(self._browsers))
            case BrowserEnded():
                self._browsers.discard(event.browser)

    def to_dict(self, now: Gauges) -> dict[str, Any]:
        """Return the guide's sections ``models``, ``aggregate``, ``bridge`` and ``resource_pool``."""
        return {
            "models": {
                self._names.get(sha, sha): {"model_cid": self._cids.get(sha), **_model(totals)}
                for sha, totals in self._models.items()
            },
            "aggregate": self._aggregate(now),
            "bridge": self._bridge(now),
            "resource_pool": self._pool(now),
        }

    def _totals(self, sha256: str) -> _Totals:
        return self._models.setdefault(sha256, _Totals())

    def _aggregate(self, now: Gauges) -> dict[str, Any]:
        everything = self._all
        return {
            "avg_load_time": _mean(everything.load_seconds, everything.loads),
            "avg_inference_time": _mean(everything.run_seconds, everything.runs),
            "avg_throughput": _mean(everything.items, everything.total_seconds),
            "avg_latency": _mean(everything.total_seconds, everything.runs),
            "total_models": len(self._models),
            "total_inferences": everything.runs,
            "platform_distribution": dict(everything.platforms),
            "browser_distribution": dict(self._browser_runs),
            "total_memory_usage": now.memory_mb,
            "percentiles": everything.percentiles(),
        }

    def _bridge(self, now: Gauges) -> dict[str, Any]:
        everything = self._all
        return {
            "executed_tasks": everything.runs,
            "total_execution_time": everything.run_seconds,
            "errors": sum(self._errors.values()),
            "errors_by_code": dict(self._errors),
            "retries": self._retries,
            "lanes_lost": self._lanes_lost,
            "batches": {str(size): count for size, count in sorted(self._batches.items())},
            "concurrent_peak": now.running_peak,
            "queue_peak": now.queue_peak,
            "current_queue_size": now.queued,
            "bridge_stats": {
                "created_connections": self._created,
                "total_inferences": everything.runs,
                "total_model_loads": everything.loads,
                "errors": sum(self._errors.values()),
                "peak_connections": self._peak,
                "current_connections": len(self._browsers),
                "loaded_models": now.loaded,
                "model_count": len(now.loaded),
            },
            "resource_metrics": {
                "connection_util": _mean(now.busy, now.lanes),
                "browser_usage": dict(self._browser_runs),
                "platform_usage": dict(everything.platforms),
            },
        }

    def _pool(self, now: Gauges) -> dict[str, Any]:
        memory = psutil.virtual_memory()
        asked = self._hits + self._misses
        return {
            "hits": self._hits,
            "misses": self._misses,
            "total_requests": asked,
            "hit_ratio": _mean(self._hits, asked),
            "memory_usage_mb": now.memory_mb,
            "cached_models": now.loaded,
            "timestamp": time.time(),
            "system_memory": {
                "total_mb": memory.total / 1e6,
                "available_mb": memory.available / 1e6,
                "percent": memory.percent,
            },
        }


def _model(totals: _Totals) -> dict[str, Any]:
    return {
        "model_load_time": _mean(totals.load_seconds, totals.loads),
        "inference_time": _mean(totals.run_seconds, totals.runs),
        "memory_usage": totals.nbytes / 1e6,
        "throughput": _mean(totals.items, totals.total_seconds),
        "latency": _mean(totals.total_seconds, totals.runs),
        "batch_size": totals.largest_batch,
        "platform_distribution": dict(totals.platforms),
        "inferences": totals.runs,
        "percentiles": totals.percentiles(),
    }


def _percentiles(times: Histogram) -> dict[str, float]:
    return {f"p{share}": times.percentile(share / 100) for share in (50, 95, 99)}


def _mean(total: float, count: float) -> float:
    return total / count if count else 0.0
