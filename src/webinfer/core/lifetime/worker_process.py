"""Work in a process of its own, which can be given up, and which has limits of time and memory; see ``worker``."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from webinfer.core.errors import from_wire

T = TypeVar("T")

Ending = Literal["cancelled", "time", "ended"]
"""Why a process ended before it answered: it was given up, its time was over, or it ended by itself."""


class WorkerEnded(Exception):  # internal: who asked makes a typed error of it
    """A process ended before it answered.

    Args:
        why: Why.
    """

    def __init__(self, why: Ending) -> None:
        super().__init__(why)
        self.why: Ending = why


class Job:
    """Work in a process that can be given up from another thread, and by the clock.

    Args:
        seconds: Time that it may take; ``None`` for any.
        memory_mb: Memory that it may take, in 10^6 bytes; ``None`` for any.

    Attributes:
        seconds: Time that it may take.
        memory_mb: Memory that it may take.
    """

    def __init__(self, seconds: float | None = None, memory_mb: float | None = None) -> None:
        self.seconds = seconds
        self.memory_mb = memory_mb
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._ending: Ending | None = None
        self._parts: list[Job] = []

    def __repr__(self) -> str:
        return f"<Job {self._ending or ('running' if self._process else 'new')}>"

    @property
    def cancelled(self) -> bool:
        """Whether it was given up."""
        return self._ending == "cancelled"

    @property
    def ending(self) -> Ending:
        """Why its process ended, if that did."""
        return self._ending or "ended"

    def cancel(self) -> None:
        """Give the work up: its process is ended, and no other one will be started for it."""
        self._end("cancelled")

    @contextlib.contextmanager
    def part(self, seconds: float) -> Iterator[Job]:
        """Yield a job for a part of the work, with less time. It ends when this one is given up.

        Args:
            seconds: Time that the part may take.
        """
        part = Job(seconds, self.memory_mb)
        with self._lock:
            self._parts.append(part)
            if self._ending is not None:
                part.cancel()
        try:
            yield part
        finally:
            with self._lock:
                self._parts.remove(part)

    def start(self, process: subprocess.Popen[str]) -> threading.Timer | None:
        """Note the process that does it, which is ended at once where the work was given up before.

        Args:
            process: The process.

        Returns:
            The clock, started; to be stopped when the work is done. ``None`` where no time is set.
        """
        with self._lock:
            self._process = process
            if self._ending is not None:
                process.kill()
        if self.seconds is None:
            return None
        clock = threading.Timer(self.seconds, self._end, ("time",))
        clock.daemon = True
        clock.start()
        return clock

    def stop(self, clock: threading.Timer | None) -> None:
        """Leave the process alone from now on: it has answered, or it is gone.

        Args:
            clock: What ``start`` returned.
        """
        if clock is not None:
            clock.cancel()
        with self._lock:
            self._process = None

    def _end(self, why: Ending) -> None:
        with self._lock:
            if why == "time" and self._process is None:  # it answered while the clock struck
                return
            self._ending = self._ending or why
            for part in self._parts:
                part.cancel()
            if self._process is not None:
                self._process.kill()


class WorkerProcess:
    """A process that does one job after another.

    Args:
        module: The module to run, which calls ``worker.serve``.
        environment: Variables that it has besides this process's own.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            text=True,
        )

    def __repr__(self) -> str:
        return f"<WorkerProcess {self._process.pid}>"

    def ask(self, order: Mapping[str, Any], job: Job, notice: Callable[[Any], None] | None = None) -> dict[str, Any]:
        """Have a job done, and wait for it.

        Args:
            order: The job, ready for JSON.
            job: By which another thread can end it; it has the limits, too.
            notice: Called with what the process tells as it goes.

        Returns:
            The report.

        Raises:
            WorkerEnded: The process ended first. It is of no use any more.
            WebinferError: The job failed, as the process tells.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        clock = job.start(self._process)
        try:
            self._process.stdin.write(json.dumps({**order, "memory_mb": job.memory_mb}) + "\n")
            self._process.stdin.flush()
            for line in self._process.stdout:
                message = json.loads(line)
                if "notice" in message:
                    if notice is not None:
                        notice(message["notice"])
                elif "error" in message:
                    error = message["error"]
                    raise from_wire(error["code"], error["message"], error.get("data", {}))
                else:
                    report: dict[str, Any] = message["report"]
                    return report
        except BrokenPipeError:
            pass
        finally:
            job.stop(clock)
        raise WorkerEnded(job.ending)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()


class WorkerPool:
    """Processes that wait for the next job for a while, since starting one takes longer than most jobs.

    Args:
        module: The module to run; see ``WorkerProcess``.
        idle: Seconds that a process waits for work before it is ended.
    """

    def __init__(self, module: str, idle: float) -> None:
        self._module = module
        self._idle_time = idle
        self._lock = threading.Lock()
        self._idle: list[WorkerProcess] = []
        self._clock: threading.Timer | None = None
        self._owner = os.getpid()
        atexit.register(self.close)

    def __repr__(self) -> str:
        return f"<WorkerPool {self._module} idle={len(self._idle)}>"

    def ask(self, order: Mapping[str, Any], job: Job) -> dict[str, Any]:
        """Have a job done by a process that is idle, or by a new one; see ``WorkerProcess.ask``.

        Args:
            order: The job, ready for JSON.
            job: By which another thread can end it.

        Returns:
            The report.

        Raises:
            WorkerEnded: The process ended first.
            WebinferError: The job failed, as the process tells.
        """
        worker, is_sound = self._take(), False
        try:
            report = worker.ask(order, job)
            is_sound = True
            return report
        except WorkerEnded:
            raise
        except Exception:
            is_sound = True
            raise
        finally:
            self._put(worker) if is_sound else worker.close()

    def close(self) -> None:
        """End the processes that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
            if self._clock is not None:
                self._clock.cancel()
        if self._owner == os.getpid():  # not in a fork of the process that started them
            for worker in idle:
                worker.close()

    def _take(self) -> WorkerProcess:
        with self._lock:
            if self._owner != os.getpid():
                self._owner, self._idle = os.getpid(), []
            if self._idle:
                return self._idle.pop()
        return WorkerProcess(self._module)

    def _put(self, worker: WorkerProcess) -> None:
        """Keep a process for the next job; one of several that have nothing to do."""
        with self._lock:
            surplus, self._idle = self._idle, [worker]
            if self._clock is not None:
                self._clock.cancel()
            self._clock = threading.Timer(self._idle_time, self.close)
            self._clock.daemon = True
            self._clock.start()
        for other in surplus:
            other.close()


async def in_thread(job: Job, work: Callable[[], T]) -> T:
    """Wait for work in a thread that has a job done; the job ends with whoever waits.

    Args:
        job: The job.
        work: The work, which returns soon after its job was given up.

    Returns:
        What the work returns.

    Raises:
        CancelledError: The caller gave up.
    """
    try:
        return await asyncio.to_thread(work)
    except asyncio.CancelledError:
        job.cancel()
        raise
