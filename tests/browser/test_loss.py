"""What is lost, given up or closed at an awkward moment leaves nothing stuck and nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from onnx import helper

from tests.browser.conftest import Save
from tests.chaos.target import transport_of
from tests.chaos.workload import make_endless
from tests.processes import having, send
from webinfer import AsyncAccelerator, AsyncModel
from webinfer.accuracy.native import run_native
from webinfer.browsers.processes.process_tree import processes
from webinfer.core.errors import DeadlineExceeded, LaunchFailed, LostError, PoolClosed
from webinfer.models.sources.resolve import resolve
from webinfer.pool.events import BrowserEnded, BrowserStarted
from webinfer.pool.pool import Pool

pytestmark = pytest.mark.browser


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A model that computes for as many turns as ``x`` says, 20 ms or so each."""
    return make_endless(tmp_path)


def _pool(accelerator: AsyncAccelerator) -> Pool:
    assert accelerator._pool is not None
    return accelerator._pool


async def _sent(pool: Pool, requests: int = 1) -> None:
    """Wait until so many requests are with lanes."""
    while sum(map(len, pool.in_flight.values())) < requests:  # noqa: ASYNC110  # the pool announces no dispatches
        await asyncio.sleep(0)


def _note(pool: Pool, *kinds: type) -> list[Any]:
    """Note events from now on."""
    seen: list[Any] = []
    pool.listen(lambda event: seen.append(event) if isinstance(event, kinds) else None)
    return seen


def _directories() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("webinfer-*"))


def _footprint() -> set[object]:
    """What this process has that could be left behind: children, listening ports, directories."""
    me = psutil.Process()
    listening = {each.laddr for each in me.net_connections() if each.status == psutil.CONN_LISTEN}
    return {*me.children(), *listening, *_directories()}


def _freeze(pool: Pool) -> list[psutil.Process]:
    return send(signal.SIGSTOP, (each for browser in pool.browsers.values() for each in processes(browser.pid)))


