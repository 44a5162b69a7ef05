"""The one listener of an accelerator: it gets every result, and every event of the pool."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from webinfer.accuracy.outcome import Accuracy
from webinfer.core.options import Options
from webinfer.inference.result import ModelDescription, Result, RunObserver
from webinfer.models.files.package import ModelPackage
from webinfer.pool.events import Event
from webinfer.pool.pool import Pool
from webinfer.pool.requests.request import Request, is_recorded
from webinfer.telemetry.counters.counters import Counters
from webinfer.telemetry.tracing import trace_failure, trace_result

if TYPE_CHECKING:  # DuckDB takes a while to import, and few accelerators have a database
    from webinfer.telemetry.database.store import Store
    from webinfer.telemetry.database.tunings import StoredTunings
    from webinfer.telemetry.recorder.events import EventRows
    from webinfer.telemetry.recorder.rows import RunRows


class Recorder(RunObserver):
    """Takes note of what models do and of what their pool announces.

    Attributes:
        counters: What was counted.
    """

    def __init__(self) -> None:
        self.counters = Counters()
        self._rows: RunRows | None = None  # of a database, where there is one
        self._events: EventRows | None = None  # likewise, once there is a pool

    def __repr__(self) -> str:
        return f"<Recorder {self.store or 'without a database'}>"

    @property
    def store(self) -> Store | None:
        """Where rows go, once ``open`` was called; ``None`` without a database."""
        return None if self._rows is None else self._rows.store

    @property
    def tunings(self) -> StoredTunings | None:
        """Results of tuning in the database; ``None`` without one."""
        return None if self._rows is None else self._rows.tunings

    def open(self, store: Store, options: Options) -> None:
        """Record in a database from now on.

        Args:
            store: The database.
            options: The accelerator's options, which are recorded as well.
        """
        from webinfer.telemetry.recorder.rows import RunRows  # late: it brings DuckDB

        self._rows = RunRows(store, options)

    def watch(self, pool: Pool) -> None:
        """Listen to a pool.

        Args:
            pool: The pool; call this after ``open``, where there is a database.
        """
        if self._rows is not None:
            from webinfer.telemetry.recorder.events import EventRows  # late: it brings DuckDB

            self._events = EventRows(self._rows, pool, self.counters)
        pool.listen(self)

    def model(self, package: ModelPackage) -> None:
        """Take note of a model that was loaded.

        Args:
            package: The model.
        """
        self.counters.name(package.sha256, package.name, package.cid, package.precision)
        if self._rows is not None:
            self._rows.model(package)

    def checked(self, model: ModelDescription, browser: str, accuracy: Accuracy) -> None:
        """Take note of how a model's answers in a browser compare with the reference, whatever followed from it.

        Args:
            model: The model.
            browser: Name of the browser.
            accuracy: How its answers compare.
        """
        if self._rows is not None:
            self._rows.checked(model, browser, accuracy)

    def hit(self, is_loaded: bool) -> None:
        """Take note of a look-up of a model: whether it was loaded.

        Args:
            is_loaded: Whether it was loaded.
        """
        self.counters.look_up(is_loaded)

    async def take(self, model: ModelDescription, request: Request, work: Awaitable[Result]) -> Result:
        """Await a result and take note of it, or that it failed.

        Args:
            model: The model that runs.
            request: What was asked of it.
            work: Gives the result.

        Returns:
            The result that ``work`` gave.
        """
        began = time.perf_counter()
        try:
            result = await work
        except BaseException as error:
            self.failed(error, model, request, time.perf_counter() - began)
            raise
        self.answered(result, request.recorded)
        trace_result(result)
        return result

    def answered(self, result: Result, recorded: bool = True) -> None:
        """Take note of a result. Requests wait for the microseconds that this takes on the loop's thread.

        Args:
            result: The result.
            recorded: Whether it goes into the database, where there is one.
        """
        now = time.perf_counter()
        self.counters.answered(result, now)
        if recorded and self._rows is not None:
            self._rows.answered(result, now)

    def failed(
        self, error: BaseException, model: ModelDescription, request: Request | None = None, seconds: float = 0.0
    ) -> None:
        """Take note of a request that failed, or whose caller gave it up.

        Args:
            error: Why.
            model: The model that it was for.
            request: The request; ``None`` for one that was never made.
            seconds: What it took.
        """
        trace_failure(error, model, request, seconds)
        if self._rows is not None and (request.recorded if request else is_recorded()):
            self._rows.failed(error, model, request)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        self.counters(event)
        if self._events is not None:
            self._events(event)

    def report(self, format: str) -> str:
        """Write a report of this run, in a format that ``webinfer report`` knows. It waits for the disk.

        Args:
            format: ``markdown``, ``html`` or ``json``.

        Returns:
            The report, in the format asked for.

        Raises:
            OptionError: There is no such format.
        """
        assert self._rows is not None
        return self._rows.report(format)

    def close(self) -> None:
        """Write what is left. It waits for the disk."""
        if self._events is not None:
            self._events.close()
        if self._rows is not None:
            self._rows.close()
