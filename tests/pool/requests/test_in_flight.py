"""What lanes compute is known in order, and is ended where nobody waits for it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from webinfer.core.options import Backend
from webinfer.core.placement import LaneId
from webinfer.pool.plan.assignment import LaneState, SessionKey
from webinfer.pool.requests.batch import Batch
from webinfer.pool.requests.in_flight import InFlight
from webinfer.pool.requests.request import Request

LANE, OTHER = LaneId("b1", 1), LaneId("b1", 2)


class Stopped:
    """Notes which lanes were ended, and for which backend."""

    def __init__(self) -> None:
        self.runs: list[tuple[LaneId, Backend, str]] = []

    def stop_run(self, lane: Any, backend: Backend, reason: Exception) -> None:
        self.runs.append((lane.id, backend, str(reason)))


@pytest.fixture
async def fleet() -> Stopped:
    return Stopped()


@pytest.fixture
async def in_flight(fleet: Any) -> InFlight:
    return InFlight(fleet)


def batch(id: LaneId = LANE, timeout: float | None = None, backend: Backend = "wasm") -> Batch:
    lane: Any = SimpleNamespace(id=id, lost=asyncio.get_running_loop().create_future())
    return Batch([Request(SessionKey("a", backend), {}, timeout=timeout)], lane, LaneState(id))


async def test_lane_computes_what_was_sent_first(in_flight: InFlight) -> None:
    first, second, other = batch(), batch(), batch(OTHER)
    for sent in (first, second, other):
        in_flight.add(sent)
    assert in_flight.computed(LANE) is first
    assert in_flight.by_lane() == {LANE: [*first.requests, *second.requests], OTHER: other.requests}
    in_flight.remove(first)
    assert in_flight.computed(LANE) is second
    in_flight.remove(second)
    assert (list(in_flight.by_lane()), in_flight.count, in_flight.peak) == ([OTHER], 1, 3)


async def test_run_that_nobody_waits_for_is_stopped_after_its_time(in_flight: InFlight, fleet: Stopped) -> None:
    left, kept = batch(timeout=0.01, backend="webgpu"), batch(OTHER, timeout=0.01)
    for sent in (left, kept):
        in_flight.add(sent)
    left.requests[0].settle()
    for lane in (LANE, OTHER):
        in_flight.watch(lane)
    async with asyncio.timeout(30):
        while not fleet.runs:  # noqa: ASYNC110  # a timer of 10 ms
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    why = "Lane b1.1 was ended: a run that nobody waited for took over 0.01 s."
    assert fleet.runs == [(LANE, "webgpu", why)]


async def test_answer_in_time_stops_nothing(in_flight: InFlight, fleet: Stopped) -> None:
    left = batch(timeout=0.01)
    in_flight.add(left)
    left.requests[0].settle()
    in_flight.watch(LANE)
    in_flight.remove(left)
    await asyncio.sleep(0.05)
    assert not fleet.runs


async def test_lane_that_is_lost_already_is_not_stopped_again(in_flight: InFlight, fleet: Stopped) -> None:
    late = batch(timeout=1.0)
    in_flight.add(late)
    late.lane.lost.set_result(RuntimeError())  # type: ignore[arg-type]  # whatever it is
    in_flight.stop(late, "a run took over 1 s")
    assert not fleet.runs
