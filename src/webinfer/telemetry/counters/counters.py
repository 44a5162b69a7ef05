"""What feeds the counts: the pool's events, and every answer that a caller got."""

from __future__ import annotations

import time
from collections.abc import Callable

from webinfer.inference.result import Result
from webinfer.pool.events import BatchFinished, Event, RunFinished
from webinfer.pool.requests.request import Times
from webinfer.telemetry.counters.counts import Counts
from webinfer.telemetry.counters.labels import Labels

BURST = 64
"""Answers that are put off at most, and then counted together."""


class Counters:
    """The counters of an accelerator: call them with each event of its pool, and ``answered`` with each answer.

    What a request adds is put into a list. It is counted with 63 others, or when the counts are read. The
    same work, done once in a millisecond, would find neither its code nor its data in the processor's caches.

    Args:
        clock: Seconds that only grow: the clock of ``Times``.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self._counts = Counts(clock)
        self._runs: list[tuple[float, RunFinished]] = []
        self._answers: list[tuple[float, str, str, str, str, Times, int, int]] = []

    def __repr__(self) -> str:
        return f"<Counters {self._counts}>"

    def read(self) -> Counts:
        """Return the counts, with all that was put off. They change with whatever comes later."""
        counts = self._counts
        runs, self._runs = self._runs, []
        for now, event in runs:
            counts.add_run(now, event)
        answers, self._answers = self._answers, []
        for now, sha256, precision, backend, browser, times, items, batch in answers:
            counts.add_answer(now, Labels(sha256, precision, backend, browser), times, items, batch)
        return counts

    def name(self, sha256: str, name: str, cid: str | None = None, precision: str | None = None) -> None:
        """Remember what a model is called.

        Args:
            sha256: Hash of its files.
            name: Its name; several models may have one.
            cid: CID of its files.
            precision: Precision of its weights.
        """
        self.read().name(sha256, name, cid, precision)

    def look_up(self, loaded: bool) -> None:
        """Count a look-up of a model, which was loaded or not.

        Args:
            loaded: Whether it was loaded.
        """
        self._counts.hits += loaded
        self._counts.misses += not loaded

    def answered(self, result: Result, now: float) -> None:
        """Count an answer.

        Args:
            result: The answer.
            now: When it came, on the clock of ``Times``.
        """
        labels = (result.model_sha256, result.precision, result.backend, result.browser)
        self._answers.append((now, *labels, result.times, result.items, result.batch))
        if len(self._answers) >= BURST:
            self.read()

    def __call__(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, RunFinished):
            self._runs.append((self.clock(), event))
            if len(self._runs) >= BURST:
                self.read()
        elif isinstance(event, BatchFinished):
            self._counts.add(event)  # as often as requests, and no matter what was put off
        else:
            self.read().add(event)  # what was put off belongs to the lanes and browsers of before