async def test_one_loss_brings_one_new_browser_however_many_requests_it_hit(perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded", lanes=2) as accelerator:
        model = await accelerator.load(perceptron, platform="wasm")
        pool = _pool(accelerator)
        started, ended = _note(pool, BrowserStarted), _note(pool, BrowserEnded)
        requests = [asyncio.create_task(model.run({"x": np.zeros((1, 8))})) for _ in range(1000)]
        await asyncio.sleep(0)
        (browser,) = pool.browsers.values()
        os.kill(browser.pid, signal.SIGKILL)
        await asyncio.gather(*requests)
        (successor,) = started
        assert (await model.run({"x": np.zeros((1, 8))})).lane.startswith(f"{successor.browser}.")
        assert len(started) == len(ended) == 1


async def test_run_that_its_caller_left_ends_the_lane_at_its_deadline(endless: Path, perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model, other = [await accelerator.load(path, platform="wasm") for path in (endless, perceptron)]
        abandoned = asyncio.create_task(model.run({"x": [1e6]}, timeout=1.0))
        await _sent(_pool(accelerator))
        abandoned.cancel()
        result = await other.run({"x": np.zeros((1, 8))})  # which would have to wait for hours
        assert result.lane == "b1.2"


async def test_run_that_came_too_late_to_be_wanted_ends_the_lane_at_its_deadline(endless: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(endless, platform="wasm")
        first = asyncio.create_task(model.run({"x": [2000]}))
        await _sent(_pool(accelerator))
        with pytest.raises(DeadlineExceeded, match="sent"):
            await model.run({"x": [1e6]}, timeout=0.3)
        await first
        assert (await model.run({"x": [1]})).lane == "b1.2"


async def test_request_that_kills_its_lane_does_not_take_its_neighbour_with_it(endless: Path) -> None:
    async with AsyncAccelerator(browser="embedded", retries=0) as accelerator:
        model = await accelerator.load(endless, platform="wasm")
        pool = _pool(accelerator)
        poison = asyncio.create_task(model.run({"x": [1e6]}))
        await _sent(pool)
        innocent = asyncio.create_task(model.run({"x": [1]}))
        await _sent(pool, 2)
        (lane,) = pool.lanes.values()
        transport_of(lane._connection).abort()
        with pytest.raises(LostError):
            await poison
        assert (await innocent).attempts == 2


async def test_load_that_was_given_up_does_not_spoil_the_next_one(perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded", platform="wasm") as accelerator:
        loading = asyncio.create_task(accelerator.load(perceptron))
        while not any(state.loading for state in _pool(accelerator).lane_states.values()):  # noqa: ASYNC110
            await asyncio.sleep(0)
        loading.cancel()
        model = await accelerator.load(perceptron)
        assert (await model.run({"x": np.zeros((1, 8))})).outputs["y"].shape == (1, 4)


async def test_start_that_was_given_up_does_not_spoil_the_next_one(perceptron: Path) -> None:
    accelerator = AsyncAccelerator(browser="embedded", platform="wasm")
    try:
        starting = asyncio.create_task(accelerator.start())
        while accelerator._pool is None or not accelerator._pool.browsers:  # noqa: ASYNC110  # no event tells in time
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        model = await accelerator.load(perceptron)
        assert (await model.run({"x": np.zeros((1, 8))})).attempts == 1
    finally:
        await accelerator.close()


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.4, 0.8])
async def test_close_while_it_starts_leaves_nothing(perceptron: Path, delay: float) -> None:
    before = _footprint()
    accelerator = AsyncAccelerator(browser="embedded", platform="wasm")
    loading = asyncio.create_task(accelerator.load(perceptron))
    await asyncio.sleep(delay)
    await accelerator.close()
    assert not _footprint() - before
    (outcome,) = await asyncio.gather(loading, return_exceptions=True)
    if isinstance(outcome, AsyncModel):  # a fast machine has loaded it before the end
        with pytest.raises(PoolClosed):
            await outcome.run({"x": np.zeros((1, 8))})
    else:
        assert isinstance(outcome, PoolClosed)


async def test_close_while_a_lost_browser_is_cleared_away_leaves_nothing(perceptron: Path) -> None:
    before = _footprint()
    accelerator = AsyncAccelerator(browser="embedded", platform="wasm")
    model = await accelerator.load(perceptron)
    (browser,) = _pool(accelerator).browsers.values()
    transport_of(browser._page).abort()
    running = asyncio.create_task(model.run({"x": np.zeros((1, 8))}))
    await browser.lost
    await asyncio.sleep(0)
    await accelerator.close()
    assert not _footprint() - before
    with pytest.raises(PoolClosed):
        await running


async def test_close_does_not_wait_for_a_frozen_browser_that_has_megabytes_to_read(save: Save) -> None:
    before = _footprint()
    accelerator = AsyncAccelerator(browser="embedded", platform="wasm")
    model = await accelerator.load(save(helper.make_node("Neg", ["x"], ["y"])))
    _freeze(_pool(accelerator))
    running = asyncio.create_task(model.run({"x": np.zeros(20_000_000, np.float32)}))
    await _sent(_pool(accelerator))
    began = time.monotonic()
    await accelerator.close()
    assert time.monotonic() - began < 20, "it would be for ever"
    with pytest.raises(PoolClosed):
        await running
    assert not _footprint() - before


@pytest.mark.parametrize("answering", [False, True], ids=["after its sockets closed", "while they are open"])
async def test_frozen_browser_that_thaws_after_its_loss_disturbs_nobody(
    perceptron: Path, caplog: pytest.LogCaptureFixture, answering: bool
) -> None:
    feeds = {"x": np.ones((1, 8), np.float32)}
    async with AsyncAccelerator(browser="embedded", platform="wasm", heartbeat=0.5) as accelerator:
        model = await accelerator.load(perceptron)
        pool = _pool(accelerator)
        (browser,) = pool.browsers.values()
        (lane,) = pool.lanes.values()
        frozen = _freeze(pool)
        running = asyncio.create_task(model.run(feeds))
        await asyncio.shield(browser.lost if answering else lane._connection.lost)
        send(signal.SIGCONT, frozen)
        result = await running
    # Until its socket is closed, a lane's answer is as good as another's.
    assert answering or not result.lane.startswith(f"{browser.id}.")
    np.testing.assert_allclose(result["y"], run_native(resolve(perceptron), feeds)["y"], rtol=1e-5, atol=1e-6)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_browser_lost_while_its_lane_starts_is_noticed_at_once() -> None:
    accelerator = AsyncAccelerator(browser="embedded", platform="wasm", launch_retries=0)
    starting = asyncio.create_task(accelerator.start())
    while accelerator._pool is None or not accelerator._pool.browsers:  # noqa: ASYNC110  # no event tells in time
        await asyncio.sleep(0)
    (browser,) = accelerator._pool.browsers.values()
    os.kill(browser.pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(LostError):
        await starting
    assert time.monotonic() - began < 30, "half the time that a lane is given to start"
    await accelerator.close()


async def test_browser_that_grants_no_gpu_any_more_is_replaced(perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded", platform="webgpu") as accelerator:
        model = await accelerator.load(perceptron)
        pool = _pool(accelerator)
        for _ in range(4):
            (browser,) = pool.browsers.values()
            send(signal.SIGKILL, having("--type=gpu-process", processes(browser.pid)))
            runs = (model.run({"x": np.ones((1, 8), np.float32)}) for _ in range(3))
            assert {result.backend for result in await asyncio.gather(*runs)} == {"webgpu"}
        assert "b1" not in pool.browsers, "Chromium grants no adapter after some crashes of its GPU process"


async def test_temporary_directory_without_room_is_a_launch_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null/full")
    accelerator = AsyncAccelerator(browser="embedded")
    with pytest.raises(LaunchFailed, match="TMPDIR"):
        await accelerator.start()
    monkeypatch.undo()
    assert (await accelerator.start()).engine == "chromium"
    await accelerator.close()


async def test_caller_that_leaves_as_its_answer_comes_breaks_nothing(
    perceptron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncAccelerator(browser="embedded", platform="wasm") as accelerator:
        model = await accelerator.load(perceptron)
        pool = _pool(accelerator)
        dispatcher = pool._dispatcher
        answer = dispatcher._replied

        def answer_and_leave(*given: Any) -> None:
            answer(*given)
            running.cancel()

        monkeypatch.setattr(dispatcher, "_replied", answer_and_leave)
        running: asyncio.Task[Any] = asyncio.create_task(model.run({"x": np.zeros((1, 8))}))
        with pytest.raises(asyncio.CancelledError):
            await running
        monkeypatch.undo()
        assert (await model.run({"x": np.zeros((1, 8))})).attempts == 1
