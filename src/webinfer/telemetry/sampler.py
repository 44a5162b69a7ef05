"""The pool at a moment: what waits and runs, and what that takes of memory and energy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from webinfer.pool.pool import Pool
from webinfer.telemetry.counters.busy_time import BusyTime
from webinfer.telemetry.counters.counters import Counters
from webinfer.telemetry.counters.gauges import measure
from webinfer.telemetry.energy import Meter

EVERY = 5.0
"""Seconds between two samples of a pool that works."""

_IDLE = 0.1  # share of the time between two samples that may be idle, for its energy to be that of the work

Add = Callable[..., object]


class Sampler:
    """Takes samples when something was answered, so that an idle accelerator is left alone.

    Args:
        pool: Whose.
        counters: What its events are counted by, and the clock.
        add: Has a row written: takes the table's name and values by column.
        rows: Rows of the browsers that run, by label.
        meter: Measures the processors' energy.
    """

    def __init__(
        self, pool: Pool, counters: Counters, add: Add, rows: Mapping[str, int], *, meter: Meter | None = None
    ) -> None:
        self._pool, self._counters, self._add, self._rows = pool, counters, add, rows
        self._meter = meter or Meter()
        self._items = 0  # answered up to the last sample
        self._last = float("-inf")
        self._metered = counters.clock()  # when the meter was read last
        counters.read().interval = BusyTime(self._metered)
        self._tasks: set[asyncio.Task[None]] = set()

    def answered(self) -> None:
        """Take a sample where the last one is some time ago; call this once an answer was counted."""
        now = self._counters.clock()
        if now - self._last >= EVERY:
            self._last = now
            task = asyncio.ensure_future(self._take())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self) -> None:
        energy = self._energy()  # with the items before the await: both are of the time up to now
        items = self._counters.read().sum(lambda series: series.runs.items)
        answered, self._items = items - self._items, items
        now = await measure(self._pool)
        for label, megabytes in now.memory.items():
            if megabytes and label in self._rows:
                self._add("browser_samples", browser=self._rows[label], memory_mb=megabytes)
        self._add(
            "samples",
            queued=now.queued,
            running=now.running,
            lanes=now.lanes,
            busy=now.busy,
            browsers=now.browsers,
            items=answered,
            energy_j=energy,
            browser_mb=now.browser_mb,
            python_mb=now.python_mb,
            available_mb=now.available_mb,
        )

    def _energy(self) -> float | None:
        """Return the joules since the last sample, if that time was spent at work: a pause takes energy, too."""
        counts, spent, now = self._counters.read(), self._meter.spent(), self._counters.clock()
        busy = 0.0 if counts.interval is None else counts.interval.seconds
        since, self._metered = self._metered, now
        counts.interval = BusyTime(now)
        return spent if busy >= (1 - _IDLE) * (now - since) else None
