"""Lanes and browsers come and go with the work, and are replaced when they are worn: nobody's request notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.chaos.workload import make_endless
from webinfer import AsyncAccelerator
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import OptionError
from webinfer.models.sources.resolve import resolve
from webinfer.pool.events import BrowserEnded, BrowserStarted, Event, LaneEnded, LaneStarted
from webinfer.pool.pool import Pool

pytestmark = [pytest.mark.browser("embedded"), pytest.mark.timeout(300)]

X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)
PATIENCE = 150.0  # seconds; a busy machine takes its time to start a browser
FIXED: dict[str, Any] = {"browser": "embedded", "platform": "wasm", "threads": 1}


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A model that computes for as many turns as ``x`` says, 20 ms or so each."""
    return make_endless(tmp_path)


def pool_of(accelerator: AsyncAccelerator) -> Pool:
    assert accelerator._pool is not None
    return accelerator._pool


def record(accelerator: AsyncAccelerator) -> list[Event]:
    """Record what happens from now on."""
    seen: list[Event] = []
    pool_of(accelerator).listen(seen.append)
    return seen


def count(seen: list[Event], kind: type) -> int:
    return sum(isinstance(event, kind) for event in seen)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # events tell of each step, and this waits for where they lead
            await asyncio.sleep(0.02)


def retired(seen: list[Event]) -> list[LaneEnded]:
    assert not [event for event in seen if isinstance(event, (LaneEnded, BrowserEnded)) and event.lost]
    return [event for event in seen if isinstance(event, LaneEnded)]


async def test_lanes_come_while_requests_wait_and_go_when_idle(endless: Path) -> None:
    async with AsyncAccelerator(**FIXED, lanes=3, min_lanes=1, idle_timeout=1.0) as accelerator:
        pool = pool_of(accelerator)
        model = await accelerator.load(endless)
        assert list(map(str, pool.lanes)) == ["b1.1"], "one is enough as long as nothing waits"
        seen = record(accelerator)
        await model.run({"x": [1]})
        assert not count(seen, LaneStarted)
        lanes: set[str] = set()
        async with asyncio.timeout(PATIENCE):
            while not lanes >= {"b1.1", "b1.2"}:
                results = await asyncio.gather(*(model.run({"x": [20]}) for _ in range(40)))
                assert {result.attempts for result in results} == {1}
                lanes |= {result.lane for result in results}
        assert count(seen, LaneStarted) <= 2
        await until(lambda: len(retired(seen)) == count(seen, LaneStarted) and len(pool.lanes) == 1)
        assert {event.cause for event in retired(seen)} == {"It was idle for 1 s."}
        assert (len(pool.lanes), len(pool.browsers)) == (1, 1)
        assert (await model.run({"x": [1]})).attempts == 1
        snapshot = await accelerator.snapshot()
        assert (snapshot.recoveries["lanes_lost"], snapshot.faults) == (0, ())
        assert snapshot.recoveries["lanes_retired"] == count(seen, LaneStarted)


async def test_lanes_stay_where_scaling_is_off(endless: Path) -> None:
    async with AsyncAccelerator(**FIXED, lanes=2, idle_timeout=0.2) as accelerator:
        model = await accelerator.load(endless)
        await model.run({"x": [1]})
        await asyncio.sleep(0.5)
        assert sorted(map(str, pool_of(accelerator).lanes)) == ["b1.1", "b1.2"]


async def test_idle_browser_ends_and_starts_again_where_none_need_be_kept(perceptron: Path) -> None:
    async with AsyncAccelerator(**FIXED, min_lanes=0, idle_timeout=0.5) as accelerator:
        pool = pool_of(accelerator)
        seen = record(accelerator)
        model = await accelerator.load(perceptron)
        expected = NativeSession(resolve(perceptron)).run({"x": X})["y"]
        for number in (1, 2):
            result = await model.run({"x": X})
            np.testing.assert_allclose(result["y"], expected, rtol=1e-4, atol=1e-5)
            assert result.attempts == 1
            await until(lambda: not pool.browsers)
            assert count(seen, BrowserEnded) >= number
            assert len(retired(seen)) == count(seen, BrowserEnded)
        assert (await accelerator.snapshot()).recoveries["browsers_retired"] == count(seen, BrowserEnded)


