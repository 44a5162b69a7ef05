"""Samples tell the energy of work, and none where a good part of the time was a pause."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from webinfer.core.placement import LaneId
from webinfer.pool.events import RunFinished
from webinfer.pool.plan.assignment import SessionKey
from webinfer.telemetry.counters.counters import Counters
from webinfer.telemetry.energy import Meter
from webinfer.telemetry.sampler import EVERY, Sampler

KEY = SessionKey("a" * 64, "wasm")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Joules(Meter):
    """Ten joules between two looks."""

    def spent(self) -> float:
        return 10.0


class Pool:
    def __init__(self) -> None:
        self.browsers: dict[str, Any] = {}
        self.lanes: dict[str, Any] = {}
        self.lane_states: dict[str, Any] = {}
        self.queued = self.queue_peak = self.running_peak = self.busy = 0

    async def memory(self) -> dict[str, int]:
        return {}


@pytest.mark.parametrize(
    ("answers", "energies"),
    [
        ([(second, 1.0) for second in range(1, 14)], [10.0, 10.0, 10.0]),
        ([(1, 1.0), *((3600 + second, 1.0) for second in range(1, 7))], [10.0, None, 10.0]),
        ([(7, 7.0), (14, 7.0), (21, 7.0)], [10.0, 10.0, 10.0]),  # each longer than from one sample to the next
        ([(7, 5.0), (14, 5.0), (21, 5.0)], [None, None, None]),
        ([(10, 9.5), (11, 11.0), (20, 0.1)], [10.0, None]),  # the second's time before the first sample is not after it
    ],
)
async def test_energy_is_told_of_time_that_was_spent_at_work(
    answers: list[tuple[float, float]], energies: list[float | None]
) -> None:
    samples: list[dict[str, Any]] = []
    clock, pool = Clock(), Pool()
    counters = Counters(clock)

    def add(table: str, **values: Any) -> None:
        assert table == "samples"
        samples.append(values)

    sampler = Sampler(pool, counters, add, {}, meter=Joules())  # type: ignore[arg-type]
    assert EVERY == 5.0
    for end, seconds in answers:
        clock.now = 1000.0 + end
        counters(RunFinished(LaneId("b1", 1), "b1", KEY, 2, 0.0, 0.0, seconds, seconds, 1))
        sampler.answered()
        await asyncio.gather(*sampler._tasks)
    assert [sample["energy_j"] for sample in samples] == energies
    assert sum(sample["items"] for sample in samples) <= 2 * len(answers)
    assert samples[0]["items"] == 2
