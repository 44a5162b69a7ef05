"""Rows on their way from memory to a database's file, through its one connection."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import duckdb

from webinfer.core.errors import DatabaseError, DatabaseLocked
from webinfer.telemetry.database.connection import MEMORY, connect, explain
from webinfer.telemetry.database.rows import KEYS, Packing, Row, fold, group, insert, turn
from webinfer.telemetry.database.schema import columns_of

log = logging.getLogger("webinfer.metrics")

_NEWEST = 200_000  # rows that each table of a database in memory keeps

_UNFIT = (duckdb.DataError, duckdb.ProgrammingError, ValueError, TypeError, OverflowError)  # it would fail again

_SPENT = ("queue", "wait", "run_time", "transfer", "total")
_ANSWERED = ("id", "run", "timestamp", "session", *_SPENT, "items", "batch", "attempts")  # columns of such a row

TableRow: TypeAlias = tuple[str, Row]
"""A table's name, and a row of it."""


class Writer:
    """Holds rows until they are written. One thread calls it, but for ``row`` and ``cursor``, which any may call.

    Args:
        path: The file, or ``:memory:``.
        limit: Rows of a table that may wait.

    Attributes:
        path: The file that is written: where another process has the wanted one open, one beside it.
        tables: Columns of each table, and their types.
        packing: Turns the rows of answered requests into bytes, and those into columns.
        written: Rows written.
        dropped: Rows that were dropped, as they did not fit or found no room.
        failures: Writes that failed since the last one that did not.
        error: Why the last write failed, where it did.

    Raises:
        DatabaseError: The file cannot be opened, for another reason than that another process has.
    """

    def __init__(self, path: str, limit: int) -> None:
        self.path = path
        self._connection = self._open()
        self.tables = columns_of(self._connection)
        self.packing = Packing({name: self.tables["inferences"][name] for name in _ANSWERED})
        self.written = self.dropped = self.failures = 0
        self.error: str | None = None
        self._limit = limit
        self._rows: dict[str, list[Row]] = {}
        self._grown = 0  # rows written since old ones were removed
        self._access = threading.Lock()  # of the connection, between the writer and who reads

    def __repr__(self) -> str:
        return f"<Writer {self.path} waiting={self.waiting} written={self.written}>"

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return sum(map(len, self._rows.values()))

    def row(self, table: str, **values: Any) -> TableRow:
        """Return a row as it is written: what is no column is in its ``details``.

        Args:
            table: Name of the table.
            values: Values by name.

        Raises:
            KeyError: There is no such table, or it has no such column and no ``details``.
        """
        return table, fold(self.tables[table], values)

    def add(self, row: TableRow) -> None:
        """Hold a row for the next write; where there is no room, the oldest of its table is dropped by then.

        Args:
            row: The row.
        """
        table, values = row
        self._rows.setdefault(table, []).append(values)

    def trim(self) -> None:
        """Drop the oldest rows of tables that hold more than their limit."""
        for rows in self._rows.values():
            if (beyond := len(rows) - self._limit) > 0:
                del rows[:beyond]
                self.dropped += beyond

    def write(self, answers: list[bytes]) -> bool:
        """Write everything that is held, and the packed rows of answered requests.

        Args:
            answers: Packed rows.

        Returns:
            Whether that succeeded; if not, ``error`` says why, and everything is still held.
        """
        with self._access:
            try:
                if self.failures:
                    self._reopen()
                try:
                    self._write_rows(answers)
                except _UNFIT:
                    self._write_what_fits()
                    self._write_rows(answers)
            except Exception as error:  # whatever it is: who waits for a flush waits for this thread
                self._failed(error)
                return False
        self.failures, self.error = 0, None
        return True

    @contextlib.contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a connection that sees what is written, while the writer goes on.

        Yields:
            The connection, valid within the block.

        Raises:
            DatabaseError: The disk refuses, and the file could not be opened anew.
        """
        with self._access:
            try:
                cursor = self._connection.cursor()
            except duckdb.Error as error:
                raise explain(self.path, error) from error
        try:
            yield cursor
        finally:
            cursor.close()

    def close(self) -> None:
        """Close the file; what is still held is dropped."""
        self.dropped += self.waiting
        self._rows.clear()
        with self._access, contextlib.suppress(duckdb.Error):
            self._connection.close()

    def leave(self) -> None:
        """Leave the file to the process that forked this one. The lock may be held by a thread that is not here."""
        self._access = threading.Lock()

    def _write_rows(self, answers: list[bytes]) -> None:
        count = len(answers) + self.waiting
        if not count:
            return
        with self._transaction():
            if answers:
                insert(self._connection, "inferences", self.packing.turn(answers))
            for table, rows in self._rows.items():
                self._write_table(table, rows)
            if self.path == MEMORY:
                self._forget(count)
        self.written += count
        self._rows.clear()

    def _write_what_fits(self) -> None:
        """Write the rows of each table in parts, smaller ones where one does not fit, down to the row that does not."""
        for table, rows in [*self._rows.items()]:
            size = len(rows)
            while rows:
                part = rows[:size]
                try:
                    with self._transaction():
                        self._write_table(table, part)
                except _UNFIT as error:
                    if len(part) > 1:
                        size = len(part) // 2
                        continue
                    log.error("a row of %s that does not fit is dropped: %s", table, explain(self.path, error))
                    self.dropped += 1
                else:
                    self.written += len(part)
                    size *= 2
                del rows[: len(part)]
            del self._rows[table]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _write_table(self, table: str, rows: list[Row]) -> None:
        columns = self.tables[table]
        for alike in group(rows, KEYS[table]) if table in KEYS else (rows,):
            insert(self._connection, table, turn(columns, alike))

    def _forget(self, more: int) -> None:
        """Keep a database in memory from growing without end."""
        self._grown += more
        if self._grown < _NEWEST / 10:
            return
        self._grown = 0
        for table in self.tables.keys() - KEYS.keys():
            if "run" in self.tables[table]:
                newest = f"SELECT id FROM {table} ORDER BY id DESC LIMIT {_NEWEST}"
                self._connection.execute(f"DELETE FROM {table} WHERE id NOT IN ({newest})")

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        explained = error if isinstance(error, DatabaseError) else explain(self.path, error)
        if self.error is None:
            log.warning("recording stands still: %s", explained)
        self.error = str(explained)

    def _reopen(self) -> None:
        """Open the file anew: after a full disk DuckDB trusts its own view of it no more."""
        if self.path == MEMORY:
            return
        with contextlib.suppress(duckdb.Error):
            self._connection.close()
        self._connection = connect(self.path)

    def _open(self) -> duckdb.DuckDBPyConnection:
        try:
            return connect(self.path)
        except DatabaseLocked as error:
            wanted = Path(self.path)
            own = wanted.with_name(f"{wanted.stem}.{os.getpid()}{wanted.suffix}")
            log.warning(
                "%s is open in another process, so results go to %s: take them in with `webinfer db merge %s %s`",
                *(wanted, own, wanted, own),
            )
            try:
                return connect(own)
            except DatabaseLocked:  # the same number in another container
                raise error from None
            finally:
                self.path = str(own)