async def test_lanes_are_replaced_after_their_runs_under_load(perceptron: Path) -> None:
    async with AsyncAccelerator(**FIXED, lanes=2, max_lane_runs=25) as accelerator:
        model = await accelerator.load(perceptron)
        seen = record(accelerator)
        expected = NativeSession(resolve(perceptron)).run({"x": X})["y"]
        for _ in range(4):
            for result in await asyncio.gather(*(model.run({"x": X}) for _ in range(100))):
                np.testing.assert_allclose(result["y"], expected, rtol=1e-4, atol=1e-5)
                assert result.attempts == 1
        await until(lambda: len(retired(seen)) >= 2 and len(pool_of(accelerator).lanes) == 2)
        assert all("it has run" in event.cause for event in retired(seen))


async def test_browser_is_replaced_at_its_age_and_answers_what_it_has(endless: Path) -> None:
    async with AsyncAccelerator(**FIXED, max_browser_age=3600.0) as accelerator:
        model = await accelerator.load(endless)
        seen = record(accelerator)
        (browser,) = pool_of(accelerator).browsers.values()
        async with asyncio.timeout(PATIENCE):
            while not count(seen, BrowserEnded):
                runs = asyncio.gather(*(model.run({"x": [5]}) for _ in range(4)))
                await asyncio.sleep(0)
                browser.born = -3600.0  # and it is too old in the middle of them
                assert {result.attempts for result in await runs} == {1}
        await until(lambda: len(retired(seen)) >= 1)
        assert (await model.run({"x": [1]})).attempts == 1
        ended = next(event for event in seen if isinstance(event, BrowserEnded))
        assert not ended.lost
        assert ended.cause.startswith("It is replaced: it is ")


@pytest.mark.parametrize(("restart", "lane"), [(False, "b1.2"), (True, "b2.1")])
async def test_browser_over_its_memory_limit_is_relieved_or_restarted(
    perceptron: Path, restart: bool, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "webinfer.pool.maintenance.recycler.REST", 3600.0
    )  # however long this takes, it is relieved once
    async with AsyncAccelerator(**FIXED, restart_on_memory_pressure=restart) as accelerator:
        pool = pool_of(accelerator)
        model = await accelerator.load(perceptron)
        seen = record(accelerator)
        await accelerator.limit_memory({"chrome": 100_000})
        assert (await model.run({"x": X})).lane == "b1.1"
        await accelerator.limit_memory({"chrome": 10})  # the embedded browser stands in for Chrome
        results = []
        async with asyncio.timeout(PATIENCE):
            while lane not in map(str, pool.lanes):
                results.append(await model.run({"x": X}))
                await asyncio.sleep(0.05)
        results.append(await model.run({"x": X}))
        assert {result.attempts for result in results} == {1}
        await until(lambda: len(retired(seen)) == 1)
        assert "over its limit of 10" in retired(seen)[0].cause
        assert count(seen, BrowserStarted) == int(restart)
        assert list(map(str, pool.lanes)) == [lane]


async def test_browser_is_restarted_when_the_machine_is_short_of_memory(
    perceptron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webinfer.pool.maintenance.recycler.REST", 3600.0)
    async with AsyncAccelerator(**FIXED, restart_on_memory_pressure=True) as accelerator:
        pool = pool_of(accelerator)
        model = await accelerator.load(perceptron)
        seen = record(accelerator)
        await model.run({"x": X})
        assert not retired(seen)
        monkeypatch.setattr("webinfer.pool.plan.recycling.RESERVE", 2.0)  # every machine is short of that
        assert (await model.run({"x": X})).attempts == 1
        await until(lambda: list(map(str, pool.lanes)) == ["b2.1"] and len(retired(seen)) == 1)
        assert "MB left" in retired(seen)[0].cause
        assert (await model.run({"x": X})).lane == "b2.1"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"min_lanes": 3, "lanes": 2}, "min_lanes is 3, over lanes"),
        ({"min_lanes": -1}, "min_lanes must be 0 or more"),
        ({"idle_timeout": 0}, "idle_timeout must be above 0"),
        ({"max_lane_runs": 0}, "max_lane_runs must be above 0"),
        ({"memory_limits": {"chrom": 100}}, "Did you mean 'chrome'"),
        ({"memory_limits": {"chrome": 0}}, "memory limit of chrome must be above 0"),
    ],
)
def test_options_that_cannot_be_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        AsyncAccelerator(**keywords)


async def test_limit_that_cannot_be_is_refused_and_the_next_call_works() -> None:
    accelerator = AsyncAccelerator(**FIXED)
    with pytest.raises(OptionError, match="Did you mean 'firefox'"):
        await accelerator.limit_memory({"firefx": 100})
    await accelerator.limit_memory({"firefox": 100})
    await accelerator.limit_memory({"chrome": 200})
    assert accelerator.options.memory_limits == {"firefox": 100, "chrome": 200}
    await accelerator.close()
