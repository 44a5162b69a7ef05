"""The queries that docs/database.md shows run on the schema as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from webinfer.metrics.database import MEMORY, connect
from webinfer.metrics.schema import columns_of

PAGE = (Path(__file__).parents[2] / "docs" / "database.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_query_runs(query: str) -> None:
    connect(MEMORY).execute(query).fetchall()


def test_every_table_is_told_of() -> None:
    told = set(re.findall(r"`(\w+)`", "".join(line for line in PAGE.splitlines() if line.startswith("|"))))
    assert set(columns_of(connect(MEMORY))) - {"schema_version"} <= told


def test_flat_view_tells_precision_and_warmth_of_each_request() -> None:
    connection = connect(MEMORY)
    connection.execute(
        "INSERT INTO sessions (id, backend, precision, details) VALUES "
        "(1, 'webgpu', 'q4-mixed', '{\"warmed\": true}'), "
        "(2, 'wasm', 'fp32', '{\"warmed\": true}'), (3, 'webgpu', 'q8', NULL)"
    )
    connection.execute("INSERT INTO inferences (id, session) VALUES (1, 1), (2, 2), (3, 3)")
    asked = "SELECT precision, mixed_precision, precompile_shaders FROM webnn_webgpu_results ORDER BY id"
    assert connection.execute(asked).fetchall() == [(4, True, True), (32, False, False), (8, False, False)]
