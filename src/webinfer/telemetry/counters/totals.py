"""Sums over loads and answers, and the figures that they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from webinfer.pool.events import SessionLoaded
from webinfer.telemetry.counters.busy_time import Busy
from webinfer.telemetry.counters.histogram import Histogram

_SHARES = (50, 95, 99)


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


@dataclass(slots=True)
class Totals:
    """Sums for one model, or for several."""

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
    busy: Busy = field(default_factory=Busy)

    def add_load(self, event: SessionLoaded) -> None:
        """Count a session that was created."""
        self.loads += 1
        self.load_seconds += event.seconds
        self.load_times.add(event.seconds)
        self.nbytes = max(self.nbytes, event.nbytes)

    def add_run(self, answer: Answer, now: float) -> None:
        """Count an answer that came now."""
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
        self.busy.add(now - times.total, now)

    @property
    def is_used(self) -> bool:
        """Whether anything was counted."""
        return bool(self.loads or self.runs)

    @property
    def throughput(self) -> float:
        """Items per second of the time in which a request was under way."""
        return mean(self.items, self.busy.seconds)

    def figures(self) -> dict[str, Any]:
        """Return what the guide asks of a model, and percentiles beside the means."""
        return {
            "model_load_time": mean(self.load_seconds, self.loads),
            "inference_time": mean(self.run_seconds, self.runs),
            "throughput": self.throughput,
            "latency": mean(self.total_seconds, self.runs),
            "batch_size": self.largest_batch,
            "platform_distribution": dict(self.platforms),
            "inferences": self.runs,
            "loaded_mb": self.nbytes / 1e6,
            "percentiles": self.percentiles(),
        }

    def percentiles(self) -> dict[str, dict[str, float]]:
        """Return the percentiles of each time, beside its mean."""
        times = {"model_load_time": self.load_times, "inference_time": self.run_times, "latency": self.latencies}
        return {
            name: dict(zip([f"p{share}" for share in _SHARES], told.percentiles(_SHARES), strict=True))
            for name, told in times.items()
        }


def joined(several: Iterable[Totals], busy: Busy) -> Totals:
    """Return the sums of several, whose spans together are ``busy``."""
    whole = Totals(busy=busy)
    for each in several:
        whole.loads += each.loads
        whole.load_seconds += each.load_seconds
        whole.runs += each.runs
        whole.items += each.items
        whole.run_seconds += each.run_seconds
        whole.total_seconds += each.total_seconds
        whole.nbytes += each.nbytes
        whole.largest_batch = max(whole.largest_batch, each.largest_batch)
        whole.platforms.update(each.platforms)
        whole.run_times.update(each.run_times)
        whole.latencies.update(each.latencies)
        whole.load_times.update(each.load_times)
    return whole


def mean(total: float, count: float) -> float:
    """Return a mean; 0 of nothing."""
    return total / count if count else 0.0
