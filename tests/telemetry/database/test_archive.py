"""Databases are looked into, merged without doubling anything, and exported whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from webinfer.core.errors import DatabaseDamaged, DatabaseError
from webinfer.telemetry.database.archive import contents, export, merge
from webinfer.telemetry.database.connection import connect
from webinfer.telemetry.database.rows import KEYS
from webinfer.telemetry.database.schema import VERSION, columns_of
from webinfer.telemetry.database.store import Store

SCHEMAS = Path(__file__).parent / "schemas"


def make(path: Path, count: int, *, end: bool = True) -> Store:
    """Write a database as an accelerator would, with an awkward model's name."""
    store = Store(path)
    store.add("machines", id="m", cpu="one")
    store.add("models", sha256="f" * 64, name="a/'b'")
    run = store.add("runs", machine="m", started=store.clock.now())
    session = store.add("sessions", run=run, model="f" * 64, model_name="a/'b'", backend="wasm", precision="fp32")
    for number in range(count):
        store.add("inferences", run=run, session=session, total=float(number), items=1, batch=1, attempts=1)
    if end:
        store.add("runs", id=run, ended=store.clock.now(), dropped=2)
    store.close()
    return store


def count(path: Path) -> Any:
    connection = connect(path, read_only=True)
    found = connection.execute("SELECT count(*), count(DISTINCT id), sum(total) FROM results").fetchall()[0]
    connection.close()
    return found


def test_merging_adds_what_is_new_and_only_once(tmp_path: Path) -> None:
    target, source = tmp_path / "all.duckdb", tmp_path / "it's one.duckdb"
    make(target, 10)
    make(source, 20)
    assert merge(target, source)["inferences"] == 20
    assert set(merge(target, source).values()) == {0}
    assert count(target) == (30, 30, sum(range(10)) + sum(range(20)))
    assert contents(target).rows["machines"] == contents(target).rows["models"] == 1


def test_merging_into_nothing_makes_a_copy(tmp_path: Path) -> None:
    make(tmp_path / "one.duckdb", 5)
    merge(tmp_path / "new.duckdb", tmp_path / "one.duckdb")
    assert count(tmp_path / "new.duckdb") == count(tmp_path / "one.duckdb")


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("version", range(1, VERSION))
def test_database_of_an_older_version_is_read_and_taken_in_and_left_as_it_is(
    tmp_path: Path, version: int, killed: bool
) -> None:
    old, target = tmp_path / "old.duckdb", tmp_path / "all.duckdb"
    connection = duckdb.connect(str(old))
    if killed:
        connection.execute("SET wal_autocheckpoint = '1GB'")
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    connection.execute((SCHEMAS / f"{version}.sql").read_text(encoding="utf-8"))
    connection.execute("CREATE TABLE schema_version (version INTEGER, applied TIMESTAMP)")
    connection.execute("INSERT INTO schema_version VALUES (?, NULL)", [version])
    connection.execute("INSERT INTO sessions (id, model_name, backend) VALUES (1, 'a', 'wasm')")
    connection.execute("INSERT INTO inferences (id, session, total) VALUES (2, 1, 1.0), (3, 1, 2.0)")
    connection.close()
    assert old.with_name("old.duckdb.wal").exists() == killed
    before = old.read_bytes()

    assert count(old) == (2, 2, 3.0)
    assert contents(old).rows["browser_samples"] == 0
    assert contents(old).rows["tunings"] == 0
    assert "stretches" not in contents(old).rows
    make(target, 1)
    assert merge(target, old)["inferences"] == 2
    assert set(merge(target, old).values()) == {0}
    assert count(target) == (3, 3, 3.0)
    assert old.read_bytes() == before
    assert set(export(old, tmp_path / "parquet")) >= {"results"}
    made, brought_up = duckdb.connect(str(target)), connect(old)
    assert columns_of(brought_up) == columns_of(made)
    made.close()
    brought_up.close()


