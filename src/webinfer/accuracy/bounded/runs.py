"""What runs natively while models are loaded: beside the browser, once for each model, and no longer than its owner."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import TypeVar

from webinfer.accuracy.bounded.process import SECONDS, end_idle, native_job
from webinfer.accuracy.bounded.reference import Reference, is_answered, reference
from webinfer.core.lifetime.worker_process import Job, in_thread
from webinfer.models.files.package import ModelPackage

T = TypeVar("T")


class NativeRuns:
    """Native runs of one accelerator.

    Args:
        seconds: Longest time for one.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._jobs: set[Job] = set()
        self._closed = False
        _open.add(self)
        self._references: dict[str, asyncio.Task[Reference]] = {}  # those under way, by the model's hash

    def __repr__(self) -> str:
        return f"<NativeRuns {len(self._jobs)}>"

    async def do(self, package: ModelPackage, work: Callable[[Job], T]) -> T:
        """Do work that runs a model natively, in a thread; it ends with the caller, and when this is closed.

        Args:
            package: The model.
            work: Takes the job that ends it.

        Returns:
            What the work returns.
        """
        job = native_job(package, self._seconds)
        self._jobs.add(job)
        if self._closed:
            job.cancel()
        try:
            return await in_thread(job, lambda: work(job))
        finally:
            self._jobs.discard(job)

    def begin(self, package: ModelPackage) -> asyncio.Task[Reference]:
        """Have a model's canaries answered from now on, unless that is under way; nobody need wait for it.

        Args:
            package: The model.

        Returns:
            The task; it ends with the answers, or why there are none.
        """
        task = self._references.get(package.sha256)
        if task is None:
            task = asyncio.create_task(self.do(package, lambda job: reference(package, job)))
            self._references[package.sha256] = task
            task.add_done_callback(lambda _: self._references.pop(package.sha256, None))
            task.add_done_callback(_look_at)
        return task

    def expect(self, package: ModelPackage) -> None:
        """Have a model's canaries answered from now on, if nothing is known of them: before a browser is up to load it.

        Args:
            package: The model.
        """
        if not self._closed and not is_answered(package):
            self.begin(package)

    async def reference(self, package: ModelPackage) -> Reference:
        """Return native onnxruntime's answers to a model's canaries.

        Args:
            package: The model.

        Raises:
            RunFailed: This was closed meanwhile.
        """
        return await asyncio.shield(self.begin(package))

    def close(self) -> None:
        """Give everything up that is under way. The last one to be closed leaves no process behind."""
        self._closed = True
        for job in self._jobs:
            job.cancel()
        _open.discard(self)
        if not _open:
            end_idle()


def _look_at(task: asyncio.Task[Reference]) -> None:
    """Have an error count as seen: whoever waits for the task gets it, and nobody may."""
    if not task.cancelled():
        task.exception()


_open: weakref.WeakSet[NativeRuns] = weakref.WeakSet()  # those that may still have models run natively
