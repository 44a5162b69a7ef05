"""What a database says, gathered for a report: plain values by section."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb

from webinfer.telemetry.database.connection import select
from webinfer.telemetry.report import queries, words

Rows = list[dict[str, Any]]

_JSON = ("evidence", "placement", "options", "backends", "configuration", "details", "verdicts")


def gather(
    connection: duckdb.DuckDBPyConnection, runs: Sequence[int] | None = None, *, path: str = "", loss: str | None = None
) -> dict[str, Any]:
    """Return everything that a report shows.

    Args:
        connection: The database, open.
        runs: Rows of ``runs`` that it is about, with the benchmarks made since the first of them began; ``None`` for
            all.
        path: What the database is called.
        loss: What could not be recorded, in words, where that is known.
    """
    more: dict[str, int] = {}

    def ask(sql: str, **also: str) -> Rows:
        return [_read(row) for row in select(connection, queries.scoped(sql, runs, **also))]

    def listed(name: str, sql: str, most: int = queries.MOST, **also: str) -> Rows:
        rows = select(connection, queries.scoped(sql, runs, **also))
        if len(rows) > most:
            more[name] = more.get(name, 0) + len(rows) - most
        return [_read(row) for row in rows[:most]]

    known = listed("runs", queries.RUNS, queries.NEWEST)[::-1]
    newest = f"run = {known[-1]['id']}" if known else "FALSE"
    configurations = listed("configurations", queries.CONFIGURATIONS)
    _label(configurations)
    findings: dict[str, Any] = {
        "written": datetime.now(UTC).replace(tzinfo=None),
        "path": path,
        "summary": {**ask(queries.SUMMARY)[0], "loss": loss},
        "machines": ask(queries.MACHINES),
        "runs": known,
        "configurations": configurations,
        "distributions": _of(configurations, ask(queries.DISTRIBUTIONS)),
        "timeline": ask(queries.TIMELINE, newest=newest),
        "loads": listed("loads", queries.LOADS),
        "first": listed("first", queries.FIRST),
        "scaling": listed("scaling", queries.SCALING) + listed("scaling", queries.SCALING_MEASURED),
        "accuracy": listed("accuracy", queries.ACCURACY),
        "memory": ask(queries.MEMORY, newest=newest),
        "browsers": listed("browsers", queries.BROWSERS, queries.NEWEST)[::-1],
        "verdicts": listed("verdicts", queries.VERDICTS),
        "placement": _distinct(listed("placement", queries.PLACEMENT)),
        "failures": listed("failures", queries.FAILURES),
        "faults": listed("faults", queries.FAULTS),
        "recoveries": ask(queries.RECOVERIES),
        "earlier": listed("earlier", queries.EARLIER, newest=newest),
        "benched": listed("benched", queries.BENCHED),
        "benchmarks": listed("benchmarks", queries.BENCHMARKS, queries.NEWEST)[::-1],
        "more": more,
    }
    return {**findings, "machine": words.machine(findings), "notes": words.notes(findings), "method": words.METHOD}


def _read(row: dict[str, Any]) -> dict[str, Any]:
    """Return columns with their JSON as values."""
    return {
        name: json.loads(value) if name in _JSON and isinstance(value, str) else value for name, value in row.items()
    }


def _label(configurations: Rows) -> None:
    """Name each configuration by what distinguishes it from the others."""
    parts = ("model_name", "backend", "precision", "browser_name")
    telling = [part for part in parts if len({row[part] for row in configurations}) > 1] or ["model_name", "backend"]
    for row in configurations:
        row["label"] = ", ".join(str(row[part]) for part in telling if row[part] is not None)


def _of(configurations: Rows, bins: Rows) -> Rows:
    """Return the bins of these configurations."""
    parts = ("model_name", "backend", "precision", "browser_name")
    shown = {tuple(row[part] for part in parts) for row in configurations}
    return [row for row in bins if tuple(row[part] for part in parts) in shown]


def _distinct(rows: Rows) -> Rows:
    """Return rows without what is said twice."""
    distinct: dict[str, dict[str, Any]] = {}
    for row in rows:
        distinct.setdefault(repr(row), row)
    return [*distinct.values()]
