"""The queries that docs/reference/database.md shows run on the schema as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from webinfer.telemetry.database.connection import MEMORY, connect
from webinfer.telemetry.database.schema import columns_of

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "database.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_query_runs(query: str) -> None:
    connect(MEMORY).execute(query).fetchall()


def test_every_table_is_told_of() -> None:
    told = set(re.findall(r"`(\w+)`", "".join(line for line in PAGE.splitlines() if line.startswith("|"))))
    assert set(columns_of(connect(MEMORY))) - {"schema_version"} <= told


def test_flat_view_tells_the_memory_and_energy_measured_nearest_to_a_request() -> None:
    connection = connect(MEMORY)
    connection.execute("INSERT INTO sessions (id, browser, backend, precision) VALUES (1, 7, 'wasm', 'fp32')")
    for number, second in enumerate((0, 3, 13, 30)):
        at = f"TIMESTAMP '2026-01-01 00:00:00' + INTERVAL {second} SECONDS"
        connection.execute(f"INSERT INTO inferences (id, run, session, timestamp) VALUES ({number}, 5, 1, {at})")
    for second, memory, joules in ((2, 100.0, 4.0), (14, 200.0, 0.5)):
        at = f"TIMESTAMP '2026-01-01 00:00:00' + INTERVAL {second} SECONDS"
        connection.execute(f"INSERT INTO browser_samples (browser, timestamp, memory_mb) VALUES (7, {at}, {memory})")
        connection.execute(f"INSERT INTO samples (run, timestamp, items, energy_j) VALUES (5, {at}, 2, {joules})")
    asked = "SELECT memory_usage_mb, energy_efficiency_score FROM webnn_webgpu_results ORDER BY id"
    assert connection.execute(asked).fetchall() == [(100.0, 0.5), (100.0, 4.0), (200.0, 4.0), (None, None)]


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
