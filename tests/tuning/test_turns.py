"""Turns: how many runs make one, and what a run costs."""

from __future__ import annotations

import asyncio

from webinfer.tuning.turns import Pace, cost


async def test_pace_makes_turns_as_long_as_asked() -> None:
    async def run() -> None:
        await asyncio.sleep(0.01)

    pace = Pace(0.1, 1)
    times = await pace.warm_up(run, 0.5)
    assert 2 <= len(times) <= 60
    assert 3 <= pace.count <= 10


async def test_warm_up_runs_twice_where_there_is_no_time() -> None:
    runs = []

    async def run() -> None:
        runs.append(1)
        await asyncio.sleep(0.02)

    pace = Pace(0.01, 3)
    assert len(await pace.warm_up(run, 0)) == 2
    assert len(runs) == 6
    assert pace.count == 1


async def test_turn_has_every_caller_ask_again_when_answered() -> None:
    now = most = 0

    async def run() -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return now

    pace = Pace(1, 2)
    pace.count = 3
    taken = await pace.take(run)
    assert (len(taken.answers), taken.callers, most) == (6, 2, 2)
    assert taken.elapsed >= 0.003


def test_cost_is_the_median_alone_and_the_share_of_the_turn_together() -> None:
    assert cost([1.0, 2.0, 9.0], 12.0, 1) == 2.0
    assert cost([1.0, 2.0, 3.0, 2.0], 4.0, 2) == 1.0
