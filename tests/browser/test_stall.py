"""A host that was blocked or stopped for long keeps its browser, and says that it was."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.chaos.target import transport_of
from tests.processes import send
from webinfer import AsyncAccelerator
from webinfer.browsers.processes.process_tree import processes
from webinfer.pool.events import Event, HeartbeatMissed, HostStalled
from webinfer.transport.wire.conversation import MISSED

HEARTBEAT = 0.5
STALL = 6 * HEARTBEAT  # twice the silence after which a page is lost
X = [0.0] * 8

pytestmark = pytest.mark.browser("embedded")


async def test_blocked_loop_loses_neither_browser_nor_answers_and_is_counted(perceptron: Path) -> None:
    events: list[Event] = []
    async with AsyncAccelerator(browser="embedded", platform="wasm", heartbeat=HEARTBEAT) as accelerator:
        model = await accelerator.load(perceptron)
        assert accelerator._pool is not None
        accelerator._pool.listen(events.append)
        large = model.submit(np.zeros((200_000, 8), np.float32), timeout=STALL / 2)  # MBs of answer, late by then
        small = model.submit(X, timeout=STALL / 2)
        (lane,) = accelerator._pool.lanes.values()
        await asyncio.sleep(0)
        while transport_of(lane._connection).get_write_buffer_size():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)
        time.sleep(STALL)  # noqa: ASYNC251  # to block is the point
        assert [(result.lane, result.attempts) for result in (await large, await small)] == [("b1.1", 1)] * 2
        await asyncio.sleep(4 * HEARTBEAT)  # a page that took its host for gone would be missed by now
        assert (await model.run(X)).lane == "b1.1"
        stalls = [event.seconds for event in events if isinstance(event, HostStalled)]  # a busy machine may add some
        assert sum(seconds >= STALL - HEARTBEAT for seconds in stalls) == 1
        seen = await accelerator.snapshot()
        assert seen.recoveries["host_stalls"] == len(stalls)
        assert (seen.recoveries["lanes_lost"], seen.recoveries["browsers_lost"]) == (0, 0)
        assert {(fault.kind, fault.code) for fault in seen.faults} == {("host", "host.stalled")}


_SCRIPT = f"""
import sys, time
from webinfer import Accelerator
with Accelerator(browser="embedded", platform="wasm", heartbeat={HEARTBEAT}) as accelerator:
    model = accelerator.load(sys.argv[1])
    print(model.run({X}).lane, flush=True)
    sys.stdin.readline()
    print(model.run({X}).lane, accelerator.snapshot().recoveries["browsers_lost"], flush=True)
"""


def test_stopped_process_has_its_browser_when_it_goes_on(perceptron: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(perceptron)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "b1.1\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(STALL)
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(4 * HEARTBEAT)
        print(file=process.stdin, flush=True)
        assert process.stdout.read() == "b1.1 0\n"
    assert process.returncode == 0


async def test_page_that_is_silent_while_its_host_listens_is_lost_all_the_same(perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded", platform="wasm", heartbeat=HEARTBEAT) as accelerator:
        model = await accelerator.load(perceptron)
        assert accelerator._pool is not None
        (browser,) = accelerator._pool.browsers.values()
        send(signal.SIGSTOP, processes(browser.pid))
        misses: list[Event] = []
        accelerator._pool.listen(lambda event: misses.append(event) if isinstance(event, HeartbeatMissed) else None)
        await asyncio.wait([browser.lost])
        assert "missed its heartbeats" in str(browser.lost.result())
        assert len(misses) <= MISSED + 1, "it is lost within as many"
        assert not (await model.run(X)).lane.startswith(f"{browser.id}.")
