"""Opening a database: what can be wrong with its file, as errors with a remedy."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from webinfer.core.errors import DatabaseDamaged, DatabaseError, DatabaseLocked, DatabaseReadOnly, DatabaseTooNew
from webinfer.telemetry.database import schema

log = logging.getLogger("webinfer.metrics")

MEMORY = ":memory:"

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": "1",  # the cores are the browsers'
    "memory_limit": "512MB",
    "pandas_analyze_sample": "0",  # columns that are text stay text, whatever their first rows hold
    "autoinstall_known_extensions": "false",  # nothing is fetched
    "autoload_known_extensions": "false",
}
_DAMAGED = ("valid DuckDB", "enough bytes", "checksum", "Corrupt", "storage version", "deserialize")
"""Words of DuckDB's errors about files that are cut off, overwritten, or something else."""


def connect(path: str | Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a database, made where there is none, with our schema in it.

    Args:
        path: Its file, or ``:memory:``.
        read_only: Change nothing; the file must be there. One of an older version is read from a copy.

    Returns:
        An open connection, which the caller closes.

    Raises:
        DatabaseLocked: Another process has it open.
        DatabaseReadOnly: It, or its directory, may not be written.
        DatabaseDamaged: It is cut off, or no database of ours.
        DatabaseTooNew: A newer webinfer wrote it.
        DatabaseError: It is not there, or the disk refused.
    """
    connection = _connect(path, read_only=read_only)
    try:
        if read_only:
            if _check_ours(connection, path) < schema.VERSION:
                connection.close()
                with current(path) as copy:
                    return _connect(copy, read_only=True)
        else:
            schema.prepare(connection)
    except duckdb.Error as error:
        connection.close()
        raise explain(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def current(path: str | Path) -> Iterator[Path]:
    """Lend the path of a database of the current version with the same rows: its own, or of a copy brought up to date.

    Args:
        path: The database.

    Yields:
        The path, valid within the block.

    Raises:
        DatabaseError: It cannot be opened, or not be copied.
    """
    source = Path(path)
    connection = _connect(source, read_only=True)
    try:
        version = _check_ours(connection, source)
    except duckdb.Error as error:
        raise explain(source, error) from error
    finally:
        connection.close()
    if version == schema.VERSION:
        yield source
        return
    log.info("%s is of version %d: a copy is brought to version %d", source, version, schema.VERSION)
    with tempfile.TemporaryDirectory(prefix="webinfer-", ignore_cleanup_errors=True) as directory:
        copy = Path(directory, source.name)
        try:
            for name in (source.name, f"{source.name}.wal"):  # the latter has what a killed process wrote last
                if source.with_name(name).exists():
                    shutil.copyfile(source.with_name(name), copy.with_name(name))
        except OSError as error:
            raise DatabaseError(
                f"{source} is of version {version} and cannot be copied to be brought to version {schema.VERSION} "
                f"({error.strerror}): have an accelerator open it, which does that in place.",
                path=str(source),
            ) from error
        connect(copy).close()
        yield copy


def select(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
) -> list[dict[str, Any]]:
    """Return the rows that a query finds, by column.

    Args:
        connection: The database, open.
        sql: The query.
        parameters: Values of its placeholders.

    Raises:
        DatabaseError: The query fails.
    """
    result = connection.execute(sql, dict(parameters) if isinstance(parameters, Mapping) else list(parameters))
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def explain(path: str | Path, error: Exception) -> DatabaseError:
    """Turn an error of DuckDB, or of a value that it cannot take, into ours, with what can be done about it.

    Args:
        path: The database.
        error: What DuckDB raised.

    Returns:
        The error, to be raised.
    """
    text = (str(error).strip() or repr(error)).splitlines()[0]
    data = {"path": str(path)}
    if "lock on file" in text:
        holder = text.partition("held in ")[2].split(". See")[0] or "another process"
        return DatabaseLocked(
            f"{path} is open in {holder}, and a database has one writer: wait for it to close, or write to a file of "
            f"your own and take it in later with `webinfer db merge {path} YOURS`.",
            **data,
        )
    if "Permission denied" in text or "read-only" in text.lower() or _is_read_only(path):
        return DatabaseReadOnly(f"{path} may not be written ({text}): name another file, or allow it.", **data)
    if isinstance(error, (duckdb.SerializationException, duckdb.InternalException, duckdb.FatalException)) or any(
        sign in text for sign in _DAMAGED
    ):
        return DatabaseDamaged(
            f"{path} cannot be read as a database ({text}): it is cut off or something else. Move it away; "
            "a new one is made.",
            **data,
        )
    if not os.access(directory := Path(path).parent, os.F_OK):
        return DatabaseError(f"There is no directory {directory} for {path}: make it, or name another file.", **data)
    return DatabaseError(f"The database {path} refused: {text}", **data)


def quote(name: str | Path) -> str:
    """Return a text as SQL writes it.

    Args:
        name: The text.
    """
    return "'" + str(name).replace("'", "''") + "'"


def _connect(path: str | Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    if read_only and str(path) != MEMORY and not os.access(path, os.F_OK):
        raise DatabaseError(f"There is no database {path}: name one that an accelerator with db_path wrote.")
    try:
        return duckdb.connect(str(path), read_only=read_only, config=_SETTINGS)
    except (duckdb.Error, RuntimeError) as error:  # the latter for a name that is not UTF-8
        raise explain(path, error) from error


def _check_ours(connection: duckdb.DuckDBPyConnection, path: str | Path) -> int:
    """Return the version of a database of ours.

    Raises:
        DatabaseDamaged: It is none of ours.
        DatabaseTooNew: A newer webinfer wrote it.
    """
    version = schema.version_of(connection)
    if version is None:
        raise DatabaseDamaged(f"{path} is a DuckDB database, but none of webinfer's.", path=str(path))
    if version > schema.VERSION:
        raise DatabaseTooNew(
            f"{path} has schema version {version}, and this webinfer knows version {schema.VERSION}: upgrade webinfer.",
            version=version,
        )
    return version


def _is_read_only(path: str | Path) -> bool:
    place = path if os.access(path, os.F_OK) else Path(path).parent  # Path.exists raises where it may not look
    return os.access(place, os.F_OK) and not os.access(place, os.W_OK)
