"""The store keeps what it was given, whatever happens to the disk and to the process; what it cannot keep it counts."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from webinfer.core.errors import DatabaseDamaged, DatabaseError, DatabaseLocked, DatabaseReadOnly, DatabaseTooNew
from webinfer.pool.requests.request import Times
from webinfer.telemetry.database import connection as database
from webinfer.telemetry.database import schema
from webinfer.telemetry.database.clock import Clock
from webinfer.telemetry.database.connection import connect
from webinfer.telemetry.database.store import Store

HOLD = """
import sys, threading
from webinfer.telemetry.database.store import Store
store = Store(sys.argv[1])
for number in range(500):
    store.add("inferences", total=float(number), attempts=1)
store.flush()
print("ready", flush=True)
threading.Event().wait()
"""

FULL = """
import resource, signal, sys
from types import SimpleNamespace
from webinfer.telemetry.database.store import Store
from webinfer.pool.requests.request import Times
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store(sys.argv[1], limit=3000)
def give(count):
    for number in range(count):
        if sys.argv[2] == "answers":
            times = Times(0.1, 0.2, 0.3, 0.4, float(number))
            store.answer(SimpleNamespace(times=times, items=1, batch=1, attempts=1), 1, 2, 3.0)
        else:
            store.add(sys.argv[2], **{sys.argv[3]: str(number) * 50})
    store.flush()
give(1000)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
give(2000)
full = store.status
give(2000)
assert full.error and full.waiting == 2000 and not full.dropped, full
assert store.status.waiting == 3000 and store.status.dropped == 1000, store.status
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.flush()
assert store.status.error is None and store.status.waiting == 0, store.status
store.close()
"""


FORKED = """
import os, sys
from webinfer.core.errors import DatabaseError
from webinfer.telemetry.database.store import Store
store = Store(sys.argv[1])
store.add("inferences", total=1.0)
child = os.fork()
if not child:
    store.add("inferences", total=2.0)
    store.flush()
    try:
        store.query("SELECT 1")
    except DatabaseError:
        store.close()
        sys.exit(7)  # and no signal, as DuckDB ends a process with that was forked
    sys.exit(1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
store.add("inferences", total=3.0)
store.close()
"""

FORBIDDEN = """
import os, sys
from webinfer.core.errors import DatabaseReadOnly
from webinfer.telemetry.database.connection import connect
from webinfer.telemetry.database.store import Store
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)  # root may write anywhere
for path in sys.argv[1:]:
    try:
        Store(path)
    except DatabaseReadOnly as error:
        assert path in str(error), error
    else:
        raise SystemExit(f"{path} could be written")
