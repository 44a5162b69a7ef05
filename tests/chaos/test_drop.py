"""What a dropped socket costs: its lane, one more run of what was on it, and nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.chaos import debugger
from tests.chaos.target import transport_of
from tests.chaos.workload import SIDE, make_endless
from webinfer import AsyncAccelerator
from webinfer.core.options import Options
from webinfer.core.placement import LaneId
from webinfer.pool.events import Event, RunFailedEvent, RunFinished
from webinfer.pool.pool import Pool

TURNS = 500.0  # a second or so
PATIENCE = 60.0  # seconds; Chromium waits for two before it ends a worker that computes

pytestmark = pytest.mark.browser("embedded")


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # the pool announces no dispatches
            await asyncio.sleep(0.01)


async def _drop(pool: Pool) -> None:
    """Drop the socket of the first lane while it has a request."""
    await _until(lambda: pool.busy > 0)
    transport_of(pool.lanes[LaneId("b1", 1)]._connection).abort()


async def _workers(pool: Pool) -> int:
    """Count the page's workers, as its browser does."""
    (browser,) = pool.browsers.values()
    async with debugger.chrome(browser) as page:
        return await page.run_in_workers("0")


async def test_request_on_a_dropped_socket_is_answered_once_by_the_lanes_successor(tmp_path: Path) -> None:
    events: list[Event] = []
    async with AsyncAccelerator(browser="embedded", platform="wasm", threads=1) as accelerator:
        model = await accelerator.load(make_endless(tmp_path))
        assert accelerator._pool is not None
        accelerator._pool.listen(events.append)
        running = asyncio.create_task(model.run({"x": [TURNS]}))
        await _drop(accelerator._pool)
        result = await running
        assert (result.lane, result.attempts) == ("b1.2", 2)
        assert result.outputs["y"] == np.float32(SIDE * TURNS)
        await asyncio.sleep(0.1)
        runs = [type(event) for event in events if isinstance(event, RunFailedEvent | RunFinished)]
        assert runs == [RunFailedEvent, RunFinished]


async def test_worker_behind_a_dropped_socket_is_ended_in_the_middle_of_its_run(tmp_path: Path) -> None:
    options = Options(browser="embedded", platform="wasm", threads=1, browser_args=debugger.FLAGS)
    async with AsyncAccelerator(options) as accelerator:
        model = await accelerator.load(make_endless(tmp_path))
        pool = accelerator._pool
        assert pool is not None
        before = await _workers(pool)
        running = asyncio.create_task(model.run({"x": [1e6]}))
        await asyncio.sleep(0.1)  # it computes by now
        await _drop(pool)
        await _until(lambda: bool(pool.in_flight.get(LaneId("b1", 2))))
        async with asyncio.timeout(PATIENCE):
            while await _workers(pool) > before:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        running.cancel()
