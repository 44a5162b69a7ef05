"""``webinfer report`` writes what it is asked for, where it is asked to."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Call
from tests.metrics.test_archive import make
from tests.metrics.test_report import two_runs


def test_command_line_writes_what_the_ending_says(call: Call, tmp_path: Path) -> None:
    path = two_runs(tmp_path / "results.duckdb")
    assert call("report", str(path), "--output", str(tmp_path / "r.html")).code == 0
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert call("report", "--db", str(path), "--last", "--json").object["summary"]["answered"] == 200
    assert call("report", str(path)).out.startswith("# webinfer performance report")
    assert call("report", str(path), "--output", str(tmp_path / "no" / "r.md")).code == 2
    assert call("report").code == 2


def test_report_of_a_database_that_is_not_there_is_an_error(call: Call, tmp_path: Path) -> None:
    make(tmp_path / "one.duckdb", 1)
    assert call("report", str(tmp_path / "none.duckdb")).code == 1
