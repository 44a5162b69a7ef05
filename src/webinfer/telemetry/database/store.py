"""The database: rows are handed over, and a thread writes them, so that requests do not wait for the disk."""

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

from webinfer.core.errors import DatabaseError
from webinfer.inference.result import Result
from webinfer.telemetry.database.clock import Clock
from webinfer.telemetry.database.connection import explain, select
from webinfer.telemetry.database.writer import TableRow, Writer

log = logging.getLogger("webinfer.metrics")

INTERVAL = 0.5  # seconds between two writes: what a SIGKILL may cost, with the time of a write
LIMIT = 100_000  # rows that wait for the disk at most; those beyond are dropped and counted
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds after a write that failed

Expand: TypeAlias = Callable[[Any], Iterable[TableRow]]


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
    """Rows on their way into a database.

    Every method may be called from any thread. Only ``flush`` and ``close`` wait for the disk.

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
        self.clock = Clock()
        self._writer = Writer(str(path), limit)
        self.path = self._writer.path
        self._ids = itertools.count(secrets.randbits(31) << 32)
        self._limit, self._interval = limit, interval
        self._incoming: deque[tuple[Expand | None, Any]] = deque()
        self._pack = self._writer.packing.pack
        self._answers: list[bytes] = []  # packed, until they are written
        self._dropped = 0  # rows that found no room here
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._barriers: deque[threading.Event] = deque()  # set once all that was put before them is written
        self._closing = False
        self._thread = threading.Thread(target=self._live, name="webinfer-store", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        _stores.add(self)

    def __repr__(self) -> str:
        state = "closed" if self._closing else "open"
        status = self.status
        return f"<Store {self.path} written={status.written} dropped={status.dropped} {state}>"

    @property
    def status(self) -> Status:
        """How the recording goes."""
        writer = self._writer
        waiting = len(self._incoming) + len(self._answers) + writer.waiting
        return Status(self.path, writer.written, waiting, self._dropped + writer.dropped, writer.error)

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
        columns = self._writer.tables[table]
        if "id" in columns and "id" not in values:
            values["id"] = self.next_id()
        if "timestamp" in columns and "timestamp" not in values:
            values["timestamp"] = self.clock.now()
        self.put(None, self.row(table, **values))
        identity = values.get("id", 0)
        return identity if isinstance(identity, int) else 0

    def row(self, table: str, **values: Any) -> TableRow:
        """Return a row as it is written: what is no column is in its ``details``; see ``Writer.row``.

        Args:
            table: Name of the table.
            values: Values by name.
        """
        return self._writer.row(table, **values)

    def put(self, expand: Expand | None, payload: Any) -> bool:
        """Have rows written soon.

        Args:
            expand: Makes rows of ``payload`` on the writer's thread; ``None`` where that is a row.
            payload: What the rows are made of.

        Returns:
            Whether there was room.
        """
        if self._closing or len(self._incoming) >= self._limit:
            self._dropped += 1
            return False
        self._incoming.append((expand, payload))
        if not self._wake.is_set():  # which takes no lock, as set() does
            self._wake.set()
        return True

    def answer(self, result: Result, run: int, session: int, now: float) -> None:
        """Have the row of an answered request written soon. It is made at once: packed.

        Args:
            result: The answer.
            run: Id of the run's row.
            session: Id of the session's row.
            now: Seconds since 1970.
        """
        if self._closing or len(self._answers) >= self._limit:
            self._dropped += 1
            return
        try:
            times = result.times
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
                result.items,
                result.batch,
                result.attempts,
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
        if self._closing:  # the writer may have seen its last barrier, so its end is waited for
            self._thread.join()
        else:
            barrier.wait()

    @contextlib.contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a connection that sees everything put so far, while the writer goes on.

        Yields:
            The connection, valid within the block.

        Raises:
            DatabaseError: The store was closed.
        """
        self.flush()
        if self._closing:
            raise DatabaseError(f"{self.path} was closed: open it anew.")
        with self._writer.cursor() as cursor:
            yield cursor

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Ask the database, with all that was put so far.

        Args:
            sql: The query.
            parameters: Values of its placeholders.

        Returns:
            One dictionary for each row, with values by column.

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
        self._dropped += len(self._incoming) + len(self._answers)
        self._writer.close()
        dropped = self._dropped + self._writer.dropped
        if dropped:
            reason = self._writer.error or "too many"
            log.warning("%d rows could not be recorded in %s: %s", dropped, self.path, reason)

    # On the writer's thread

    def _live(self) -> None:
        while not self._closing:
            self._wake.wait()
            failures = self._writer.failures
            self._hurry.wait(_PAUSES[min(failures, len(_PAUSES)) - 1] if failures else self._interval)
            self._hurry.clear()  # before the write: what comes during it sets them again
            self._wake.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        self.clock.check()
        barriers = [self._barriers.popleft() for _ in range(len(self._barriers))]
        answers = self._answers[:]  # first, so that the rows of their sessions are among what came
        self._take_in()
        if self._writer.write(answers):
            del self._answers[: len(answers)]  # others may have been appended during the write
        for barrier in barriers:
            barrier.set()
        if self._writer.waiting or self._answers:
            self._wake.set()  # try again

    def _take_in(self) -> None:
        """Hand over to the writer what came, as far as there is room."""
        for _ in range(len(self._incoming)):
            expand, payload = self._incoming.popleft()
            try:
                for row in [payload] if expand is None else expand(payload):
                    self._writer.add(row)
            except Exception:  # a row that cannot be made is no reason to stop recording
                log.exception("a row could not be made")
                self._dropped += 1
        self._writer.trim()

    # In a process that was forked

    def leave(self) -> None:
        """Leave the file to the process that opened it: its writer is not here, and DuckDB knows nothing of forks."""
        self._closing = True
        self._writer.leave()
        atexit.unregister(self.close)


_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _leave_stores() -> None:
    for store in _stores:
        store.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_stores)