assert connect(sys.argv[1], read_only=True).execute("SELECT count(*) FROM inferences").fetchall() == [(1,)]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.duckdb"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the database open, with 500 rows written."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def rows(path: Path | str, query: str) -> list[tuple[Any, ...]]:
    connection = connect(path, read_only=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def answer(total: Any, items: int = 1) -> Any:
    """Return what is written of a result that took so long."""
    return SimpleNamespace(times=Times(0.1, 0.2, 0.3, 0.4, total), items=items, batch=1, attempts=1)


def test_rows_come_back_as_they_were_given(path: Path) -> None:
    store = Store(path)
    name = 'it\'s/a "model"'
    session = store.add("sessions", model_name=name, shape={"batch": 2}, unheard_of=[1, 2])
    for total in (0.1, 1 / 3, 1e-9):
        store.add("inferences", session=session, total=total, items=2, error_code=None)
    store.add("inferences", session=session, error_code="lost.lane", error="gone")
    store.close()
    assert rows(path, "SELECT total, items, error_code, model_name FROM results ORDER BY id") == [
        (0.1, 2, None, name),
        (1 / 3, 2, None, name),
        (1e-9, 2, None, name),
        (None, None, "lost.lane", name),
    ]
    assert rows(path, "SELECT CAST(shape AS TEXT), details ->> '$.unheard_of' FROM sessions") == [
        ('{"batch": 2}', "[1,2]")
    ]


def test_what_json_has_no_word_for_costs_no_row(path: Path) -> None:
    store = Store(path)
    first = store.add("runs", machine="m")
    store.add("runs", id=first + 1, options={"profiles": "a\udcff", ("b", 1): float("nan"), "c": {1}})
    store.close()
    assert store.status.dropped == 0
    assert rows(path, "SELECT machine, CAST(options AS TEXT) FROM runs ORDER BY id") == [
        ("m", None),
        (None, """{"profiles": "a?", "('b', 1)": null, "c": [1]}"""),
    ]


def test_row_with_a_key_is_completed_and_not_emptied(path: Path) -> None:
    store = Store(path)
    first = store.add("runs", machine="m", version="1")
    store.flush()
    store.add("runs", machine="n", version="2", options={"lanes": 2})
    store.add("runs", id=first, dropped=3)
    store.close()
    assert rows(path, "SELECT machine, version, dropped FROM runs ORDER BY id") == [("m", "1", 3), ("n", "2", None)]


def test_unknown_column_is_refused_where_the_row_is_made(path: Path) -> None:
    store = Store(path)
    with pytest.raises(KeyError, match="nonsense"):
        store.add("inferences", nonsense=1)
    store.close()


def test_row_that_cannot_be_made_is_counted_and_the_others_are_written(path: Path) -> None:
    def fail(_: object) -> list[Any]:
        raise ValueError

    store = Store(path)
    store.put(fail, None)
    store.add("inferences", total=1.0)
    store.close()
    assert store.status.dropped == 1
    assert rows(path, "SELECT count(*) FROM inferences") == [(1,)]


def test_value_that_no_column_takes_is_counted_and_the_recording_goes_on(path: Path) -> None:
    store = Store(path)
    store.add("inferences", total="soon")
    store.flush()
    assert store.status.dropped == 1
    store.add("inferences", total=1.0)
    store.close()
    assert (store.status.written, store.status.dropped) == (1, 1)


def test_row_that_no_column_takes_costs_no_other(path: Path) -> None:
    store = Store(path, interval=60.0)
    for number in range(50):
        session = store.add("sessions", model_name=f"m{number}")
        store.add("inferences", session=session, total="soon" if number in (0, 7, 8, 49) else float(number))
        store.answer(answer(100.0 + number), 1, session, 3.0)
    store.close()
    assert (store.status.written, store.status.dropped) == (146, 4)
    found = rows(path, "SELECT total, model_name FROM results ORDER BY total")
    kept = [number for number in range(50) if number not in (0, 7, 8, 49)]
    assert found == [(float(number), f"m{number}") for number in kept] + [(100.0 + at, f"m{at}") for at in range(50)]


def test_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError):
        Store(tmp_path / "a\udcff.duckdb")


def test_answer_whose_numbers_do_not_fit_is_counted_and_the_others_are_written(path: Path) -> None:
    store = Store(path)
    for spent, items in ((1.0, 1), (2.0, 2**40), (None, 1), (3.0, 2)):
        store.answer(answer(spent, items), 1, 2, 3.0)
    store.add("inferences", total="soon")
    store.flush()
    store.close()
    assert (store.status.written, store.status.dropped) == (2, 3)
    assert rows(path, "SELECT total, items FROM inferences ORDER BY id") == [(1.0, 1), (3.0, 2)]


def test_flood_beyond_the_limit_is_dropped_and_counted(path: Path) -> None:
    store = Store(path, limit=100, interval=60.0)
    for number in range(1000):
        store.add("inferences", total=float(number))
    for number in range(500):
        store.answer(answer(float(number)), 1, 2, 3.0)
    assert store.status.waiting == 200
    store.close()
    assert rows(path, "SELECT count(*), count(run) FROM inferences") == [(200, 100)]
    assert (store.status.written, store.status.dropped, store.status.waiting) == (200, 1300, 0)


