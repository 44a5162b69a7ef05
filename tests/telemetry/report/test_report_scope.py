"""A report speaks of the runs that were asked for and of what came before them, and does not grow without end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import duckdb
import pytest

from webinfer.telemetry.database.connection import MEMORY, connect
from webinfer.telemetry.report import report
from webinfer.telemetry.report.queries import MOST, NEWEST

KEY = {"model_name": "m", "backend": "wasm", "precision": "fp32", "browser_name": "chromium"}


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    return connect(MEMORY)


def add(connection: duckdb.DuckDBPyConnection, table: str, **values: Any) -> None:
    names = ", ".join(f'"{name}"' for name in values)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(values))})", [*values.values()])


def at(second: float) -> str:
    return f"2026-01-01 00:{int(second) // 60:02}:{second % 60:09.6f}"


def found(connection: duckdb.DuckDBPyConnection, runs: Sequence[int] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(report(connection, "json", runs=runs))
    return made


def run(connection: duckdb.DuckDBPyConnection, number: int, second: float, run_time: float) -> None:
    """Write a run with one browser, which is called as in every run, a launch that failed, and one request."""
    add(connection, "runs", id=number, machine="m", started=at(second))
    about = {"name": f"browser of {number}", "engine_version": str(number), "adapter": f"adapter of {number}"}
    add(connection, "browsers", id=number, run=number, label="b1", started=at(second), **about)
    add(connection, "browsers", id=100 + number, run=number, name=f"missing in {number}")
    told = {**KEY, "engine_version": "1", "verdict": "software", "evidence": "[]"}
    add(connection, "sessions", id=number, run=number, browser=number, timestamp=at(second), **told)
    spent = {"run_time": run_time, "total": run_time, "items": 1, "batch": 1, "attempts": 1}
    add(connection, "inferences", id=number, run=number, session=number, timestamp=at(second + 1), **spent)


def test_browsers_are_those_of_the_run(connection: duckdb.DuckDBPyConnection) -> None:
    for number in (1, 2):
        run(connection, number, number * 10, 1.0)
    one = found(connection, [1])
    assert [row["browser_name"] for row in one["browsers"]] == ["browser of 1", "missing in 1"]
    assert [(row["connection_id"], row["connection_success"]) for row in one["browsers"]] == [
        ("b1", True),
        (None, False),
    ]
    assert [(row["models_executed"], row["total_inference_time_sec"]) for row in one["browsers"]] == [
        (0, 1.0),
        (0, 0.0),
    ]
    assert one["summary"]["started"] == 1
    assert [row["adapter"] for row in one["verdicts"]] == ["adapter of 1"]
    both = found(connection)
    assert len(both["browsers"]) == 4
    assert both["summary"]["started"] == 2


def test_earlier_is_the_run_before_and_never_a_later_one(connection: duckdb.DuckDBPyConnection) -> None:
    for number, second, run_time in ((9, 10, 1.0), (5, 20, 2.0), (7, 30, 4.0)):  # ids of processes are in no order
        run(connection, number, second, run_time)
    assert found(connection, [9])["earlier"] == []
    assert [(row["earlier_run_p50"], row["change"]) for row in found(connection, [5])["earlier"]] == [(1.0, 1.0)]
    assert [(row["earlier_run_p50"], row["change"]) for row in found(connection, [7])["earlier"]] == [(2.0, 1.0)]
    assert [(row["earlier_run_p50"], row["run_p50"]) for row in found(connection)["earlier"]] == [(2.0, 4.0)]


def test_first_inference_of_a_session_is_its_first_in_time(connection: duckdb.DuckDBPyConnection) -> None:
    add(connection, "sessions", id=1, run=1, **KEY)
    for number, second, run_time in ((3, 1, 9.0), (2, 2, 1.0), (1, 3, 1.0)):
        spent = {"run_time": run_time, "total": run_time, "items": 1, "batch": 1, "attempts": 1}
        add(connection, "inferences", id=number, run=1, session=1, timestamp=at(second), **spent)
    assert [(row["first"], row["later"]) for row in found(connection)["first"]] == [(9.0, 1.0)]


def test_samples_of_days_become_a_few_hundred_with_every_extreme(connection: duckdb.DuckDBPyConnection) -> None:
    add(connection, "runs", id=1, machine="m", started=at(0))
    connection.execute("""
        INSERT INTO samples (id, run, timestamp, browser_mb, python_mb, available_mb)
        SELECT 100000 - range, 1, TIMESTAMP '2026-01-01' + INTERVAL (range * 5) SECONDS,
            500 + hash(range) % 1000 / 1000.0, 100 + hash(range, 1) % 1000 / 1000.0, 4000
        FROM range(100000)
    """)
    connection.execute("UPDATE samples SET browser_mb = 9999 WHERE id = 12345")
    connection.execute("UPDATE samples SET browser_mb = 1 WHERE id = 54321")
    connection.execute("UPDATE samples SET python_mb = 8888 WHERE id = 23456")
    connection.execute("UPDATE samples SET available_mb = 7 WHERE id = 34567")
    told = found(connection)
    memory = told["memory"]
    assert 300 < len(memory) <= 620
    assert [row["t"] for row in memory] == sorted({row["t"] for row in memory})
    assert max(row["browser_mb"] for row in memory) == 9999
    assert min(row["browser_mb"] for row in memory) == 1
    assert max(row["python_mb"] for row in memory) == 8888
    assert min(row["available_mb"] for row in memory) == 7
    assert memory[-1]["t"] - memory[0]["t"] == 5 * 99_999
    assert "9,999 MB at most, Python 8,888 MB" in report(connection, "markdown")


def test_few_samples_are_all_there(connection: duckdb.DuckDBPyConnection) -> None:
    add(connection, "runs", id=1, machine="m", started=at(0))
    for number in range(50):
        add(connection, "samples", id=number, run=1, timestamp=at(number), browser_mb=number, python_mb=None)
    assert [row["browser_mb"] for row in found(connection)["memory"]] == list(range(50))


def test_what_is_many_is_listed_up_to_a_number_and_the_rest_is_counted(connection: duckdb.DuckDBPyConnection) -> None:
    many, when = MOST + 100, "TIMESTAMP '2026-01-01' + INTERVAL (n) HOURS"
    for table, columns, values in (
        ("runs", "id, machine, started", f"5000 - n, 'm', {when}"),  # ids of processes are in no order
        ("browsers", "id, run, label, started", f"n, 5000 - n, 'b1', {when}"),
        ("benchmarks", "id, name, started", f"5000 - n, n, {when}"),
        (
            "sessions",
            "id, run, model_name, verdict, evidence, placement",
            "n, 4900, n, 'mixed', [n::TEXT]::JSON, {nodes: {a: n}}",
        ),
        ("inferences", "id, run, session, timestamp, error_code, error", f"n, 4900, n, {when}, n, repeat('x', 10000)"),
        ("inferences", "id, run, session, timestamp, total, items", f"n + 1000, 4900, n, {when}, 0.1, 1"),
        ("faults", "id, run, kind, code, reason", "n, 4900, 'request', n, repeat('x', 10000)"),
        ("loads", "id, run, model, seconds", "n, 4900, n, 1"),
        ("accuracy_checks", "id, run, model, metric, value", "n, 4900, n, 'cosine', 1"),
        (
            "measurements",
            "id, benchmark, model_name, backend, metric, value",
            "n, 5000 - n, n, 'wasm', 'time_per_item', 1",
        ),
    ):
        connection.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM range({many}) t(n)")
    told = found(connection)
    lists = {name: rows for name, rows in told.items() if isinstance(rows, list) and name not in ("notes", "method")}
    assert {name: len(rows) for name, rows in lists.items() if len(rows) > MOST} == {}
    for name in ("runs", "browsers", "benchmarks"):
        assert (len(lists[name]), told["more"][name]) == (NEWEST, many - NEWEST), name
    assert [row["id"] for row in lists["runs"]][-2:] == [5002 - many, 5001 - many]  # the newest, in the order of time
    assert [row["name"] for row in lists["benchmarks"]][-2:] == [str(many - 2), str(many - 1)]
    for name in ("configurations", "failures", "faults", "loads", "accuracy", "benched", "verdicts", "placement"):
        assert (len(lists[name]), told["more"][name]) == (MOST, 100), name
    listed = {row["model_name"] for row in lists["configurations"]}
    assert {row["model_name"] for row in lists["distributions"]} == listed
    assert len(json.dumps(told)) < 1.5e6
    assert any(f"{many - NEWEST} more runs" in note for note in told["notes"])
    assert f"{many - NEWEST} more runs" in report(connection, "markdown")


def test_nothing_is_said_of_more_where_all_is_listed(connection: duckdb.DuckDBPyConnection) -> None:
    run(connection, 1, 1, 1.0)
    told = found(connection)
    assert told["more"] == {}
    assert not any("more" in note for note in told["notes"])
