"""Databases as files: what is in one, one taken into another, all of it written as Parquet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from webinfer.core.errors import DatabaseError
from webinfer.telemetry.database import schema
from webinfer.telemetry.database.connection import connect, current, explain, quote
from webinfer.telemetry.database.rows import KEYS

EXPORTED_VIEWS = ("results",)

_STATES = {
    "machines": "(SELECT max(started) FROM {place}runs WHERE machine = entry.id)",
    "runs": "ended",
    "models": "(SELECT max(timestamp) FROM {place}sessions WHERE model = entry.sha256)",
    "browsers": "ended",
    "sessions": "timestamp",
    "benchmarks": "ended",
}
"""SQL of the time that a row is from, for each table with a key. The tables are taken in this order: one whose time is
read from another comes before that, or rows that were just taken in would count as ours."""


_JOINED = """CASE WHEN theirs.state > ours.state THEN coalesce(theirs.{column}, ours.{column})
    WHEN theirs.state < ours.state THEN coalesce(ours.{column}, theirs.{column})
    ELSE greatest(theirs.{column}, ours.{column}) END AS {column}"""
"""A column of a row that two databases have; where neither is newer, both must come to the same."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a database.

    Attributes:
        version: Of its schema.
        nbytes: Size of its file.
        rows: By table.
        first: When its first request was recorded; ``None`` where there is none.
        last: When its last one was.
        dropped: Rows that its runs could not record.
        unended: Runs without an end: they were killed, or go on.
    """

    version: int
    nbytes: int
    rows: Mapping[str, int]
    first: datetime | None
    last: datetime | None
    dropped: int
    unended: int


def contents(path: Path) -> Contents:
    """Look at a database.

    Args:
        path: The database.

    Returns:
        Its schema's version, its size, the rows of each table and the time that they cover.

    Raises:
        DatabaseError: It cannot be opened.
    """
    with _opened(path, read_only=True) as connection:
        tables = schema.columns_of(connection)
        rows = {table: _one(connection, f"SELECT count(*) FROM {table}")[0] for table in tables}
        first, last = _one(connection, "SELECT min(timestamp), max(timestamp) FROM inferences")
        dropped, unended = _one(connection, "SELECT coalesce(sum(dropped), 0), count(*) - count(ended) FROM runs")
        version = schema.version_of(connection)
    assert version is not None
    del rows["schema_version"]
    return Contents(version, path.stat().st_size, rows, first, last, int(dropped), unended)


def merge(target: Path, source: Path) -> dict[str, int]:
    """Take a database into another, which is made if it is missing; what is there already is not doubled.

    Both may have a row, such as that of a run that went on since it was copied. Then the newer state counts, and what
    that does not know is taken from the older. The order and the number of merges make no difference.

    One of an older version is left as it is: a copy of it is brought up to date, and taken in.

    Args:
        target: The database that takes the other in.
        source: The other one; it stays as it is.

    Returns:
        Rows that were new, by table.

    Raises:
        DatabaseError: One of them cannot be opened, or they are the same.
    """
    if target.resolve() == source.resolve():
        raise DatabaseError(f"{target} is to be merged into itself: name another file.", path=str(target))
    with current(source) as readable, _opened(target) as connection:
        connection.execute(f"ATTACH {quote(readable)} AS source (READ_ONLY)")
        connection.execute("BEGIN")
        columns = schema.columns_of(connection)
        tables = [*_STATES, *(table for table in columns if table not in _STATES and table != "schema_version")]
        new = {table: _take(connection, table, columns[table]) for table in tables}
        connection.execute("COMMIT")
        connection.execute("DETACH source")
    return new


def export(source: Path, directory: Path) -> dict[str, Path]:
    """Write every table of a database, and the view ``results``, as a Parquet file.

    Args:
        source: The database.
        directory: Where the files go; it is made if it is missing.

    Returns:
        The files, by table.

    Raises:
        DatabaseError: The database cannot be opened, or the directory not be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(f"{directory} cannot be made ({error.strerror}): name another directory.") from error
    with _opened(source, read_only=True) as connection:
        names = [*(name for name in schema.columns_of(connection) if name != "schema_version"), *EXPORTED_VIEWS]
        files = {name: directory / f"{name}.parquet" for name in names}
        for name, file in files.items():
            connection.execute(f"COPY (SELECT * FROM {name}) TO {quote(file)} (FORMAT parquet)")
    return files


@contextlib.contextmanager
def _opened(path: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = connect(path, read_only=read_only)
    try:
        yield connection
    except duckdb.Error as error:
        raise explain(path, error) from error
    finally:
        connection.close()


def _take(connection: duckdb.DuckDBPyConnection, table: str, columns: Iterable[str]) -> int:
    before = _one(connection, f"SELECT count(*) FROM {table}")[0]
    if (key := KEYS.get(table)) is not None:
        ours, theirs = (
            f"(SELECT *, coalesce({_STATES[table].format(place=place)}, '-infinity'::TIMESTAMP) AS state "
            f"FROM {place}{table} entry)"
            for place in ("", "source.")
        )
        states = ", ".join(_JOINED.format(column=column) for column in columns if column != key)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE joined AS SELECT {key}, {states} "
            f"FROM {theirs} theirs LEFT JOIN {ours} ours USING ({key})"
        )
        connection.execute(f"INSERT OR REPLACE INTO {table} BY NAME FROM joined")
        connection.execute("DROP TABLE joined")
    else:  # rows without a key never change, so those that are here already are left out
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM source.{table} s ANTI JOIN {table} t USING (id)")
    return int(_one(connection, f"SELECT count(*) FROM {table}")[0]) - int(before)


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = connection.execute(sql).fetchall()[0]
    return row
