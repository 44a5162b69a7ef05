"""Rows of a run of an accelerator: the run itself, its models, its requests and their checks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import psutil

from webinfer.accuracy.comparison import limits_for
from webinfer.accuracy.outcome import Accuracy
from webinfer.core import package_version
from webinfer.core.options import Options
from webinfer.inference.result import ModelDescription, Result
from webinfer.models.files.package import ModelPackage
from webinfer.pool.requests.request import Request
from webinfer.telemetry.counters.bounded import LruMap
from webinfer.telemetry.database.connection import MEMORY
from webinfer.telemetry.database.machine import machine, revision
from webinfer.telemetry.database.store import Store
from webinfer.telemetry.database.tunings import StoredTunings
from webinfer.telemetry.database.writer import TableRow
from webinfer.telemetry.recorder.sessions import SessionRows, describe, describe_failed
from webinfer.telemetry.report import report as write_report

_CHECKS = 10_000  # combinations that are known to have a row


class RunRows:
    """Writes the rows of one run.

    Args:
        store: Where rows go.
        options: The accelerator's options.

    Attributes:
        store: The same.
        sessions: Rows of sessions.
        tunings: Rows of contests.
        requests: Whether rows of single requests are wanted.
    """

    def __init__(self, store: Store, options: Options) -> None:
        here = machine()
        store.add("machines", **here)
        self._run = store.add(
            "runs",
            machine=here["id"],
            started=store.clock.now(),
            pid=psutil.Process().pid,
            version=package_version(),
            revision=revision(),
            options=asdict(options),
        )
        self.store = store
        self.sessions = SessionRows(store, self._run)
        self.tunings = StoredTunings(store, self._run)
        self.requests = options.store_results
        self._limits = options.accuracy_limits
        self._checked: LruMap[tuple[tuple[str, str], ...], bool] = LruMap(_CHECKS)

    def __repr__(self) -> str:
        return f"<RunRows of {self.store}>"

    def add(self, table: str, **values: Any) -> int:
        """Have a row of this run written; see ``Store.add``.

        Args:
            table: Name of the table.
            values: Values by name.

        Returns:
            Id of the row.
        """
        return self.store.add(table, **{"run": self._run, **values})

    def model(self, package: ModelPackage) -> None:
        """Write a model's row.

        Args:
            package: The model.
        """
        known = {name: getattr(package, name) for name in ("name", "cid", "family", "weights", "nbytes", "origin")}
        if "from" in package.quantized:
            known["variant_of"] = package.quantized["from"]
        self.store.add("models", sha256=package.sha256, **known)
        if package.cached is not None:
            self.sessions.cached(package.sha256, package.cached)

    def answered(self, result: Result, now: float) -> None:
        """Write the row of a request that was answered.

        Args:
            result: The answer.
            now: When it came, on the clock of ``Times``.
        """
        if self.requests:
            at = self.store.clock.at(now)
            session = self.sessions.find(at, describe(result), result.decision)
            if session is not None:
                self.store.answer(result, self._run, session, at)

    def failed(self, error: BaseException, model: ModelDescription, request: Request | None) -> None:
        """Write the row of a request that failed.

        Args:
            error: Why.
            model: The model that it was for.
            request: The request; ``None`` for one that was never made.
        """
        if not self.requests:
            return
        code = getattr(error, "code", "cancelled" if isinstance(error, asyncio.CancelledError) else "unknown")
        lane = str(request.place.id) if request and request.place else None
        session = self.sessions.find(self.store.clock.now(), describe_failed(model, lane))
        if session is None:
            return
        tried: dict[str, Any] = {"attempts": 0}
        if request is not None:
            spent = time.perf_counter() - request.submitted if request.submitted else None
            tried = {"attempts": request.attempts, "items": request.items, "batch": request.together, "total": spent}
        self.add("inferences", session=session, error_code=code, error=str(error), **tried)

    def checked(self, model: ModelDescription, browser: str, accuracy: Accuracy) -> None:
        """Write how a model's answers in a browser compare with the reference; see ``RunObserver.checked``.

        Args:
            model: The model.
            browser: Name of the browser.
            accuracy: How its answers compare.
        """
        self.store.put(self._write_checks, (model, browser, accuracy))

    def report(self, format: str) -> str:
        """Write a report of this run, in a format that ``webinfer report`` knows. It waits for the disk.

        Args:
            format: ``markdown``, ``html`` or ``json``.

        Returns:
            The report, in the format asked for.

        Raises:
            OptionError: There is no such format.
        """
        status = self.store.status
        loss = status.error or (f"{status.dropped:,} rows were lost so far." if status.dropped else None)
        path = "" if self.store.path == MEMORY else self.store.path
        with self.store.reading() as connection:
            return write_report(connection, format, runs=[self._run], path=path, loss=loss)

    def close(self) -> None:
        """Write the run's end, and close the database. It waits for the disk."""
        clock = self.store.clock
        self.store.add(
            "runs", id=self._run, ended=clock.now(), dropped=self.store.status.dropped, clock_jumps=clock.jumps
        )
        self.store.close()

    def _write_checks(self, payload: tuple[ModelDescription, str, Accuracy]) -> Iterable[TableRow]:
        """Yield a row for each measure of a comparison that has none yet. It is called on the writer's thread."""
        model, browser, accuracy = payload
        about = tuple(accuracy.combination.items())
        if about in self._checked or not accuracy.tried:
            return
        self._checked.put(about, True)
        row = {
            "run": self._run,
            "timestamp": accuracy.at,
            "model": model.package.sha256,
            "model_name": model.package.name,
            "precision": model.precision,
            "backend": model.backend,
            "browser_name": browser,
            "reference": f"onnxruntime {accuracy.reference}".strip(),
            "nbytes": model.package.nbytes,
            "details": accuracy.to_dict(),
        }
        for name, value, limit, passed in accuracy.measures(limits_for(model.precision, self._limits)):
            measured = {"metric": name, "value": value, "threshold": limit, "passed": passed}
            yield self.store.row("accuracy_checks", id=self.store.next_id(), **measured, **row)
