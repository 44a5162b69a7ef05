"""The pool at a moment: what waits and runs, and what that takes of memory and energy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from webinfer.pool.pool import Pool
from webinfer.telemetry.counters.busy_time import Busy
from webinfer.telemetry.energy import Meter

EVERY = 5.0  # seconds between two samples of a pool that works
_IDLE = 0.1  # share of the time between two samples that may be idle, for its energy to be that of the work

Add = Callable[..., object]


class Sampler:
    """Takes samples when something was answered, so that an idle accelerator is left alone.

    Args:
        pool: Whose.
        add: Has a row written: takes the table's name and values by column.
        rows: Rows of the browsers that run, by label.
        meter: Measures the processors' energy.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        pool: Pool,
        add: Add,
        rows: Mapping[str, int],
        *,
        meter: Meter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool, self._add, self._rows = pool, add, rows
        self._meter, self._clock = meter or Meter(), clock
        self._items = 0  # answered since the last sample
        self._busy = Busy()  # since then
        self._last = float("-inf")
        self._metered = clock()  # when the meter was read last
        self._tasks: set[asyncio.Task[None]] = set()

    def answered(self, items: int, seconds: float) -> None:
        """Count what was answered, and how long it was under way; take a sample where the last one is some time ago."""
        self._items += items
        now = self._clock()
        self._busy.add(max(now - seconds, self._metered), now)
        if now - self._last >= EVERY:
            self._last = now
            task = asyncio.ensure_future(self._take())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self) -> None:
        pool, items = self._pool, self._items
        self._items = 0
        now: dict[str, Any] = {
            "queued": pool.queued,
            "running": sum(state.running for state in pool.lane_states.values()),
            "lanes": len(pool.lanes),
            "busy": pool.busy,
            "browsers": len(pool.browsers),
            "items": items,
            "energy_j": self._energy(),
        }
        memory = {label: nbytes / 1e6 for label, nbytes in (await pool.memory()).items()}
        for label, megabytes in memory.items():
            if megabytes and label in self._rows:
                self._add("browser_samples", browser=self._rows[label], memory_mb=megabytes)
        python, free = psutil.Process().memory_info().rss / 1e6, psutil.virtual_memory().available / 1e6
        self._add("samples", **now, browser_mb=sum(memory.values()), python_mb=python, available_mb=free)

    def _energy(self) -> float | None:
        """Return the joules since the last sample, if that time was spent at work: a pause takes energy, too."""
        spent, now = self._meter.spent(), self._clock()
        busy, self._busy = self._busy.seconds, Busy()
        since, self._metered = self._metered, now
        return spent if busy >= (1 - _IDLE) * (now - since) else None
