"""A snapshot tells what is there: to its own process, and to others that have the token."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper

from tests.browser.conftest import Save, start
from webinfer import Accelerator, AsyncAccelerator, Snapshot
from webinfer.core.errors import BackendError, Forbidden, PoolClosed
from webinfer.telemetry.registry import Entry, running
from webinfer.transport.server import Host

pytestmark = pytest.mark.browser

X = np.ones((1, 8), np.float32)


def entries(pid: int) -> list[Entry]:
    return [entry for entry in running() if entry.pid == pid]


def lanes(snapshot: Snapshot) -> list[str]:
    return [lane.id for browser in snapshot.browsers for lane in browser.lanes]


@pytest.mark.parametrize("browser", ["embedded", "firefox"])
def test_snapshot_tells_browsers_lanes_sessions_and_runs(
    accelerators: Callable[[str], Accelerator], perceptron: Path, browser: str
) -> None:
    accelerator = accelerators(browser)
    model = accelerator.load(perceptron, platform="wasm")
    before = accelerator.snapshot()
    for _ in range(3):
        model.run({"x": X})
    seen = accelerator.snapshot()
    (shown,) = seen.browsers
    assert (shown.name, shown.pid, seen.pid) == (browser, shown.pid, os.getpid())
    assert psutil.pid_exists(shown.pid)
    assert shown.version == accelerator.start().engine_version
    assert 20 < (shown.memory_mb or 0) < 10_000
    assert 0 < shown.uptime < seen.uptime
    (lane,) = shown.lanes
    assert (lane.id.split(".")[0], lane.running, lane.loading, lane.oldest) == (shown.id, 0, None, None)
    assert "onnxruntime-web" in lane.runtime
    ours = ("wasm", model.package.sha256)
    session = next(each for each in lane.sessions if (each.backend, each.model_sha256) == ours)
    assert (session.model, session.backend, session.precision) == (model.name, "wasm", "fp32")
    queue = next(each for each in seen.queue if each.session == session)
    earlier = next((each.runs for each in before.queue if each.session == session), 0)
    assert (queue.runs - earlier, queue.waiting, queue.oldest, queue.running, queue.lanes) == (3, 0, None, 0, 1)
    assert seen.totals.runs - before.totals.runs == 3
    assert seen.recent.runs >= 3
    assert seen.recent.p50 is not None
    assert before.browsers[0].lanes[0].busy < lane.busy
    model.close()


def test_snapshot_survives_json(embedded: Accelerator, perceptron: Path) -> None:
    with embedded.load(perceptron, platform="wasm") as model:
        model.run({"x": X})
        fields = embedded.snapshot().to_dict()
    again = json.loads(json.dumps(fields, allow_nan=False))
    assert again.keys() == fields.keys()
    assert again["browsers"][0]["lanes"][0]["sessions"][0]["model"]


async def test_snapshot_before_the_start_starts_nothing() -> None:
    accelerator = AsyncAccelerator(browser="embedded")
    seen = await accelerator.snapshot()
    assert (seen.browsers, seen.queue, seen.totals.runs) == ((), (), 0)
    assert entries(os.getpid()) == [] or all(entry.started < seen.at - seen.uptime for entry in entries(os.getpid()))
    await accelerator.close()
    with pytest.raises(PoolClosed):
        await accelerator.snapshot()


async def test_snapshot_sees_what_waits_and_what_runs(perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(perceptron, platform="wasm")
        running = [asyncio.create_task(model.run({"x": X})) for _ in range(400)]
        await asyncio.sleep(0)  # so that all are asked for, and none is answered
        seen = await accelerator.snapshot()
        await asyncio.gather(*running)
        after = await accelerator.snapshot()
    total = seen.totals
    assert 398 <= total.waiting + total.running + total.runs <= 400  # an answer is counted one turn of the loop later
    assert after.totals.waiting == after.totals.running == 0
    assert (after.totals.runs, after.queue[0].runs) == (400, 400)


def test_failed_runs_are_counted_and_named(save: Save) -> None:
    path = save(
        helper.make_node("Gather", ["w", "x"], ["y"]),
        dtype=TensorProto.INT64,
        out=TensorProto.FLOAT,
        initializers=(_table(),),
    )
    with start("embedded") as accelerator, accelerator.load(path, platform="wasm") as model:
        for _ in range(2):
            with pytest.raises(BackendError):
                model.run({"x": np.array([99], np.int64)})
        seen = accelerator.snapshot()
    assert seen.errors == {"backend.run": 2}
    (fault,) = seen.faults
    assert (fault.kind, fault.code, fault.times, fault.model) == ("request", "backend.run", 2, model.name)
    assert fault.reason
    assert seen.browsers[0].lanes[0].errors == 2


async def test_killed_browser_shows_as_lost_and_recovered(perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(perceptron, platform="wasm")
        before = await accelerator.snapshot()
        os.kill(before.browsers[0].pid, signal.SIGKILL)
        await asyncio.gather(*(model.run({"x": X}) for _ in range(20)))
        after = await accelerator.snapshot()
    assert (after.recoveries["browsers_lost"], after.recoveries["browsers_started"]) == (1, 2)
    assert after.recoveries["requests_recovered"] <= after.recoveries["requests_rerun"]
    assert [browser.id for browser in after.browsers] != [browser.id for browser in before.browsers]
    assert set(lanes(after)).isdisjoint(lanes(before))
    assert "browser" in {fault.kind for fault in after.faults}


async def test_status_needs_its_token_and_the_access_key_will_not_do() -> None:
    host = Host()
    await host.start()
    async with aiohttp.ClientSession() as client:
        for given in ("", "Bearer", "Bearer guess", f"Bearer {host.access}", host.status_token, "Bearer \u00fc"):
            async with client.get(f"{host.origin}/status", headers={"Authorization": given}) as response:
                assert response.status == 403
                assert (await response.json())["code"] == Forbidden.code
        right = {"Authorization": f"Bearer {host.status_token}"}
        async with client.get(f"{host.origin}/status", headers=right) as response:
            assert response.status == 404  # nobody reports yet
        async with client.get(f"{host.origin}/status", headers={**right, "Origin": "http://evil.example"}) as response:
            assert response.status == 403
    await host.close()


async def test_status_is_the_snapshot_and_is_gone_after_close() -> None:
    known = entries(os.getpid())
    async with AsyncAccelerator(browser="embedded") as accelerator:
        (entry,) = (entry for entry in entries(os.getpid()) if entry not in known)
        seen = await asyncio.to_thread(entry.status)
        own = await accelerator.snapshot()
        assert seen.keys() == own.to_dict().keys()
        assert seen["browsers"][0]["pid"] == own.browsers[0].pid
    assert entry not in entries(os.getpid())
    assert not entry.path.exists()


async def test_accelerator_works_where_it_cannot_be_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(origin: str, token: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("webinfer.api.lifecycle.announce", fail)
    async with AsyncAccelerator(browser="embedded") as accelerator:
        assert (await accelerator.snapshot()).browsers


_VICTIM = """
import sys, time
from webinfer import Accelerator
accelerator = Accelerator(browser="embedded")
accelerator.start()
print("running", flush=True)
time.sleep(60)
"""


def test_entry_of_a_killed_process_is_ignored_and_removed(embedded: Accelerator) -> None:
    victim = subprocess.Popen([sys.executable, "-c", _VICTIM], stdout=subprocess.PIPE)
    assert victim.stdout is not None
    with victim.stdout:
        assert victim.stdout.readline() == b"running\n"
    (entry,) = entries(victim.pid)
    assert entry.status()["pid"] == victim.pid
    victim.kill()
    victim.wait()
    assert entries(victim.pid) == []
    assert not entry.path.exists()


def _table() -> TensorProto:
    return helper.make_tensor("w", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0])
