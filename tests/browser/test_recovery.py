"""What is lost is replaced, and the next request works."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.browser.conftest import BROWSERS, Save
from webinfer import Accelerator, AsyncAccelerator
from webinfer.core.errors import (
    BrowserNotFound,
    DeadlineExceeded,
    FrameTooLarge,
    LaunchFailed,
    LostError,
    OptionError,
    PoolClosed,
    PortInUse,
)
from webinfer.inference.model import AsyncModel
from webinfer.pool.events import BrowserStarted
from webinfer.pool.pool import Pool

pytestmark = pytest.mark.browser


@pytest.fixture
def slow(save: Save) -> Path:
    """A model that multiplies matrices for some seconds: as long as ``x`` asks for, 20 ms or so a turn."""
    side = 256
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "weights"], ["next"]),
            helper.make_node("Identity", ["going"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [side, side]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [side, side]),
        ],
    )
    identity = np.eye(side, dtype=np.float32)
    return save(
        helper.make_node("Squeeze", ["x"], ["turns"]),
        helper.make_node("Loop", ["turns", "", "weights"], ["final"], body=body),
        helper.make_node("ReduceSum", ["final"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["total"], to=TensorProto.INT64),
        helper.make_node("Mul", ["total", "x"], ["y"]),
        dtype=TensorProto.INT64,
        shape=(1,),
        initializers=(numpy_helper.from_array(identity, "weights"),),
    )


def _pool(accelerator: AsyncAccelerator) -> Pool:
    assert accelerator._pool is not None
    return accelerator._pool


async def _running(accelerator: AsyncAccelerator, model: AsyncModel, inputs: Any, **options: Any) -> asyncio.Task[Any]:
    """Start a request and return once a lane has it."""
    task = asyncio.create_task(model.run(inputs, **options))
    while not _pool(accelerator).busy:  # noqa: ASYNC110  # the pool announces no dispatches
        await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("browser", BROWSERS)
async def test_request_survives_the_loss_of_its_browser(slow: Path, browser: Any) -> None:
    async with AsyncAccelerator(browser=browser) as accelerator:
        model = await accelerator.load(slow, platform="wasm")
        task = await _running(accelerator, model, {"x": [1000]})
        pool = _pool(accelerator)
        started: list[BrowserStarted] = []
        pool.listen(lambda event: started.append(event) if isinstance(event, BrowserStarted) else None)
        (victim,) = pool.browsers.values()
        os.kill(victim.pid, signal.SIGKILL)
        result = await task
        assert result.outputs["y"].tolist() == [256 * 1000]
        assert result.attempts == 2
        (successor,) = started  # b2; b3 where that did not start in time
        assert result.lane.startswith(f"{successor.browser}.")
        assert (await accelerator.metrics())["bridge"]["retries"] == 1


async def test_request_fails_with_the_loss_where_retries_are_off(slow: Path) -> None:
    async with AsyncAccelerator(browser="embedded", retries=0) as accelerator:
        model = await accelerator.load(slow, platform="wasm")
        task = await _running(accelerator, model, {"x": [1000]})
        (browser,) = _pool(accelerator).browsers.values()
        os.kill(browser.pid, signal.SIGKILL)
        with pytest.raises(LostError):
            await task
        assert (await model.run({"x": [1]})).outputs["y"].tolist() == [256]


@pytest.mark.parametrize("browser", BROWSERS)
async def test_deadline_ends_the_lane_and_spares_the_other_request(slow: Path, browser: Any) -> None:
    async with AsyncAccelerator(browser=browser) as accelerator:
        model = await accelerator.load(slow, platform="wasm")
        began = time.monotonic()
        doomed = await _running(accelerator, model, {"x": [10**6]}, timeout=1.0)
        other = asyncio.create_task(model.run({"x": [2]}))
        with pytest.raises(DeadlineExceeded, match="running"):
            await doomed
        assert time.monotonic() - began < 30, "the run would go on for an hour"
        result = await other
        assert result.outputs["y"].tolist() == [512]
        assert result.lane == "b1.2"


async def test_deadline_of_a_waiting_request_leaves_the_lane_alone(slow: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(slow, platform="wasm")
        running = await _running(accelerator, model, {"x": [10**6]})
        (lane,) = _pool(accelerator).lanes.values()
        for stage in ("sent", "queued"):
            with pytest.raises(DeadlineExceeded, match=stage):
                await model.run({"x": [1]}, timeout=0.05)
        assert not running.done()
        assert not lane.lost.done()
        assert list(_pool(accelerator).lanes.values()) == [lane]
        running.cancel()


async def test_cancelled_request_leaves_the_lane_usable(slow: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(slow, platform="wasm")
        task = await _running(accelerator, model, {"x": [1000]})
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await model.run({"x": [3]})).outputs["y"].tolist() == [768]


async def test_message_over_the_limit_is_refused_before_it_is_sent(save: Save) -> None:
    async with AsyncAccelerator(browser="embedded", max_message_mb=1) as accelerator:
        model = await accelerator.load(save(helper.make_node("Neg", ["x"], ["y"])), platform="wasm")
        with pytest.raises(FrameTooLarge, match="max_message_mb"):
            await model.run({"x": np.zeros(1_000_000, np.float32)})
        assert (await model.run({"x": [2.0]})).outputs["y"] == -2


async def test_answer_over_the_limit_is_refused_by_the_lane(save: Save) -> None:
    nodes = helper.make_node("Expand", ["x", "to"], ["y"])
    path = save(nodes, shape=(1,), initializers=(numpy_helper.from_array(np.array([1_000_000]), "to"),))
    async with AsyncAccelerator(browser="embedded", max_message_mb=1) as accelerator:
        model = await accelerator.load(path, platform="wasm")
        for _ in range(2):
            with pytest.raises(FrameTooLarge, match=r"max_message_mb|limit"):
                await model.run({"x": [2.0]})


def _script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_browser_that_dies_at_start_is_reported_with_what_it_said(tmp_path: Path) -> None:
    broken = _script(
        tmp_path / "chromium",
        'case "$*" in *--version*) echo Chromium 1.0; exit 0;; esac; echo "no display at all" >&2; exit 7',
    )
    accelerator = Accelerator(executable=broken)
    try:
        with pytest.raises(LaunchFailed, match="no display at all"):
            accelerator.start()
    finally:
        accelerator.close()


def test_browser_that_never_reports_is_given_up(tmp_path: Path) -> None:
    mute = _script(tmp_path / "chromium", 'case "$*" in *--version*) echo Chromium 1.0; exit 0;; esac; sleep 60')
    with pytest.raises(LaunchFailed, match="launch_timeout"), Accelerator(executable=mute, launch_timeout=1.0):
        pass


def test_missing_browser_is_named_with_the_remedy(tmp_path: Path) -> None:
    accelerator = Accelerator(executable=tmp_path / "nothing")
    with pytest.raises(BrowserNotFound, match="nothing"):
        accelerator.start()
    accelerator.close()


def test_port_in_use_leaves_the_accelerator_usable() -> None:
    with Accelerator(browser="embedded") as first:
        port = first._inner._lifecycle.host.port  # type: ignore[union-attr]
        second = Accelerator(browser="embedded", port=port)
        with pytest.raises(PortInUse, match=str(port)):
            second.start()
        first.close()
        assert second.start().engine == "chromium"
        second.close()


@pytest.mark.parametrize(("option", "near"), [("browsr", "browser"), ("lane", "lanes")])
def test_unknown_option_names_the_nearest(option: str, near: str) -> None:
    with pytest.raises(OptionError, match=near):
        Accelerator(**{option: 1})  # type: ignore[arg-type]


_VICTIM = """
import sys, numpy as np
from webinfer import Accelerator
accelerator = Accelerator(browser=sys.argv[1])
model = accelerator.load(sys.argv[2], platform="wasm")
print("running", flush=True)
model.run({"x": [10**6]})
"""


@pytest.mark.parametrize("browser", BROWSERS)
def test_nothing_survives_the_kill_of_python_in_the_middle_of_a_run(slow: Path, browser: str) -> None:
    temporary = Path(tempfile.mkdtemp(prefix="wk-"))  # short enough for a browser's sockets
    environment = {**os.environ, "TMPDIR": str(temporary)}
    victim = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, browser, str(slow)], stdout=subprocess.PIPE, env=environment
    )
    assert victim.stdout is not None
    with victim.stdout:
        assert victim.stdout.readline() == b"running\n"
    time.sleep(0.5)
    family = psutil.Process(victim.pid).children(recursive=True)
    assert len(family) > 2
    assert list(temporary.iterdir())
    victim.kill()
    victim.wait()
    assert _eventually(lambda: not any(map(_is_alive, family)))
    assert _eventually(lambda: not list(temporary.iterdir()))


def _is_alive(process: psutil.Process) -> bool:
    try:  # a zombie has ended, and waits for an init that takes its time
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _eventually(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


async def test_session_that_gave_way_is_created_again_when_it_is_needed(save: Save) -> None:
    weights = numpy_helper.from_array(np.ones((500, 500), np.float32), "w")
    paths = [
        save(helper.make_node(kind, ["x", "w"], ["y"]), shape=(500, 500), initializers=(weights,))
        for kind in ("Add", "Mul")
    ]
    x = np.full((500, 500), 3, np.float32)
    async with AsyncAccelerator(browser="embedded", lane_capacity_mb=1.5) as accelerator:
        models = [await accelerator.load(path, platform="wasm") for path in paths]
        for _ in range(2):
            for model, expected in zip(models, (4, 3), strict=True):
                assert (await model.run({"x": x})).outputs["y"][0, 0] == expected
        figures = await accelerator.metrics()
    assert figures["bridge"]["bridge_stats"]["total_model_loads"] == 6


async def test_close_ends_a_start_under_way() -> None:
    accelerator = AsyncAccelerator(browser="embedded")
    starting = asyncio.create_task(accelerator.start())
    await asyncio.sleep(0.1)
    await accelerator.close()
    with pytest.raises(PoolClosed):
        await starting


async def test_sync_accelerator_closes_inside_a_running_loop(perceptron: Path) -> None:
    with Accelerator(browser="embedded") as accelerator:
        assert accelerator.run(perceptron, {"x": [0.0] * 8}).outputs["y"].shape == (1, 4)
    with pytest.raises(PoolClosed):
        accelerator.start()


def test_model_keeps_its_accelerator_alive(perceptron: Path) -> None:
    model = Accelerator(browser="embedded").load(perceptron, platform="wasm")
    gc.collect()
    assert model.run({"x": [0.0] * 8}).outputs["y"].shape == (1, 4)
    del model
    gc.collect()