def test_what_was_written_survives_a_kill(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert rows(path, "SELECT count(*), sum(total) FROM inferences") == [(500, sum(range(500)))]
    store = Store(path)
    store.add("inferences", total=1.0)
    store.close()
    assert rows(path, "SELECT count(*) FROM inferences") == [(501,)]


def test_second_process_writes_beside_and_says_how_to_merge(
    path: Path, holder: subprocess.Popen[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DatabaseLocked, match=f"PID {holder.pid}"):
        connect(path)
    with caplog.at_level(logging.WARNING):
        store = Store(path)
    assert "webinfer db merge" in caplog.text
    store.add("inferences", total=1.0)
    store.close()
    assert store.path != str(path)
    assert rows(store.path, "SELECT total FROM inferences") == [(1.0,)]


def test_two_stores_of_one_process_write_to_one_file(path: Path) -> None:
    stores = [Store(path), Store(path)]
    for store in stores:
        for _ in range(100):
            store.add("inferences", total=1.0)
    for store in stores:
        store.close()
    assert rows(path, "SELECT count(*), count(DISTINCT id) FROM inferences") == [(200, 200)]


def test_file_cut_off_is_damaged(path: Path) -> None:
    Store(path).close()
    whole = path.read_bytes()
    for size in (1, 100, 5000, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(DatabaseDamaged, match="Move it away"):
            Store(path)
    path.write_bytes(b"not a database, but long enough for a header" * 1000)
    with pytest.raises(DatabaseDamaged):
        Store(path)


def test_database_of_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    Store(path).close()
    connection = duckdb.connect(str(path))
    connection.execute("INSERT INTO schema_version VALUES (999, NULL)")
    connection.close()
    for read_only in (False, True):
        with pytest.raises(DatabaseTooNew, match="999"):
            connect(path, read_only=read_only)


def test_older_schema_is_migrated_once_and_keeps_its_rows(path: Path) -> None:
    store = Store(path)
    store.add("inferences", total=1.0)
    store.close()
    connection = duckdb.connect(str(path))
    step = "ALTER TABLE inferences ADD COLUMN energy DOUBLE; UPDATE inferences SET energy = 5.0"
    migrations = {**schema.MIGRATIONS, schema.VERSION + 1: step}
    for _ in range(2):
        schema.prepare(connection, migrations)
        assert connection.execute("SELECT total, energy FROM inferences").fetchall() == [(1.0, 5.0)]
        assert schema.version_of(connection) == schema.VERSION + 1
    connection.close()


def test_migration_that_fails_changes_nothing(path: Path) -> None:
    Store(path).close()
    connection = duckdb.connect(str(path))
    step = "ALTER TABLE runs ADD COLUMN x INTEGER; SELECT * FROM nowhere"
    with pytest.raises(duckdb.Error):
        schema.prepare(connection, {schema.VERSION + 1: step})
    assert schema.version_of(connection) == schema.VERSION
    assert "x" not in schema.columns_of(connection)["runs"]
    connection.close()


def test_directory_that_is_missing_or_not_writable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatabaseError, match=r"There is no directory .*nowhere"):
        Store(tmp_path / "nowhere" / "x.duckdb")
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    told = database.explain(tmp_path / "x.duckdb", duckdb.IOException("IO Error: Cannot open file: Permission denied"))
    assert isinstance(told, DatabaseReadOnly)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows other permissions")
def test_file_or_directory_that_may_only_be_read_is_refused_and_the_file_can_be_read() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # pytest's own directory lets nobody else in
        place = Path(name)
        closed = place / "closed"
        closed.mkdir(mode=0)
        path = place / "results.duckdb"
        store = Store(path)
        store.add("inferences", total=1.0)
        store.close()
        path.chmod(0o444)
        place.chmod(0o555)
        try:
            command = [
                sys.executable,
                "-c",
                FORBIDDEN,
                str(path),
                str(place / "new.duckdb"),
                str(closed / "new.duckdb"),
            ]
            subprocess.run(command, check=True, timeout=60)
        finally:
            place.chmod(0o755)


def test_three_seconds_of_ten_thousand_results_at_once_lose_none(path: Path) -> None:
    store = Store(path)
    for number in range(30_000):
        store.add("inferences", queue=0.1, run_time=0.2, total=float(number), items=1, batch=1, attempts=1)
    store.close()
    assert rows(path, "SELECT count(*), count(DISTINCT total) FROM inferences") == [(30_000, 30_000)]
    assert (store.status.dropped, store.status.waiting) == (0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("given", ["answers", "inferences error", "faults reason"])
def test_full_disk_stops_the_recording_which_goes_on_when_there_is_room(path: Path, given: str) -> None:
    subprocess.run([sys.executable, "-c", FULL, str(path), *given.split()], check=True, timeout=60)
    table = "faults" if "faults" in given else "inferences"
    assert rows(path, f"SELECT count(*), count(DISTINCT id) FROM {table}") == [(4000, 4000)]


def test_database_in_memory_keeps_the_newest_of_each_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webinfer.telemetry.database.writer._NEWEST", 100)
    store = Store(":memory:")
    session = store.add("sessions", model_name="m")
    for number in range(1000):
        store.add("faults", attempts=number)
        store.answer(answer(float(number)), 1, session, 3.0)
        if number % 100 == 99:
            store.flush()
    for table, column in (("faults", "attempts"), ("inferences", "total")):
        (row,) = store.query(f"SELECT count(*) AS rows, max({column}) AS newest FROM {table}")
        assert (row["rows"], row["newest"]) == (100, 999), table
    assert store.query("SELECT count(*) AS rows FROM sessions") == [{"rows": 1}]
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_process_that_was_forked_leaves_the_file_to_the_other_and_waits_for_nobody(path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORKED, str(path)], check=True, timeout=60)
    assert rows(path, "SELECT total FROM inferences ORDER BY id") == [(1.0,), (3.0,)]


def test_closed_store_counts_what_comes_too_late(path: Path) -> None:
    store = Store(path)
    store.close()
    store.close()
    store.add("inferences", total=1.0)
    assert store.status.dropped == 1


def test_many_threads_lose_nothing_while_others_write(path: Path) -> None:
    store = Store(path, interval=0.0)

    def give() -> None:
        for number in range(2000):
            store.answer(answer(float(number)), 1, 2, 3.0)
            if number % 4 == 0:
                store.add("inferences", total=1.0)

    threads = [threading.Thread(target=give) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert rows(path, "SELECT count(*), count(DISTINCT id), count(run) FROM inferences") == [(10_000, 10_000, 8000)]


def test_clock_goes_on_when_the_machines_is_set_back_and_catches_up_after_a_sleep() -> None:
    wall, steady = [1000.0], [0.0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    wall[0], steady[0] = 400.0, 1.0
    clock.check()
    clock.check()
    assert (clock.now(), clock.jumps) == (1001.0, 1)
    wall[0], steady[0] = 5000.0, 2.0
    clock.check()
    assert (clock.now(), clock.jumps) == (5000.0, 1)


def test_who_asks_sees_what_was_put_before_though_the_writer_is_in_the_middle_of_something() -> None:
    store, stop = Store(":memory:", interval=0.0), threading.Event()

    def disturb() -> None:
        while not stop.wait(0.0002):
            store.add("faults", kind="lane", code="lost")

    disturber = threading.Thread(target=disturb)
    disturber.start()
    counts = []
    for number in range(200):
        store.add("inferences", total=float(number), attempts=1)
        counts.append(store.query("SELECT count(*) AS rows FROM inferences")[0]["rows"])
    stop.set()
    disturber.join()
    store.close()
    assert counts == [*range(1, 201)]
