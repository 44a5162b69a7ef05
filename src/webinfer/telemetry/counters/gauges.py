"""The state at this moment: what waits and runs, and the memory of browsers, process and machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import psutil

from webinfer.pool.pool import Pool

MEGABYTE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """The state at this moment. Memory is in 10^6 bytes.

    Attributes:
        queued: Requests waiting.
        queue_peak: The most that ever waited.
        running: Runs that lanes have not ended.
        running_peak: The most requests that ever ran.
        lanes: Lanes that are up.
        busy: Lanes that are running something.
        browsers: Browsers that are up.
        memory: Memory of each browser's processes, by its id; 0 of one that is not on this machine.
        python_mb: Resident memory of this process.
        machine_mb: Memory of this machine.
        available_mb: What programs can have of it without swapping.
        used_percent: What is taken of it.
    """

    queued: int = 0
    queue_peak: int = 0
    running: int = 0
    running_peak: int = 0
    lanes: int = 0
    busy: int = 0
    browsers: int = 0
    memory: Mapping[str, float] = field(default_factory=dict)
    python_mb: float = 0.0
    machine_mb: float = 0.0
    available_mb: float = 0.0
    used_percent: float = 0.0

    @property
    def browser_mb(self) -> float:
        """Memory of all browsers' processes."""
        return sum(self.memory.values())


async def measure(pool: Pool | None) -> Gauges:
    """Measure the state at this moment.

    Memory is measured first, in threads; all else is read in one step of the loop, and so belongs together.

    Args:
        pool: The pool; ``None`` where nothing was started yet.

    Returns:
        The measurements.
    """
    memory = await pool.memory() if pool is not None else {}
    machine = psutil.virtual_memory()
    own = Gauges(
        memory={browser: nbytes / MEGABYTE for browser, nbytes in memory.items()},
        python_mb=psutil.Process().memory_info().rss / MEGABYTE,
        machine_mb=machine.total / MEGABYTE,
        available_mb=machine.available / MEGABYTE,
        used_percent=machine.percent,
    )
    if pool is None:
        return own
    return replace(
        own,
        queued=pool.queued,
        queue_peak=pool.queue_peak,
        running=sum(state.running for state in pool.lane_states.values()),
        running_peak=pool.running_peak,
        lanes=len(pool.lanes),
        busy=pool.busy,
        browsers=len(pool.browsers),
    )
