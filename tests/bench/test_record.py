"""Records on their way to the disk and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.records import WASM, record
from webinfer.bench import exit_code, read, storage
from webinfer.bench.record import Together
from webinfer.errors import BenchmarkError
from webinfer.metrics.store import Store


def test_a_record_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    made = record(1)
    made.save(tmp_path / "deep" / "one.json")
    assert read(tmp_path / "deep" / "one.json") == made
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["one.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": 3}', '{"format": 99, "id": "x"}', "\0"])
def test_what_is_no_record_is_refused_by_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "no.json"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=r"no\.json"):
        read(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"absent\.json"):
        read(tmp_path / "absent.json")


def test_a_record_comes_back_from_the_database_as_it_was(tmp_path: Path) -> None:
    path = str(tmp_path / "bench.duckdb")
    older, newer = record(1), record(2)
    newer.started = "2026-01-02T00:00:00+00:00"
    newer.cells[1].turns = []
    newer.cells[1].status, newer.cells[1].why, newer.cells[1].code = "cannot", "it isn't there", "browser.missing"
    with storage.opened(path) as store:
        assert isinstance(store, Store)
        storage.write(store, older)
        storage.write(store, newer)
        with store.reading() as connection:
            rows = connection.execute(
                "SELECT value, low, high, count, len(raw) FROM measurements m JOIN benchmarks b ON b.id = m.benchmark "
                "WHERE b.name = 'made-up-2' AND metric = 'time_per_item'"
            ).fetchall()
            errors = connection.execute("SELECT error FROM measurements WHERE error IS NOT NULL").fetchall()
    assert storage.load(path, "latest") == newer
    assert storage.load(path, "previous") == storage.load(path, "made-up-1") == older
    bounds = newer.cells[0].interval
    assert bounds is not None
    assert rows == [(bounds.estimate, bounds.low, bounds.high, 24, 24)]
    assert errors == [("browser.missing: it isn't there",)]
    with pytest.raises(BenchmarkError, match="made-up-2, made-up-1"):
        storage.load(path, "other")


@pytest.mark.parametrize(("verdict", "code"), [("hardware", 0), ("mixed", 0), ("software", 2), ("unproven", 2)])
def test_the_exit_code_tells_hardware_from_software(verdict: str, code: int) -> None:
    made = record(1, cells=(WASM,))
    made.cells[0].verdict = verdict
    assert exit_code(made) == code


def test_the_exit_code_is_1_where_nothing_was_measured() -> None:
    made = record(1, cells=(WASM,))
    made.cells[0].status = "failed"
    assert exit_code(made) == 1


def test_gain_is_work_done_beside_each_other_in_units_of_that_of_one_after_the_other() -> None:
    rates = Together(models=["a", "b"], place="wasm in embedded", lanes=2, alone=[2.0, 4.0], together=[1.0, 3.0])
    assert rates.gain == 1.25
