"""Running totals of a pool's events, in the sections that the guide prints."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from webinfer.pool.events import (
    BatchFinished,
    BrowserEnded,
    BrowserStarted,
    Event,
    LaneEnded,
    LoadFailedEvent,
    RunFailedEvent,
    SessionLoaded,
)
from webinfer.telemetry.counters.busy_time import Busy
from webinfer.telemetry.counters.totals import Answer, Totals, joined, mean

MODELS = 1000
"""Models that are told apart; the figures of one that nobody used for longest make room for those of a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What is so now, as far as counting events does not tell it.

    Attributes:
        queued: Requests waiting.
        queue_peak: The most that ever waited.
        running_peak: The most that ever ran.
        lanes: Lanes that are up.
        busy: Lanes that are running something.
        memory: Megabytes of each browser's processes, by its id; 0 of one that is not on this machine.
        holders: Ids of the browsers that hold a model loaded, by its hash.
        loaded: Names of the models that are loaded.
    """

    queued: int = 0
    queue_peak: int = 0
    running_peak: int = 0
    lanes: int = 0
    busy: int = 0
    memory: Mapping[str, float] = field(default_factory=dict)
    holders: Mapping[str, Collection[str]] = field(default_factory=dict)
    loaded: list[str] = field(default_factory=list)

    @property
    def memory_mb(self) -> float:
        """Megabytes of all browsers' processes."""
        return sum(self.memory.values())

    def memory_of(self, models: Iterable[str]) -> float:
        """Megabytes of the browsers that hold one of some models, by their hashes; each browser once, and whole."""
        browsers: set[str] = set().union(*(self.holders.get(sha256, ()) for sha256 in models))
        return sum(self.memory.get(browser, 0.0) for browser in browsers)


@dataclass(slots=True)
class _Name:
    """Models of one name: precisions of one model, most often, or files that are called alike."""

    variants: dict[str, _Variant] = field(default_factory=dict)  # by hash
    busy: Busy = field(default_factory=Busy)


@dataclass(slots=True)
class _Variant:
    """A model, as its hash tells it from others."""

    sha256: str
    name: str
    named: _Name
    cid: str | None = None
    precision: str | None = None
    totals: Totals = field(default_factory=Totals)
    used: int = 0  # grows

    def to_dict(self, now: Gauges) -> dict[str, Any]:
        about = {"precision": self.precision, "model_cid": self.cid}
        return {**about, **self.totals.figures(), "memory_usage": now.memory_of([self.sha256])}


class Aggregate:
    """Totals since the accelerator was made: of its results, and of what its pool announced.

    Times are in seconds, ``throughput`` in items per second of the time in which a request was under way, memory in
    10^6 bytes. A mean of nothing is 0. ``models`` has the figures of all models of a name together, and in its
    ``variants`` those of each, by hash.
    """

    def __init__(self) -> None:
        self._turns = itertools.count()
        self._variants: dict[str, _Variant] = {}  # by hash
        self._names: dict[str, _Name] = {}
        self._all = Totals()
        self._forgotten = 0  # models that are not told apart any more
        self._browsers: set[str] = set()  # ids of those that run
        self._browser_runs: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._created = self._peak = self._retries = self._lanes_lost = 0
        self._batches: Counter[int] = Counter()  # by size, of models with dynamic batching
        self._hits = self._misses = 0

    def name(self, sha256: str, model: str, cid: str, precision: str) -> None:
        """Remember what a model is called; several models of one name are told apart by their hash."""
        known = self._variants.get(sha256)
        if known is None or known.name != model:
            known = self._tell_apart(sha256, model, known)
        known.cid, known.precision, known.used = cid, precision, next(self._turns)

    def hit(self, found: bool) -> None:
        """Count a look-up of a model: found loaded, or not."""
        self._hits += found
        self._misses += not found

    def answered(self, answer: Answer, now: float) -> None:
        """Take in a result that came now, on a clock that only grows."""
        variant = self._variant(answer.model_sha256)
        variant.used = next(self._turns)
        variant.totals.add_run(answer, now)
        variant.named.busy.add(now - answer.times.total, now)
        self._all.add_run(answer, now)
        self._browser_runs[answer.browser] += 1

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        match event:
            case BatchFinished():
                self._batches[event.size] += 1
            case SessionLoaded():
                self._variant(event.key.model).totals.add_load(event)
                self._all.add_load(event)
            case RunFailedEvent():
                self._errors[event.code] += 1
                self._retries += event.retried
            case LoadFailedEvent():
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
            "models": {name: told for name, named in self._names.items() if (told := _models(named, now))},
            "aggregate": self._aggregate(now),
            "bridge": self._bridge(now),
            "resource_pool": self._pool(now),
        }

    def _variant(self, sha256: str) -> _Variant:
        return self._variants.get(sha256) or self._tell_apart(sha256, sha256)

    def _tell_apart(self, sha256: str, name: str, known: _Variant | None = None) -> _Variant:
        """Have figures of its own for a model, or have them under another name."""
        if known is not None:
            self._part(known)
        elif len(self._variants) >= MODELS:
            oldest = min(self._variants.values(), key=lambda each: each.used)
            self._part(oldest)
            self._forgotten += oldest.totals.is_used
            del self._variants[oldest.sha256]
        named = self._names.setdefault(name, _Name())
        variant = known or _Variant(sha256, name, named)
        variant.name, variant.named = name, named
        named.variants[sha256] = self._variants[sha256] = variant
        return variant

    def _part(self, variant: _Variant) -> None:
        """Take a model from its name."""
        del variant.named.variants[variant.sha256]
        if not variant.named.variants:
            del self._names[variant.name]

    def _aggregate(self, now: Gauges) -> dict[str, Any]:
        everything = self._all
        return {
            "avg_load_time": mean(everything.load_seconds, everything.loads),
            "avg_inference_time": mean(everything.run_seconds, everything.runs),
            "avg_throughput": everything.throughput,
            "avg_latency": mean(everything.total_seconds, everything.runs),
            "total_models": self._forgotten + sum(each.totals.is_used for each in self._variants.values()),
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
                "connection_util": mean(now.busy, now.lanes),
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
            "hit_ratio": mean(self._hits, asked),
            "memory_usage_mb": now.memory_mb,
            "cached_models": now.loaded,
            "timestamp": time.time(),
            "system_memory": {
                "total_mb": memory.total / 1e6,
                "available_mb": memory.available / 1e6,
                "percent": memory.percent,
            },
        }


def _models(named: _Name, now: Gauges) -> dict[str, Any]:
    """Return the figures of the models of a name together, and of each; nothing where none was used."""
    used = {sha256: variant for sha256, variant in named.variants.items() if variant.totals.is_used}
    if not used:
        return {}
    variants = {sha256: variant.to_dict(now) for sha256, variant in used.items()}
    if len(variants) == 1:
        (only,) = variants.values()
        return {**only, "variants": variants}
    whole = joined((variant.totals for variant in used.values()), named.busy).figures()
    together = {"precision": None, "model_cid": None, **whole, "memory_usage": now.memory_of(used)}
    return {**together, "variants": variants}
