"""Databases are looked into, merged without doubling anything, and exported whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from webinfer.errors import DatabaseDamaged, DatabaseError
from webinfer.metrics.archive import contents, export, merge
from webinfer.metrics.database import connect
from webinfer.metrics.schema import VERSION, columns_of
from webinfer.metrics.store import Store

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


def test_export_can_be_read_by_others(tmp_path: Path) -> None:
    make(tmp_path / "one.duckdb", 7)
    files = export(tmp_path / "one.duckdb", tmp_path / "it's" / "parquet")
    found = duckdb.connect().read_parquet(str(files["results"])).fetchall()
    assert len(found) == 7
    assert {"inferences", "machines", "runs", "samples"} <= set(files)
