"""Benchmarks in the database: a row for each benchmark with its whole record, and a row for each figure."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from webinfer.bench.cell import Cell
from webinfer.bench.measurement.interval import cost_interval, costs_by_launch, relative_costs_by_launch
from webinfer.bench.record import Record, parse_record
from webinfer.core.errors import BenchmarkError
from webinfer.core.statistics import Interval
from webinfer.telemetry.database.connection import connect
from webinfer.telemetry.database.machine import machine
from webinfer.telemetry.database.store import Store

Figure = tuple[str, str, list[float], Interval | None]
"""A metric's name, its unit, every value, and the interval of their median."""


@contextlib.contextmanager
def opened(path: str | None) -> Iterator[Store | None]:
    """Open a database while the block runs.

    Args:
        path: The database; ``None`` opens none.

    Yields:
        The database; ``None`` for none.

    Raises:
        DatabaseError: It cannot be opened.
    """
    if path is None:
        yield None
        return
    store = Store(path)
    try:
        yield store
    finally:
        store.close()


def write(store: Store, record: Record) -> None:
    """Write a benchmark, and wait until it is on the disk. Rows that are there already are not written again.

    Args:
        store: The database.
        record: The benchmark.
    """
    store.add("machines", **machine())
    number = _identity(record.id)
    known = {row["id"] for row in store.query("SELECT id FROM measurements WHERE benchmark = ?", [number])}
    store.add(
        "benchmarks",
        id=number,
        machine=record.machine.get("id"),
        started=_seconds(record.started),
        ended=_seconds(record.ended),
        name=record.id,
        command=json.dumps(record.command),
        version=record.version,
        revision=record.revision,
        configuration=record.to_dict()["method"],
        status=record.status,
        details={"record": record.to_dict()},
    )
    for cell in record.cells:
        for metric, unit, values, bounds in figures(record, cell):
            if (own := _identity(record.id, str(cell.configuration), metric)) in known:
                continue
            store.add(
                "measurements",
                id=own,
                benchmark=number,
                **_columns(cell),
                metric=metric,
                unit=unit,
                value=bounds.estimate if bounds else values[-1],
                low=bounds.low if bounds else None,
                high=bounds.high if bounds else None,
                count=len(values),
                raw=values,
                details=_details(cell, metric, bounds),
            )
        own = _identity(record.id, str(cell.configuration), "error")
        if cell.status in ("failed", "cannot") and own not in known:
            store.add("measurements", id=own, benchmark=number, **_columns(cell), error=f"{cell.code}: {cell.why}")
    store.flush()


def load(path: str, name: str) -> Record:
    """Return a benchmark from a database.

    Args:
        path: The database.
        name: The benchmark's name, or ``latest`` or ``previous``.

    Raises:
        DatabaseError: The database cannot be opened.
        BenchmarkError: It has no benchmark of that name.
    """
    connection = connect(path, read_only=True)
    try:
        rows = connection.execute("SELECT name, details FROM benchmarks ORDER BY started DESC, id DESC").fetchall()
    finally:
        connection.close()
    names = [row[0] for row in rows]
    at = {"latest": 0, "previous": 1}.get(name, names.index(name) if name in names else len(rows))
    if at >= len(rows):
        raise BenchmarkError(f"{path} has no benchmark {name!r}. It has: {', '.join(names[:10]) or 'none'}.")
    return parse_record(json.loads(rows[at][1])["record"], f"{path}, {names[at]}")


def figures(record: Record, cell: Cell) -> Iterator[Figure]:
    """Yield a cell's figures. Those of several rounds have an interval.

    Args:
        record: The benchmark.
        cell: One of its configurations.

    Yields:
        Name, unit, values, and the interval of their median.
    """
    if cell.turns:
        costs = costs_by_launch(cell.turns)
        yield "time_per_item", "s", _flat(costs), cell.interval
        yield "latency", "s", [seconds for turn in cell.turns for seconds in turn.seconds], None
        if (reference := record.reference(cell)) is not None:
            native = costs_by_launch(reference.turns)
            yield "native_time", "s", _flat(native), cost_interval(native, record.method.confidence)
            ratios = relative_costs_by_launch(cell.turns, reference)
            yield "time_over_native", "1", _flat(ratios), cost_interval(ratios, record.method.confidence)
    if cell.starts:
        yield "start", "s", cell.starts, None
    for kind, loads in (("cold", cell.cold), ("warm", cell.warm), ("cached", cell.cached)):
        if loads:
            yield f"{kind}_load", "s", [load.seconds for load in loads], None
            yield f"{kind}_first_run", "s", [load.first_run for load in loads], None
    if cell.memory_mb is not None:
        yield "memory", "MB", [cell.memory_mb], None
    if cell.agreement is not None and cell.agreement.difference is not None:
        yield "difference_from_native", "1", [cell.agreement.difference], None


def _details(cell: Cell, metric: str, bounds: Interval | None) -> dict[str, Any] | None:
    """Return the scope of a figure's interval and, for the time, whether the answers passed; ``None`` for neither."""
    details: dict[str, Any] = {"interval": bounds.scope} if bounds else {}
    if metric == "time_per_item" and cell.agreement is not None:
        details["passed"] = cell.agreement.passed
    return details or None


def _flat(costs: list[list[float]]) -> list[float]:
    return [cost for launch in costs for cost in launch]


def _identity(*names: str) -> int:
    """Return a row's id. It depends on the names only, so that a row is never written twice."""
    return int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:8]) >> 1


def _columns(cell: Cell) -> dict[str, Any]:
    configuration, observed = cell.configuration, cell.observed
    return {
        "label": str(configuration),
        "model_name": configuration.model,
        "model": observed.get("model_sha256"),
        "family": observed.get("family"),
        "weights": observed.get("weights"),
        "backend": configuration.backend,
        "precision": observed.get("precision", configuration.precision),
        "browser_name": configuration.browser,
        "engine_version": observed.get("engine_version"),
        "verdict": cell.verdict,
        "concurrency": configuration.concurrency,
        "batch": 1,
    }


def _seconds(moment: str | None) -> float | None:
    return datetime.datetime.fromisoformat(moment).timestamp() if moment else None


def history(path: str) -> dict[str, list[tuple[str, float]]]:
    """Return this machine's benchmarks by configuration, the earliest first.

    Figures are times in units of native onnxruntime's, if all benchmarks of a configuration have that, else seconds.

    Args:
        path: The database.

    Returns:
        Names of benchmarks with their figures, by configuration.

    Raises:
        DatabaseError: It cannot be opened.
    """
    connection = connect(path, read_only=True)
    try:
        rows = connection.execute(
            "SELECT m.label, m.metric, b.name, m.value FROM measurements m JOIN benchmarks b ON b.id = m.benchmark "
            "WHERE m.metric IN ('time_per_item', 'time_over_native') AND b.machine = ? ORDER BY b.started, b.id",
            [machine()["id"]],
        ).fetchall()
    finally:
        connection.close()
    by_metric: dict[str, dict[str, list[tuple[str, float]]]] = {"time_per_item": {}, "time_over_native": {}}
    for label, metric, name, value in rows:
        by_metric[metric].setdefault(label, []).append((name, value))
    times, relative = by_metric["time_per_item"], by_metric["time_over_native"]
    return {
        label: relative[label] if len(relative.get(label, ())) == len(known) else known
        for label, known in times.items()
    }
