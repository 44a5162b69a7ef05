"""The database's one writer: a thread that takes rows from memory to disk, so that nobody waits for the disk."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import os
import secrets
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import duckdb

from webinfer.core.errors import DatabaseError, DatabaseLocked
from webinfer.telemetry.counters.totals import Answer
from webinfer.telemetry.database.clock import Clock
from webinfer.telemetry.database.connection import MEMORY, connect, explain, select
from webinfer.telemetry.database.rows import KEYS, Packing, Row, fold, group, insert, turn
from webinfer.telemetry.database.schema import columns_of

log = logging.getLogger("webinfer.metrics")

INTERVAL = 0.5  # seconds between two writes: what a SIGKILL may cost, with the time of a write
LIMIT = 100_000  # rows that wait for the disk at most; those beyond are dropped and counted
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds after a write that failed
_KEPT = 200_000  # newest rows of each table of a database in memory

_UNFIT = (duckdb.DataError, duckdb.ProgrammingError, ValueError, TypeError, OverflowError)  # it would fail again

_SPENT = ("queue", "wait", "run_time", "transfer", "total")
_ANSWERED = ("id", "run", "timestamp", "session", *_SPENT, "items", "batch", "attempts")  # columns of such a row

Entry: TypeAlias = tuple[str, Row]
Expand: TypeAlias = Callable[[Any], Iterable[Entry]]


@dataclass(frozen=True, slots=True)
class Status:
    """How the recording goes.

    Attributes:
        path: The file that is written.
        written: Rows written.
        waiting: Rows that wait.
        dropped: Rows that were lost: more came than could be written, or the disk refused to the end.
        error: Why the last write failed, where it did.
    """

    path: str
    written: int
    waiting: int
    dropped: int
    error: str | None


class Store:
    """Rows on their way into a database. Every method may be called from any thread; none waits for the disk, but for
    ``flush`` and ``close``.

    Args:
        path: The file, or ``:memory:``.
        limit: Rows that may wait for the disk.
        interval: Seconds between two writes.

    Attributes:
        path: The file that is written: where another process has the wanted one open, one beside it.
        clock: Where timestamps come from.

    Raises:
        DatabaseError: The file cannot be opened, for another reason than that another process has.
    """

    def __init__(self, path: str | Path, *, limit: int = LIMIT, interval: float = INTERVAL) -> None:
        self.path = str(path)
        self.clock = Clock()
        self._connection = self._open()
        self._columns = columns_of(self._connection)
        self._ids = itertools.count(secrets.randbits(31) << 32)
        self._limit, self._interval = limit, interval
        self._incoming: deque[tuple[Expand | None, Any]] = deque()
        self._unwritten: dict[str, list[Row]] = {}
        self._packing = Packing({name: self._columns["inferences"][name] for name in _ANSWERED})
        self._pack = self._packing.pack
        self._answers: list[bytes] = []  # packed, until they are written
        self._written = self._dropped = self._failures = self._grown = 0
        self._error: str | None = None
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._barriers: deque[threading.Event] = deque()  # set once all that was put before them is written
        self._access = threading.Lock()  # of the connection, between the writer and who reads
        self._closing = False
        self._thread = threading.Thread(target=self._live, name="webinfer-store", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        _stores.add(self)

    def __repr__(self) -> str:
        state = "closed" if self._closing else "open"
        return f"<Store {self.path} written={self._written} dropped={self._dropped} {state}>"

    @property
    def status(self) -> Status:
        """How the recording goes."""
        waiting = len(self._incoming) + len(self._answers) + sum(map(len, self._unwritten.values()))
        return Status(self.path, self._written, waiting, self._dropped, self._error)

    def next_id(self) -> int:
        """Return an identity that no other row has, in this file or another."""
        return next(self._ids)

    def add(self, table: str, **values: Any) -> int:
        """Have a row written soon, in place of one with the same key.

        Args:
            table: Name of the table.
            values: By column; ``id`` and ``timestamp`` are made where they are missing and wanted. Timestamps are
                seconds since 1970. What is no column goes into the table's ``details``.

        Returns:
            The row's id, or 0 where it has none of ours.

        Raises:
            KeyError: There is no such table, or it has no such column and no ``details``.
        """
        columns = self._columns[table]
        if "id" in columns and "id" not in values:
            values["id"] = self.next_id()
        if "timestamp" in columns and "timestamp" not in values:
            values["timestamp"] = self.clock.now()
        self.put(None, self.entry(table, **values))
        made = values.get("id", 0)
        return made if isinstance(made, int) else 0

    def entry(self, table: str, **values: Any) -> Entry:
        """Return a row as it is written: what is no column is in its ``details``."""
        return table, fold(self._columns[table], values)

    def put(self, expand: Expand | None, payload: Any) -> bool:
        """Have rows written soon, which ``expand`` makes of ``payload`` on the writer's thread.

        Returns:
            Whether there was room.
        """
        if self._closing or len(self._incoming) >= self._limit:
            self._dropped += 1
            return False
        self._incoming.append((expand, payload))
        if not self._wake.is_set():
            self._wake.set()
        return True

    def answer(self, answer: Answer, run: int, session: int, now: float) -> None:
        """Have the row of a request written soon that was answered in a run and session. It is made at once: packed."""
        if self._closing or len(self._answers) >= self._limit:
            self._dropped += 1
            return
        try:
            times = answer.times
            row = self._pack(
                next(self._ids),
                run,
                now,
                session,
                times.queue,
                times.wait,
                times.run,
                times.transfer,
                times.total,
                answer.items,
                answer.batch,
                answer.attempts,
            )
        except Exception:  # a row that cannot be made is no reason to stop recording
            log.exception("a row could not be made")
            self._dropped += 1
            return
        self._answers.append(row)
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Wait until all that was put before is written, or could not be."""
        barrier = threading.Event()
        self._barriers.append(barrier)
        self._hurry.set()
        self._wake.set()
        if self._closing:
            self._thread.join()
        else:
            barrier.wait()

    @contextlib.contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a connection that sees everything put so far, while the writer goes on.

        Raises:
            DatabaseError: The store was closed.
        """
        self.flush()
        with self._access:
            if self._closing:
                raise DatabaseError(f"{self.path} was closed: open it anew.")
            try:
                cursor = self._connection.cursor()
            except duckdb.Error as error:  # the disk refuses, and it could not be opened anew
                raise explain(self.path, error) from error
        try:
            yield cursor
        finally:
            cursor.close()

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Ask the database, with all that was put so far.

        Raises:
            DatabaseError: It does not understand, or the store was closed.
        """
        with self.reading() as connection:
            try:
                return select(connection, sql, parameters)
            except duckdb.Error as error:
                raise explain(self.path, error) from error

    def close(self) -> None:
        """Write what is left and close the file."""
        atexit.unregister(self.close)
        if self._closing:
            return
        self._closing = True
        self._hurry.set()
        self._wake.set()
        self._thread.join()
        self._dropped += len(self._incoming) + len(self._answers) + sum(map(len, self._unwritten.values()))
        if self._dropped:
            log.warning("%d rows could not be recorded in %s: %s", self._dropped, self.path, self._error or "too many")
        with contextlib.suppress(duckdb.Error):
            self._connection.close()

    # On the writer's thread

    def _live(self) -> None:
        while not self._closing:
            self._wake.wait()
            self._hurry.wait(_PAUSES[min(self._failures, len(_PAUSES)) - 1] if self._failures else self._interval)
            self._hurry.clear()
            self._wake.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        self.clock.check()
        barriers = [self._barriers.popleft() for _ in range(len(self._barriers))]
        answers = self._answers[:]  # first, so that the rows of their sessions are among what came
        self._take_in()
        with self._access:
            try:
                if self._failures:
                    self._reopen()
                try:
                    self._write_rows(answers)
                except _UNFIT:
                    self._write_what_fits()
                    self._write_rows(answers)
            except Exception as error:  # whatever it is: who waits for a flush waits for this thread
                self._failed(error)
            else:
                self._failures, self._error = 0, None
        for barrier in barriers:
            barrier.set()
        if self._unwritten or self._answers:
            self._wake.set()  # try again

    def _take_in(self) -> None:
        """Make rows of what came, as far as there is room."""
        for _ in range(len(self._incoming)):
            expand, payload = self._incoming.popleft()
            try:
                entries = [payload] if expand is None else expand(payload)
                for table, row in entries:
                    self._unwritten.setdefault(table, []).append(row)
            except Exception:  # a row that cannot be made is no reason to stop recording
                log.exception("a row could not be made")
                self._dropped += 1
        for rows in self._unwritten.values():
            if (beyond := len(rows) - self._limit) > 0:
                del rows[:beyond]
                self._dropped += beyond

    def _write_rows(self, answers: list[bytes]) -> None:
        if not self._unwritten and not answers:
            return
        with self._transaction():
            if answers:
                insert(self._connection, "inferences", self._packing.turn(answers))
            for table, rows in self._unwritten.items():
                self._write_table(table, rows)
            if self.path == MEMORY:
                self._forget(len(answers) + sum(map(len, self._unwritten.values())))
        self._written += len(answers) + sum(map(len, self._unwritten.values()))
        self._unwritten.clear()
        del self._answers[: len(answers)]

    def _write_what_fits(self) -> None:
        """Write the rows of each table in parts, smaller ones where one does not fit, down to the row that does not."""
        for table, rows in [*self._unwritten.items()]:
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
                    self._dropped += 1
                else:
                    self._written += len(part)
                    size *= 2
                del rows[: len(part)]
            del self._unwritten[table]

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
        columns = self._columns[table]
        for alike in group(rows, KEYS[table]) if table in KEYS else (rows,):
            insert(self._connection, table, turn(columns, alike))

    def _forget(self, more: int) -> None:
        """Keep a database in memory from growing without end."""
        self._grown += more
        if self._grown < _KEPT / 10:
            return
        self._grown = 0
        for table in self._columns.keys() - KEYS.keys():
            if "run" in self._columns[table]:
                newest = f"SELECT id FROM {table} ORDER BY id DESC LIMIT {_KEPT}"
                self._connection.execute(f"DELETE FROM {table} WHERE id NOT IN ({newest})")

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        told = error if isinstance(error, DatabaseError) else explain(self.path, error)
        if self._error is None:
            log.warning("recording stands still: %s", told)
        self._error = str(told)

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

    # In a process that was forked

    def leave(self) -> None:
        """Leave the file to the process that opened it: its writer is not here, and DuckDB knows nothing of forks."""
        self._closing = True
        self._access = threading.Lock()
        atexit.unregister(self.close)


_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _leave_stores() -> None:
    for store in _stores:
        store.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_stores)
