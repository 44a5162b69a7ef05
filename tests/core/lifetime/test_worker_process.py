"""Work in a process of its own: it is answered, given up, timed and limited."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from webinfer.core.errors import RunFailed
from webinfer.core.lifetime.worker_process import Job, WorkerEnded, WorkerPool, WorkerProcess, in_thread

PLAYGROUND = "tests.core.lifetime.playground"


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    process = WorkerProcess(PLAYGROUND)
    yield process
    process.close()


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    workers = WorkerPool(PLAYGROUND, idle=60)
    yield workers
    workers.close()


def ended(worker: WorkerProcess | WorkerPool, order: dict[str, Any], job: Job) -> str:
    with pytest.raises(WorkerEnded) as caught:
        worker.ask(order, job)
    return caught.value.why


def test_jobs_are_done_by_one_process_one_after_the_other(worker: WorkerProcess) -> None:
    first = worker.ask({"do": "nothing"}, Job())
    assert worker.ask({"do": "print"}, Job()) == first  # what is printed is no answer
    with pytest.raises(RunFailed, match="it failed") as caught:
        worker.ask({"do": "fail"}, Job())
    assert caught.value.data == {"reason": "asked"}
    assert worker.ask({"do": "nothing"}, Job()) == first


def test_process_that_ends_by_itself_is_told_apart(worker: WorkerProcess) -> None:
    assert ended(worker, {"do": "end"}, Job(seconds=60)) == "ended"


def test_work_ends_when_its_time_is_over(worker: WorkerProcess) -> None:
    worker.ask({"do": "nothing"}, Job())
    began, job = time.monotonic(), Job(seconds=0.2)
    assert ended(worker, {"do": "sleep"}, job) == "time"
    assert time.monotonic() - began < 30
    assert not job.cancelled


def test_work_that_was_given_up_before_it_began_does_not_begin(worker: WorkerProcess) -> None:
    job = Job()
    job.cancel()
    assert ended(worker, {"do": "sleep"}, job) == "cancelled"


def test_work_can_be_given_up_from_another_thread(worker: WorkerProcess) -> None:
    job = Job()
    with pytest.raises(WorkerEnded):
        worker.ask({"do": "sleep"}, job, lambda _: threading.Thread(target=job.cancel).start())
    assert job.cancelled


def test_no_more_memory_is_had_than_allowed(worker: WorkerProcess) -> None:
    worker.ask({"do": "allocate", "nbytes": 100_000_000}, Job(memory_mb=400))
    with pytest.raises(RunFailed, match="no memory"):
        worker.ask({"do": "allocate", "nbytes": 1_000_000_000}, Job(memory_mb=400))
    worker.ask({"do": "allocate", "nbytes": 1_000_000_000}, Job(memory_mb=2000))  # the limit is the job's


def test_memory_is_watched_where_the_system_does_not(worker: WorkerProcess) -> None:
    assert ended(worker, {"do": "watch"}, Job()) == "ended"


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_interrupt_is_for_the_process_that_asks(worker: WorkerProcess) -> None:
    pid = worker.ask({"do": "nothing"}, Job())["pid"]
    psutil.Process(pid).send_signal(signal.SIGINT)
    assert worker.ask({"do": "nothing"}, Job())["pid"] == pid


def test_process_ends_with_who_asked() -> None:
    code = (
        f"from webinfer.core.lifetime.worker_process import *; w = WorkerProcess({PLAYGROUND!r})\n"
        "print(w.ask({'do': 'nothing'}, Job())['pid'], flush=True); w.ask({'do': 'sleep'}, Job())"
    )
    asker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert asker.stdout is not None
    pid = int(asker.stdout.readline())
    child = psutil.Process(pid)
    asker.kill()
    asker.wait()
    asker.stdout.close()
    child.wait(30)


def test_idle_process_is_kept_and_lost_one_is_not(pool: WorkerPool) -> None:
    first = pool.ask({"do": "nothing"}, Job())["pid"]
    with pytest.raises(RunFailed):
        pool.ask({"do": "fail"}, Job())
    assert pool.ask({"do": "nothing"}, Job())["pid"] == first
    assert ended(pool, {"do": "end"}, Job()) == "ended"
    second = pool.ask({"do": "nothing"}, Job())["pid"]
    assert second != first
    pool.close()
    assert pool.ask({"do": "nothing"}, Job())["pid"] != second


def test_idle_process_ends_after_a_while() -> None:
    pool = WorkerPool(PLAYGROUND, idle=0.1)
    pid = pool.ask({"do": "nothing"}, Job())["pid"]
    while psutil.pid_exists(pid):
        time.sleep(0.01)


async def test_work_ends_with_who_waits(pool: WorkerPool) -> None:
    job = Job()
    waiting = asyncio.create_task(in_thread(job, lambda: pool.ask({"do": "sleep"}, job)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert job.cancelled
