"""Rows on their way into a table: columns of numpy arrays, which DuckDB takes without a copy of each value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from struct import Struct
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from webinfer.core.json import clean, dumps

Row = Mapping[str, Any]

KEYS = {
    "machines": "id",
    "runs": "id",
    "models": "sha256",
    "browsers": "id",
    "sessions": "id",
    "benchmarks": "id",
}
"""The key of each table that has one: a row takes the place of an earlier one with the same."""

_WHOLE = ("BIGINT", "INTEGER")
_FORMATS = {"BIGINT": "q", "INTEGER": "i", "DOUBLE": "d", "TIMESTAMP": "d"}  # alike in struct and in numpy


class Packing:
    """Rows of numbers as bytes: a row is one object, and many rows become columns without a step for each row.

    Args:
        columns: Types of the columns, by name.

    Attributes:
        pack: Makes bytes of a row's numbers, in the columns' order; raises ``struct.error`` where one does not fit.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns = columns
        formats = [_FORMATS[kind] for kind in columns.values()]
        self._dtype = np.dtype([*zip(columns, formats, strict=True)])
        self.pack = Struct("=" + "".join(formats)).pack

    def turn(self, rows: Sequence[bytes]) -> dict[str, NDArray[Any]]:
        """Turn rows into columns.

        Args:
            rows: Rows, as they were packed.

        Returns:
            An array for each column.
        """
        packed = np.frombuffer(b"".join(rows), self._dtype)
        return {
            name: _moments(packed[name]) if kind == "TIMESTAMP" else packed[name].copy()
            for name, kind in self._columns.items()
        }


def turn(columns: Mapping[str, str], rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """Return rows as columns.

    Args:
        columns: The table's columns and their types.
        rows: Values by column. What is missing is NULL.
    """
    given: set[str] = set().union(*rows)
    return {name: _array(kind, [row.get(name) for row in rows]) for name, kind in columns.items() if name in given}


def insert(connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, NDArray[Any]]) -> None:
    """Insert rows, turned into columns, in place of those with the same key where the table has one.

    Args:
        connection: The database, open.
        table: Name of the table.
        columns: Arrays of equal length by column.
    """
    incoming = {f"c{at}": values for at, values in enumerate(columns.values())}  # DuckDB finds it by this name
    wanted = ", ".join(f'"{name}"' for name in columns)
    verb = "INSERT OR REPLACE" if table in KEYS else "INSERT"
    connection.execute(f"{verb} INTO {table} ({wanted}) SELECT {', '.join(incoming)} FROM incoming")


def fold(columns: Mapping[str, str], values: Row) -> Row:
    """Put what is no column of a table into its ``details``.

    Args:
        columns: Types of the table's columns by name.
        values: Values by name.

    Returns:
        Values by column; those without one are together under ``details``.

    Raises:
        KeyError: The table has no ``details``.
    """
    strange = [name for name in values if name not in columns]
    if not strange:
        return values
    if "details" not in columns:
        raise KeyError(f"no column {strange[0]!r}")
    details = {**(values.get("details") or {}), **{name: values[name] for name in strange}}
    return {**{name: value for name, value in values.items() if name in columns}, "details": details}


def group(rows: Sequence[Row], key: str) -> Iterable[Sequence[Row]]:
    """Merge rows of the same key, the later values over the earlier, and part them by the columns that they give.

    So a column that one row does not give is not emptied because another gives it.

    Args:
        rows: Rows of one table.
        key: Name of the column that tells rows apart.

    Returns:
        Groups of rows that give the same columns.
    """
    merged: dict[Any, dict[str, Any]] = {}
    for row in rows:
        merged.setdefault(row[key], {}).update(row)
    alike: dict[frozenset[str], list[Row]] = {}
    for whole in merged.values():
        alike.setdefault(frozenset(whole), []).append(whole)
    return alike.values()


# The writer shares the interpreter with the event loop, so what is done for each value here is time that requests wait.
def _array(kind: str, values: Sequence[Any]) -> NDArray[Any]:
    if kind == "DOUBLE[]":
        return _objects([None if value is None else [float(number) for number in value] for value in values])
    if kind == "JSON":
        return _objects([None if value is None else dumps(value) for value in values])
    if kind == "VARCHAR":
        return _objects([None if value is None else clean(str(value)).replace("\0", "") for value in values])
    missing = [value is None for value in values] if None in values else None
    filled = [0 if value is None else value for value in values] if missing else values
    if kind == "TIMESTAMP":
        data = _moments(np.array(filled, np.float64))
    else:
        data = np.array(filled, np.int64 if kind in _WHOLE else np.bool_ if kind == "BOOLEAN" else np.float64)
    return np.ma.masked_array(data, missing) if missing else data


def _moments(seconds: NDArray[np.float64]) -> NDArray[Any]:
    return np.rint(seconds * 1e6).astype(np.int64).view("datetime64[us]")


def _objects(values: list[Any]) -> NDArray[Any]:
    missing = [value is None for value in values]
    data = np.empty(len(values), object)
    data[:] = ["" if absent else value for value, absent in zip(values, missing, strict=True)]
    return np.ma.masked_array(data, missing) if any(missing) else data