def test_merging_learns_of_the_end_of_a_run(tmp_path: Path) -> None:
    target, source = tmp_path / "all.duckdb", tmp_path / "one.duckdb"
    make(source, 1, end=False)
    merge(target, source)
    assert contents(target).unended == 1
    connection = duckdb.connect(str(source))
    connection.execute("UPDATE runs SET ended = started")
    connection.close()
    merge(target, source)
    assert contents(target).unended == 0


KNOWN: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "machines": ("m", {"python": "3.11"}, {"python": "3.12"}),
    "runs": (1, {"ended": None, "dropped": None}, {"ended": "2026-01-01 02:00:00", "dropped": "3"}),
    "models": ("f", {"cid": None, "family": None, "name": "old"}, {"cid": "c", "family": "bert", "name": "new"}),
    "browsers": (3, {"heartbeat_failures": "1"}, {"heartbeat_failures": "2"}),
    "sessions": (4, {"model": "f", "decision": None}, {"model": "f", "decision": '{"why":"it is fast"}'}),
    "benchmarks": (
        5,
        {"status": "interrupted", "ended": "2026-01-01 01:00:00"},
        {"status": "finished", "ended": "2026-01-01 02:00:00"},
    ),
}
"""Of each table with a key one row: its key, and what an older copy of a database has of it, and a newer one."""


def copies(directory: Path) -> tuple[Path, Path]:
    """Write an older copy of a database and a newer one; the size of the model is in the older alone."""
    paths = directory / "older.duckdb", directory / "newer.duckdb"
    for newer, path in enumerate(paths):
        connection = connect(path)
        for table, (key, *states) in KNOWN.items():
            row = {KEYS[table]: key, **states[newer]}
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", [*row.values()])
        moment = f"2026-01-01 0{newer}:30:00"
        connection.execute("INSERT INTO runs (id, machine, started) VALUES (?, 'm', ?)", [10 + newer, moment])
        connection.execute("INSERT INTO sessions (id, model, timestamp) VALUES (?, 'f', ?)", [10 + newer, moment])
        connection.execute("INSERT INTO inferences (id, session) VALUES (?, 4)", [newer])
        connection.execute("UPDATE models SET nbytes = ?", [None if newer else 99])
        connection.close()
    return paths


def everything(path: Path) -> dict[str, list[Any]]:
    connection = connect(path, read_only=True)
    tables = [table for table in columns_of(connection) if table != "schema_version"]
    found = {table: connection.execute(f"FROM {table} ORDER BY ALL").fetchall() for table in tables}
    connection.close()
    return found


@pytest.mark.parametrize("order", ["older first", "newer first", "into the older", "into the newer"])
def test_merging_copies_of_a_database_keeps_what_either_knows_in_any_order(tmp_path: Path, order: str) -> None:
    older, newer = copies(tmp_path)
    target = {"into the older": older, "into the newer": newer}.get(order, tmp_path / "all.duckdb")
    for source in (newer, older) if order == "newer first" else (older, newer):
        if source != target:
            merge(target, source)
    connection = connect(target, read_only=True)
    for table, (key, _, state) in KNOWN.items():
        wanted = ", ".join(f"CAST({name} AS VARCHAR)" for name in state)
        asked = f"SELECT {wanted} FROM {table} WHERE {KEYS[table]} = ?"
        assert connection.execute(asked, [key]).fetchall() == [tuple(state.values())], table
    assert connection.execute("SELECT nbytes FROM models").fetchall() == [(99,)]
    connection.close()
    assert contents(target).rows["inferences"] == 2
    once = everything(target)
    for source in {older, newer} - {target}:
        assert set(merge(target, source).values()) == {0}
    assert everything(target) == once


