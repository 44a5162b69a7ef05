"""In which order requests are run, and how they are started without waiting for them."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.chaos.workload import SIDE, make_endless
from webinfer import Accelerator, AsyncAccelerator, Result
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import DeadlineExceeded, OptionError, PoolClosed, QueueFull, UnknownInput
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.probe import echo_model

pytestmark = pytest.mark.browser


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A model that computes for as many turns as ``x`` says, some milliseconds each."""
    return make_endless(tmp_path)


def note(order: list[Any], name: Any, future: asyncio.Future[Any]) -> asyncio.Future[Any]:
    future.add_done_callback(lambda _: order.append(name))
    return future


async def sent(accelerator: AsyncAccelerator, requests: int) -> None:
    """Wait until so many requests are with lanes."""
    assert accelerator._pool is not None
    while sum(map(len, accelerator._pool.in_flight.values())) < requests:  # noqa: ASYNC110  # nothing tells of it
        await asyncio.sleep(0)


async def test_higher_priority_overtakes_whatever_the_model(endless: Path, perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        blocker = await accelerator.load(endless, platform="wasm")
        model = await accelerator.load(perceptron, platform="wasm")
        order: list[str] = []
        running = [note(order, "running", blocker.submit({"x": [100]})) for _ in range(2)]
        await asyncio.sleep(0)  # they fill the lane
        later = [
            note(order, "low", model.submit({"x": np.zeros((1, 8))}, priority=-1)),
            note(order, "first", model.submit({"x": np.zeros((1, 8))})),
            note(order, "second", model.submit({"x": np.ones((1, 8))})),
            note(order, "urgent", blocker.submit({"x": [1]}, priority=3)),
        ]
        await asyncio.gather(*running, *later)
        assert order == ["running", "running", "urgent", "first", "second", "low"]


@pytest.mark.parametrize("size", [1, 8])
async def test_busy_model_does_not_starve_another(perceptron: Path, size: int) -> None:
    async with AsyncAccelerator(browser="embedded", max_batch_size=size) as accelerator:
        busy = await accelerator.load(perceptron, platform="wasm")
        other = await accelerator.load(echo_model(), platform="wasm")
        order: list[str] = []
        crowd = [note(order, "busy", busy.submit({"x": np.full((1, 8), at, np.float32)})) for at in range(400)]
        few = [note(order, "other", other.submit({"x": [float(at)]})) for at in range(3)]
        await asyncio.gather(*crowd, *few)
        last = len(order) - order[::-1].index("other")
        assert last <= 8 * size, "it has its turn after each run of the busy one"


async def test_full_queue_refuses_what_comes_and_keeps_what_it_has(endless: Path) -> None:
    async with AsyncAccelerator(browser="embedded", max_queue=2) as accelerator:
        model = await accelerator.load(endless, platform="wasm")
        turns = (500, 1, 2, 3, 4, 5)  # a lane holds two
        *kept, fifth, sixth = await asyncio.gather(
            *(model.submit({"x": [each]}) for each in turns), return_exceptions=True
        )
        assert [each["y"].item() for each in kept if isinstance(each, Result)] == [SIDE * each for each in turns[:4]]
        for refused in (fifth, sixth):
            assert isinstance(refused, QueueFull)
            assert refused.data == {"queued": 2}
            assert "raise max_queue" in str(refused)
        assert (await model.run({"x": [6]}))["y"].item() == 6 * SIDE


async def test_requests_of_a_lost_browser_run_again_in_their_order(endless: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(endless, platform="wasm")
        order: list[int] = []
        futures = [note(order, turns, model.submit({"x": [turns]})) for turns in (500, 1, 2, 3)]
        await sent(accelerator, 2)
        assert accelerator._pool is not None
        (browser,) = accelerator._pool.browsers.values()
        os.kill(browser.pid, signal.SIGKILL)
        results = await asyncio.gather(*futures)
        assert order == [500, 1, 2, 3]
        assert [result.attempts for result in results] == [2, 2, 1, 1]
        assert [result["y"].item() for result in results] == [SIDE * turns for turns in order]


async def test_submitted_request_can_be_cancelled_while_it_waits_and_while_it_runs(endless: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(endless, platform="wasm")
        running, behind, waiting, last = (model.submit({"x": [turns]}) for turns in (500, 2, 3, 4))
        await sent(accelerator, 2)
        for future in (running, behind, waiting):
            future.cancel()
        assert (await last)["y"].item() == 4 * SIDE
        assert all(future.cancelled() for future in (running, behind, waiting))
        assert (await accelerator.snapshot()).totals.waiting == 0


def test_submit_gives_a_future_to_a_thread(embedded: Accelerator, perceptron: Path) -> None:
    model = embedded.load(perceptron, platform="wasm")
    reference = NativeSession(resolve(perceptron))
    inputs = [{"x": np.random.default_rng(at).standard_normal((1, 8), np.float32)} for at in range(20)]
    futures = [model.submit(each) for each in inputs]
    assert all(isinstance(future, Future) for future in futures)
    for each, future in zip(inputs, futures, strict=True):
        np.testing.assert_allclose(future.result(60)["y"], reference.run(each)["y"], rtol=1e-5, atol=1e-6)


def test_submitted_request_fails_with_the_callers_own_error(embedded: Accelerator, perceptron: Path) -> None:
    model = embedded.load(perceptron, platform="wasm")
    with pytest.raises(UnknownInput, match="pixels"):
        model.submit({"pixels": [1.0]}).result(60)
    with pytest.raises(OptionError, match="priority must be a whole number"):
        model.submit({"x": [0.0] * 8}, priority="high").result(60)  # type: ignore[arg-type]
    assert model.submit({"x": [0.0] * 8}).result(60)["y"].shape == (1, 4)


def test_submitted_request_is_cancelled_and_bounded_from_a_thread(endless: Path) -> None:
    with Accelerator(browser="embedded") as accelerator:
        model = accelerator.load(endless, platform="wasm")
        running, waiting, late = (
            model.submit({"x": [500]}),
            model.submit({"x": [9]}),
            model.submit({"x": [9]}, timeout=0.2),
        )
        assert waiting.cancel()
        with pytest.raises(CancelledError):
            waiting.result()
        with pytest.raises(DeadlineExceeded, match=r"queued|sent"):
            late.result(60)
        assert running.result(60)["y"].item() == 500 * SIDE
        unanswered = model.submit({"x": [10**6]})
    with pytest.raises(PoolClosed):
        unanswered.result(60)
    with pytest.raises(PoolClosed):
        model.submit({"x": [1]})
