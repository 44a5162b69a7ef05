"""The database's schema: its version, how it is made, and how an older one is brought up to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files

import duckdb

from webinfer.core.errors import DatabaseTooNew

MIGRATIONS: Mapping[int, str] = {
    2: """
        ALTER TABLE browsers ADD COLUMN heartbeat_failures INTEGER;
        ALTER TABLE sessions ADD COLUMN ipfs_cache_hit BOOLEAN;
        ALTER TABLE samples ADD COLUMN items INTEGER;
        ALTER TABLE samples ADD COLUMN energy_j DOUBLE;
        CREATE TABLE browser_samples (id BIGINT, run BIGINT, timestamp TIMESTAMP, browser BIGINT, memory_mb DOUBLE);
    """,
    3: "ALTER TABLE sessions ADD COLUMN decision JSON",
    4: """
        CREATE TABLE stretches (
            id BIGINT, run BIGINT, timestamp TIMESTAMP, model TEXT, browser_name TEXT, backend TEXT, precision TEXT,
            engine_version TEXT, lanes INTEGER, size INTEGER, items INTEGER, seconds DOUBLE
        );
    """,
    5: """
        DROP TABLE stretches;
        CREATE TABLE tunings (
            id BIGINT, run BIGINT, timestamp TIMESTAMP, machine TEXT, model TEXT, model_name TEXT, browser_name TEXT,
            engine_version TEXT, backend TEXT, precision TEXT, lanes INTEGER, threads INTEGER, batch_size INTEGER,
            workgroup TEXT, seconds DOUBLE, gain DOUBLE, gain_low DOUBLE, gain_high DOUBLE, cost DOUBLE, details JSON
        );
    """,
}
"""SQL that makes the tables of the version before into those of this version; ``schema.sql`` is always the newest, and
the views of ``views.sql`` are made anew after each step."""

VERSION = max(MIGRATIONS, default=1)


def prepare(connection: duckdb.DuckDBPyConnection, migrations: Mapping[int, str] = MIGRATIONS) -> None:
    """Make the schema in an empty database, or bring an older one up to date; all of it or nothing.

    Args:
        connection: The database, open for writing.
        migrations: SQL that leads to each version from the one before.

    Raises:
        DatabaseTooNew: A newer webinfer wrote it.
    """
    newest = max(migrations, default=1)
    connection.execute("BEGIN")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER, applied TIMESTAMP)")
        version = version_of(connection)
        if version is None:
            connection.execute(_text("schema.sql"))
        elif version > newest:
            raise DatabaseTooNew(
                f"The database has schema version {version}, and this webinfer knows version {newest}: "
                "upgrade webinfer, or name another file.",
                version=version,
            )
        else:
            for step in range(version + 1, newest + 1):
                connection.execute(migrations[step])
        if version != newest:
            connection.execute(_text("views.sql"))
            connection.execute(
                "INSERT INTO schema_version VALUES (?, ?)", [newest, datetime.now(UTC).replace(tzinfo=None)]
            )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def version_of(connection: duckdb.DuckDBPyConnection) -> int | None:
    """Return the version of a database's schema; ``None`` of one that is not ours.

    Args:
        connection: The database, open.
    """
    tables = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_version' AND NOT internal"
    if not connection.execute(tables).fetchall()[0][0]:
        return None
    (row,) = connection.execute("SELECT max(version) FROM schema_version").fetchall()
    return None if row[0] is None else int(row[0])


def columns_of(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Return each table's columns and their types.

    Args:
        connection: The database, open.
    """
    tables: dict[str, dict[str, str]] = {}
    rows = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY column_index"
    views = {name for (name,) in connection.execute("SELECT view_name FROM duckdb_views()").fetchall()}
    for table, column, kind in connection.execute(rows).fetchall():
        if table not in views:
            tables.setdefault(table, {})[column] = kind
    return tables
