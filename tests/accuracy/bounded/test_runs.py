"""Native runs of an accelerator: once for each model, and no longer than their owner."""

from __future__ import annotations

import asyncio
import time
import weakref

import psutil
import pytest

from tests.accuracy.bounded.test_reference import loop
from tests.modelfiles import Write
from tests.processes import command_line
from webinfer.accuracy.bounded import runs
from webinfer.accuracy.bounded.reference import Reference, reference
from webinfer.accuracy.bounded.runs import NativeRuns
from webinfer.core.errors import RunFailed
from webinfer.core.lifetime.worker_process import Job
from webinfer.models.files.package import ModelPackage
from webinfer.models.sources.resolve import resolve

pytestmark = pytest.mark.usefixtures("own_cache")


async def test_model_runs_once_however_many_wait(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Job] = []

    def count(package: ModelPackage, job: Job) -> Reference:
        calls.append(job)
        return reference(package, job)

    monkeypatch.setattr(runs, "reference", count)
    native, package = NativeRuns(), resolve(loop(write, 2))
    native.begin(package)
    first, second = await asyncio.gather(native.reference(package), native.reference(package))
    assert first is second
    assert len(calls) == 1


async def test_model_that_is_expected_runs_once_and_then_no_more(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[ModelPackage] = []
    native, package = NativeRuns(), resolve(loop(write, 2))
    monkeypatch.setattr(native, "begin", begun.append)
    native.expect(package)
    assert begun == [package]
    reference(package, Job())
    native.expect(package)
    assert begun == [package]


async def test_nothing_runs_once_it_is_closed(write: Write) -> None:
    native, package = NativeRuns(), resolve(loop(write))
    native.close()
    native.expect(package)
    assert "0" in repr(native)
    with pytest.raises(RunFailed, match="was given up"):
        await asyncio.wait_for(native.reference(package), 30)


async def test_closing_ends_a_model_that_never_does(write: Write) -> None:
    native, began = NativeRuns(), time.monotonic()
    waiting = asyncio.create_task(native.reference(resolve(loop(write))))
    asyncio.get_running_loop().call_later(1, native.close)
    with pytest.raises(RunFailed, match="was given up"):
        await waiting
    assert time.monotonic() - began < 30


async def test_who_gives_up_waiting_leaves_the_run_to_the_others(write: Write) -> None:
    native, package = NativeRuns(), resolve(loop(write, 2))
    impatient = asyncio.create_task(native.reference(package))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await native.reference(package)).canaries


async def test_last_to_be_closed_leaves_no_process(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_open", weakref.WeakSet())
    first, second = NativeRuns(), NativeRuns()
    await first.reference(resolve(loop(write, 2)))
    first.close()
    assert workers()
    second.close()
    assert not workers()


def workers() -> list[psutil.Process]:
    """Return the processes in which models run natively."""
    children = psutil.Process().children()
    return [child for child in children if "webinfer.accuracy.bounded.worker" in command_line(child)]