def test_merging_is_the_same_either_way_also_where_neither_is_newer(tmp_path: Path) -> None:
    one, two, one_first, two_first = (tmp_path / f"{name}.duckdb" for name in ("one", "two", "a", "b"))
    make(one, 3)
    make(two, 3)
    for path in (one, two):
        connection = duckdb.connect(str(path))
        connection.execute("UPDATE runs SET started = NULL")
        connection.execute("UPDATE sessions SET timestamp = NULL")
        if path == two:
            connection.execute("UPDATE models SET name = 'another', cid = 'c'")
            connection.execute("UPDATE machines SET cpu = 'another', os = 'Linux'")
        connection.close()
    for target, sources in ((one_first, (one, two)), (two_first, (two, one))):
        for source in sources:
            merge(target, source)
    assert everything(one_first) == everything(two_first)
    assert contents(one_first).rows["inferences"] == 6


def test_merging_into_itself_or_from_nowhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.duckdb"
    make(path, 1)
    with pytest.raises(DatabaseError, match="itself"):
        merge(path, tmp_path / "." / "one.duckdb")
    with pytest.raises(DatabaseError, match="no database"):
        merge(path, tmp_path / "none.duckdb")
    duckdb.connect(str(tmp_path / "foreign.duckdb")).close()
    with pytest.raises(DatabaseDamaged, match="none of webinfer's"):
        merge(path, tmp_path / "foreign.duckdb")


def test_contents_count_rows_drops_and_runs_without_an_end(tmp_path: Path) -> None:
    path = tmp_path / "one.duckdb"
    make(path, 7)
    found = contents(path)
    assert (found.version, found.rows["inferences"], found.dropped, found.unended) == (VERSION, 7, 2, 0)
    assert found.first is not None
    assert found.last is not None
    assert found.first <= found.last


def test_contents_of_an_empty_database_have_no_dates(tmp_path: Path) -> None:
    Store(tmp_path / "empty.duckdb").close()
    found = contents(tmp_path / "empty.duckdb")
    assert (found.first, found.last, sum(found.rows.values())) == (None, None, 0)


EXTREMES = {
    "BIGINT": "9223372036854775807",
    "INTEGER": "-2147483648",
    "DOUBLE": "0.1::DOUBLE + 0.2::DOUBLE",
    "DOUBLE[]": "['nan'::DOUBLE, 'inf'::DOUBLE, '-0.0'::DOUBLE, 5e-324::DOUBLE, 0.1::DOUBLE + 0.2::DOUBLE, NULL]",
    "BOOLEAN": "FALSE",
    "TIMESTAMP": "TIMESTAMP '2026-12-31 23:59:59.999999'",
    "VARCHAR": "'ä🙂|' || chr(10) || '''quoted'' and  spaced '",
    "JSON": """'{"a": [1, 2.50, null, "ä"], "b": {}}'""",
}
"""Of each type of column a value that could be lost on the way, in SQL."""


def test_export_holds_every_value_of_every_table(tmp_path: Path) -> None:
    path = tmp_path / "one.duckdb"
    make(path, 7)
    connection = connect(path)
    tables = {name: columns for name, columns in columns_of(connection).items() if name != "schema_version"}
    for table, columns in tables.items():
        connection.execute(f"INSERT INTO {table} SELECT {', '.join(EXTREMES[kind] for kind in columns.values())}")
    connection.execute("INSERT INTO inferences (id) VALUES (1)")  # and the rest is NULL
    connection.close()

    files = export(path, tmp_path / "it's" / "parquet")
    assert set(files) == {*tables, "results"}
    connection = connect(path, read_only=True)
    for name, file in files.items():
        kept = connection.execute(f"FROM {name} ORDER BY ALL")
        rows, described = kept.fetchall(), kept.description
        told = duckdb.connect().read_parquet(str(file)).order("ALL")
        assert [column[:2] for column in told.description] == [column[:2] for column in described or ()], name
        assert rows, name
        assert repr(told.fetchall()) == repr(rows), name  # NaN does not equal itself
    connection.close()
