"""What is counted under one set of labels, of one lane and of one session: plain numbers, without a lock."""

from __future__ import annotations

from dataclasses import dataclass, field

from webinfer.pool.events import RunFinished, SessionLoaded
from webinfer.pool.requests.request import Times
from webinfer.telemetry.counters.histogram import FINE, SECONDS, SIZES, Histogram

STAGES = ("queue", "wait", "run", "transfer")
"""The stages of a request, as in ``Times``; together they are its total."""


def _seconds() -> Histogram:
    return Histogram(SECONDS)


def _fine() -> Histogram:
    return Histogram(FINE)


@dataclass(slots=True)
class RunCounts:
    """What lanes did for requests.

    Attributes:
        answered: Requests that they answered.
        failed: Requests that failed once a browser or its lanes were at it.
        retried: Attempts that failed and were followed by another.
        items: Rows of the answered requests.
        duration: Seconds from asking to answer.
        stages: Where these went, in the order of ``STAGES``.
        together: Requests that ran together.
    """

    answered: int = 0
    failed: int = 0
    retried: int = 0
    items: int = 0
    duration: Histogram = field(default_factory=_seconds)
    stages: tuple[Histogram, ...] = field(default_factory=lambda: tuple(_seconds() for _ in STAGES))
    together: Histogram = field(default_factory=lambda: Histogram(SIZES))

    def add(self, event: RunFinished) -> None:
        """Count an answer.

        Args:
            event: The event.
        """
        self.answered += 1
        self.items += event.items
        total, spent, run, transfer = event.total, event.queue, event.run, event.transfer
        self.duration.add(total)
        self.together.add(event.together)
        queue, wait, inside, between = self.stages
        queue.add(spent)
        wait.add(max(0.0, total - spent - run - transfer))
        inside.add(run)
        between.add(transfer)

    def merge(self, other: RunCounts) -> None:
        """Add what others counted.

        Args:
            other: The others.
        """
        self.answered += other.answered
        self.failed += other.failed
        self.retried += other.retried
        self.items += other.items
        self.duration.merge(other.duration)
        self.together.merge(other.together)
        for own, stage in zip(self.stages, other.stages, strict=True):
            own.merge(stage)


@dataclass(slots=True)
class AnswerCounts:
    """What callers got. A model in stages gives one answer; one that holds NaN is none.

    Attributes:
        items: Rows of the requests.
        largest_batch: The most rows of a request, or the most requests that ran together.
        latency: Seconds from asking to answer.
        run: Seconds in the runtime, of which requests that ran together have equal shares.
    """

    items: int = 0
    largest_batch: int = 0
    latency: Histogram = field(default_factory=_fine)
    run: Histogram = field(default_factory=_fine)

    @property
    def count(self) -> int:
        """Number of answers."""
        return self.latency.count

    def add(self, times: Times, items: int, batch: int) -> None:
        """Count an answer.

        Args:
            times: Where its time went.
            items: Items in it.
            batch: Requests that ran together.
        """
        self.items += items
        self.largest_batch = max(self.largest_batch, items, batch)
        self.latency.add(times.total)
        self.run.add(times.run / batch)

    def merge(self, other: AnswerCounts) -> None:
        """Add what others counted.

        Args:
            other: The others.
        """
        self.items += other.items
        self.largest_batch = max(self.largest_batch, other.largest_batch)
        self.latency.merge(other.latency)
        self.run.merge(other.run)


@dataclass(slots=True)
class LoadCounts:
    """Sessions that were created.

    Attributes:
        nbytes: Size of the largest one's files.
        seconds: Seconds that they took.
    """

    nbytes: int = 0
    seconds: Histogram = field(default_factory=_fine)

    @property
    def count(self) -> int:
        """Number of sessions."""
        return self.seconds.count

    def add(self, event: SessionLoaded) -> None:
        """Count a session.

        Args:
            event: The event.
        """
        self.nbytes = max(self.nbytes, event.nbytes)
        self.seconds.add(event.seconds)

    def merge(self, other: LoadCounts) -> None:
        """Add what others counted.

        Args:
            other: The others.
        """
        self.nbytes = max(self.nbytes, other.nbytes)
        self.seconds.merge(other.seconds)


@dataclass(slots=True)
class Series:
    """Everything that is counted under one set of labels."""

    runs: RunCounts = field(default_factory=RunCounts)
    answers: AnswerCounts = field(default_factory=AnswerCounts)
    loads: LoadCounts = field(default_factory=LoadCounts)

    @property
    def is_used(self) -> bool:
        """Whether a session was loaded or an answer given."""
        return bool(self.loads.count or self.answers.count)

    def merge(self, other: Series) -> None:
        """Add what others counted.

        Args:
            other: The others.
        """
        self.runs.merge(other.runs)
        self.answers.merge(other.answers)
        self.loads.merge(other.loads)


@dataclass(slots=True)
class LaneCounts:
    """What one lane did.

    Attributes:
        freed: When its last run ended, on the counters' clock.
        runs: Requests that it answered.
        errors: Requests and loads that failed on it.
        busy: Seconds that it spent inside the runtime's runs.
    """

    freed: float
    runs: int = 0
    errors: int = 0
    busy: float = 0.0

    def add(self, run: float, now: float) -> None:
        """Count a request that it answered.

        Args:
            run: Seconds that its run took. Requests that ran together each tell the time of their one run, so no more
                counts than lies between two ends.
            now: When it ended.
        """
        self.runs += 1
        self.busy += min(run, now - self.freed)
        self.freed = now


@dataclass(slots=True)
class SessionCounts:
    """What one session did on all lanes: requests answered, and attempts that failed."""

    runs: int = 0
    errors: int = 0
