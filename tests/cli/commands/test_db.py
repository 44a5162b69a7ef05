"""``webinfer db`` tells, merges, exports and asks."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Call
from tests.telemetry.database.test_archive import make


def test_command_line_tells_merges_exports_and_asks(call: Call, tmp_path: Path) -> None:
    one, other = tmp_path / "one.duckdb", tmp_path / "other.duckdb"
    make(one, 3)
    make(other, 4)
    assert call("db", "merge", str(one), str(other), "--json").object["new"]["inferences"] == 4
    assert call("db", "info", str(one), "--json").object["rows"]["inferences"] == 7
    assert "7" in call("db", "info", str(one)).out
    asked = call("db", "query", str(one), "SELECT model_name, count(*) AS n FROM results GROUP BY ALL", "--json")
    assert asked.object["rows"] == [{"model_name": "a/'b'", "n": 7}]
    assert "a/'b'" in call("db", "query", str(one), "SELECT model_name, timestamp FROM results").out
    assert call("db", "export", str(one), str(tmp_path / "files")).code == 0
    assert (tmp_path / "files" / "inferences.parquet").exists()


def test_command_line_says_what_is_wrong_with_a_query(call: Call, tmp_path: Path) -> None:
    make(tmp_path / "one.duckdb", 1)
    answer = call("db", "query", str(tmp_path / "one.duckdb"), "SELECT * FROM nowhere", "--json")
    assert (answer.code, json.loads(answer.out)["error"]["code"]) == (1, "database")
    assert call("db", "query", str(tmp_path / "one.duckdb"), "DELETE FROM inferences").code == 1
