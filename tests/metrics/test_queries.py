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
