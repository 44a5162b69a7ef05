"""Native runs that end: in a process with limits of time and memory, which is kept for the next run for a while."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from webinfer.core.errors import OutOfMemory, RunFailed, WebinferError
from webinfer.core.lifetime.worker_process import Job, WorkerEnded, WorkerPool
from webinfer.models.files.package import ModelPackage

SECONDS = 60.0
"""Longest time for what runs natively while a model is loaded."""

_IDLE = 15.0  # seconds that a process waits for the next run: it starts in half a second, and holds 100 MB
_LEAST = 200.0  # MB below which nothing runs
_GROUP = Path("/sys/fs/cgroup")
_EXHAUSTED = ("bad alloc", "allocate memory", "out of memory")  # how onnxruntime and the C++ library put it
_workers = WorkerPool("webinfer.accuracy.bounded.worker", _IDLE)


def native_job(package: ModelPackage, seconds: float = SECONDS) -> Job:
    """Return a job with the limits for running a model natively beside the browser that loads it.

    Args:
        package: The model. The browser is left twice its size.
        seconds: Time limit of the caller's; the shorter one of that and ``SECONDS`` holds.
    """
    memory_mb = 0.9 * available_mb() - 2 * package.nbytes / 1e6
    return Job(min(seconds, SECONDS), memory_mb)


def ask(job: Job, what: str, package: ModelPackage, directory: Path, details: Mapping[str, Any]) -> dict[str, Any]:
    """Have a model run natively, and wait for it.

    Args:
        job: By which another thread can end it; see ``native_job``.
        what: Name of the job in ``worker``.
        package: The model.
        directory: Where results are to be written.
        details: What else the job takes.

    Returns:
        The report.

    Raises:
        OutOfMemory: It needs more memory than this machine has beside the browser.
        RunFailed: It took too long, was given up, or ended the process.
        WebinferError: As the job does.
    """
    if job.memory_mb is not None and job.memory_mb < _LEAST:
        raise _exhausted(package, job)
    order = {
        "job": what,
        "package": base64.b64encode(pickle.dumps(package)).decode(),
        "directory": str(directory),
        **details,
    }
    try:
        return _workers.ask(order, job)
    except WorkerEnded as ended:
        reasons = {
            "time": f"took longer than {job.seconds or 0:g} s",
            "cancelled": "was given up",
            "ended": "ended the process that it ran in",
        }
        raise RunFailed(f"Running {package.name} natively {reasons[ended.why]}.", reason=ended.why) from ended
    except WebinferError as error:
        if any(words in str(error).lower().replace("_", " ") for words in _EXHAUSTED):
            raise _exhausted(package, job) from error
        raise


def end_idle() -> None:
    """End the process that waits for the next run, if there is one."""
    _workers.close()


def available_mb() -> float:
    """Return the memory that this process may still have: the machine's, or its control group's where that is less."""
    available = float(psutil.virtual_memory().available)
    try:
        most, current = ((_GROUP / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        available = min(available, float(most) - float(current))
    except (OSError, ValueError):
        pass  # there is no group, or it has no limit
    return available / 1e6


def _exhausted(package: ModelPackage, job: Job) -> OutOfMemory:
    has = f"{max(job.memory_mb or 0, 0):.0f} MB"
    return OutOfMemory(
        f"Running {package.name} natively takes more memory than this machine has beside the browser, {has}."
    )
