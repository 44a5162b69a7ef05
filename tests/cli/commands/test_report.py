"""``webinfer report`` writes what it is asked for, where it is asked to."""

from __future__ import annotations

from pathlib import Path

from tests.bench.records import record
from tests.cli.conftest import Call
from tests.telemetry.database.test_archive import make
from tests.telemetry.report.test_report import two_runs
from webinfer.bench import storage


def test_command_line_writes_what_the_ending_says(call: Call, tmp_path: Path) -> None:
    path = two_runs(tmp_path / "results.duckdb")
    assert call("report", str(path), "--output", str(tmp_path / "r.html")).code == 0
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert call("report", "--db", str(path), "--last", "--json").object["summary"]["answered"] == 200
    assert call("report", str(path)).out.startswith("# webinfer performance report")
    assert call("report", str(path), "--output", str(tmp_path / "no" / "r.md")).code == 2
    assert call("report").code == 2


def test_the_newest_run_of_benchmarks_alone_is_all_of_them(call: Call, tmp_path: Path) -> None:
    path = str(tmp_path / "bench.duckdb")
    with storage.opened(path) as store:
        assert store is not None
        storage.write(store, record(1))
    benched = call("report", path, "--last", "--json").object["benched"]
    assert [row["backend"] for row in benched] == ["wasm", "webnn"]


def test_report_of_a_database_that_is_not_there_is_an_error(call: Call, tmp_path: Path) -> None:
    make(tmp_path / "one.duckdb", 1)
    assert call("report", str(tmp_path / "none.duckdb")).code == 1
