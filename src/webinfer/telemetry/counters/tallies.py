"""Counts and histograms of a pool's events, by model, precision, backend and browser.

Monitoring reads them from time to time. They are plain numbers, so that an event costs microseconds and no lock: who
reads them takes a copy.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from webinfer.core.errors import BrowserLost
from webinfer.pool.events import (
    BrowserEnded,
    BrowserRefused,
    BrowserStarted,
    Event,
    HostStalled,
    LaneEnded,
    LoadFailedEvent,
    RunFailedEvent,
    RunFinished,
    SessionLoaded,
)
from webinfer.pool.plan.assignment import SessionKey
from webinfer.telemetry.counters.bounded import Ended, Kept

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets of times."""

SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Upper bounds of the buckets of batch sizes."""

STAGES = ("queue", "wait", "run", "transfer")
"""The stages of a request, as in ``Times``; together they are its total."""

OTHER = "other"
_HASHES = 10_000  # of which the label is known, and short cuts that are kept
MODELS = 100  # told apart by name; further ones are one, since each name is a time series of its own for ever


class Where(NamedTuple):
    """The labels that every series has. ``browser`` is empty for a request that no browser was asked for."""

    model: str
    precision: str
    backend: str
    browser: str


class Histogram:
    """Counts of values by size.

    Attributes:
        bounds: Upper bounds of the buckets, rising; a last one, without a bound, is implied.
        counts: Values in each bucket.
        total: Their sum.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def __repr__(self) -> str:
        return f"<Histogram count={sum(self.counts)} sum={self.total:g}>"

    def add(self, value: float) -> None:
        """Count a value; one that is equal to a bound belongs to that bucket."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> Histogram:
        """Return what has been counted so far."""
        taken = Histogram(self.bounds)
        taken.counts, taken.total = self.counts.copy(), self.total
        return taken


def _times() -> Histogram:
    return Histogram(SECONDS)


@dataclass(slots=True)
class Tally:
    """What happened to one model in one precision, on one backend, in one browser."""

    answered: int = 0
    failed: int = 0
    retried: int = 0
    items: int = 0
    duration: Histogram = field(default_factory=_times)
    stages: tuple[Histogram, ...] = field(default_factory=lambda: tuple(_times() for _ in STAGES))
    batch: Histogram = field(default_factory=lambda: Histogram(SIZES))
    load: Histogram = field(default_factory=_times)

    def add(self, event: RunFinished) -> None:
        """Count an answer."""
        self.answered += 1
        self.items += event.items
        self.duration.add(event.total)
        self.batch.add(event.together)
        wait = max(0.0, event.total - event.queue - event.run - event.transfer)
        for histogram, seconds in zip(self.stages, (event.queue, wait, event.run, event.transfer), strict=True):
            histogram.add(seconds)

    def copy(self) -> Tally:
        """Return what has been counted so far."""
        return replace(
            self,
            duration=self.duration.copy(),
            stages=tuple(histogram.copy() for histogram in self.stages),
            batch=self.batch.copy(),
            load=self.load.copy(),
        )


class Tallies:
    """The tallies since an accelerator was made; call it with each event.

    Attributes:
        by: Tallies by their labels.
        faults: What failed, was lost or was refused, by kind and error code; kinds as in ``journal.Fault``.
        starts: Browsers started, by name.
        retired: Lanes and browsers replaced or ended on purpose, by kind.
    """

    def __init__(self) -> None:
        self.by: dict[Where, Tally] = {}
        self.faults: Counter[tuple[str, str]] = Counter()
        self.starts: Counter[str] = Counter()
        self.retired: Counter[str] = Counter(lane=0, browser=0)
        self._names: Kept[str, str] = Kept(_HASHES)  # labels of models, by hash
        self._labels: set[str] = set()
        self._browsers: dict[str, str] = {}  # names, by id
        self._ended = Ended(self._browsers)
        self._found: dict[tuple[SessionKey, str], Tally] = {}  # short cuts into `by`

    def __repr__(self) -> str:
        return f"<Tallies series={len(self.by)} faults={self.faults.total()}>"

    def name(self, sha256: str, model: str) -> None:
        """Remember a model's name, which becomes its label; there are ``MODELS`` of them at most."""
        if model in self._labels or len(self._labels) < MODELS:
            self._labels.add(model)
            self._names.keep(sha256, self._names.get(sha256, model))

    def named(self, sha256: str) -> str:
        """Return a model's label."""
        return self._names.get(sha256, OTHER)

    def copy(self) -> Tallies:
        """Return what has been counted so far; nothing is added to it any more."""
        taken = Tallies()
        taken._names = self._names
        taken.by = {where: tally.copy() for where, tally in self.by.items()}
        taken.faults, taken.starts, taken.retired = self.faults.copy(), self.starts.copy(), self.retired.copy()
        return taken

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        match event:
            case RunFinished():
                self._tally(event.key, event.browser).add(event)
            case RunFailedEvent():
                tally = self._tally(event.key, event.lane.browser if event.lane else "")
                tally.retried += event.retried
                tally.failed += not event.retried
                self.faults["request", event.code] += 1
            case SessionLoaded():
                self._tally(event.key, event.lane.browser).load.add(event.seconds)
            case LoadFailedEvent():
                self.faults["load", event.code] += 1
            case LaneEnded(lost=True):
                self.faults["lane", event.code] += 1
            case BrowserStarted():
                self._browsers[event.browser] = event.name
                self.starts[event.name] += 1
            case BrowserRefused():
                self.faults["launch", event.code] += 1
            case HostStalled():
                self.faults["host", HostStalled.code] += 1
            case LaneEnded():
                self.retired["lane"] += 1
            case BrowserEnded():
                self._found.clear()
                self._ended.add(event.browser)
                if event.lost:
                    self.faults["browser", BrowserLost.code] += 1
                else:
                    self.retired["browser"] += 1

    def _tally(self, key: SessionKey, browser: str) -> Tally:
        found = self._found.get((key, browser))
        if found is None:
            if len(self._found) >= _HASHES:
                self._found.clear()
            where = Where(
                self._names.recall(key.model) or OTHER, key.precision, key.backend, self._browsers.get(browser, "")
            )
            found = self._found[key, browser] = self.by.setdefault(where, Tally())
        return found
