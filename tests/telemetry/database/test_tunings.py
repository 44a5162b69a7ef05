"""A database keeps results of tuning, and says of benchmarks which place was clearly the fastest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tuning.test_tuning import FAST, MACHINE, MODEL, result
from webinfer.telemetry.database.archive import export, merge
from webinfer.telemetry.database.store import Store
from webinfer.telemetry.database.tunings import StoredTunings
from webinfer.tuning.candidate import Candidate

WASM = {"browser_name": "embedded", "backend": "wasm", "precision": "fp32"}
WEBNN = WASM | {"backend": "webnn"}


@pytest.fixture
def store(tmp_path: Path) -> Any:
    store = Store(tmp_path / "results.duckdb")
    yield store
    store.close()


def measure(store: Store, benchmark: int, place: dict[str, Any], milliseconds: float, **changes: Any) -> None:
    """Write down what an item took at a place, known to a twentieth."""
    seconds = milliseconds / 1e3
    row: dict[str, Any] = {
        "value": seconds,
        "low": seconds * 0.95,
        "high": seconds * 1.05,
        "count": 18,
        "concurrency": 1,
        "batch": 1,
    }
    row |= {"model": MODEL, "model_name": "m", "engine_version": "153.0", "metric": "time_per_item"} | place
    row |= {"details": {"interval": "over launches"}, "label": str(place)}
    store.add("measurements", benchmark=benchmark, **row | changes)


def benchmark(store: Store, started: float = 1.7e9, machine: str = MACHINE) -> int:
    return store.add("benchmarks", machine=machine, started=started, ended=started + 60, name="b")


def test_result_is_a_row_and_is_read_back(store: Store) -> None:
    StoredTunings(store, run=7).add(result())
    (row,) = store.query("SELECT * FROM tunings")
    winner = row["browser_name"], row["backend"], row["precision"], row["lanes"]
    assert winner == (FAST.browser, FAST.backend, FAST.precision, FAST.lanes)
    assert (row["run"], row["model"], row["gain"], row["gain_low"], row["cost"]) == (7, MODEL, 1.81, 1.72, 42.0)
    assert row["timestamp"].isoformat() == "2026-11-30T12:00:00"
    assert StoredTunings(store).find(MODEL, MACHINE) == [result()]
    assert not StoredTunings(store).find(MODEL, "another")


def test_results_are_merged_once_and_exported(tmp_path: Path) -> None:
    source = Store(tmp_path / "one.duckdb")
    StoredTunings(source).add(result())
    source.close()
    target = tmp_path / "all.duckdb"
    assert merge(target, tmp_path / "one.duckdb")["tunings"] == 1
    assert merge(target, tmp_path / "one.duckdb")["tunings"] == 0
    again = Store(target)
    assert StoredTunings(again).find(MODEL, MACHINE) == [result()]
    again.close()
    assert export(target, tmp_path / "parquet")["tunings"].exists()


def test_row_that_a_later_version_wrote_is_passed_over(store: Store) -> None:
    store.add("tunings", machine=MACHINE, model=MODEL, details={"model": MODEL})
    StoredTunings(store).add(result())
    assert StoredTunings(store).find(MODEL, MACHINE) == [result()]


def test_place_that_a_benchmark_shows_to_be_clearly_the_fastest_is_a_result(store: Store) -> None:
    number = benchmark(store)
    measure(store, number, WASM, 20.0)
    measure(store, number, WEBNN, 10.0)
    (found,) = StoredTunings(store).find(MODEL, MACHINE)
    assert (found.source, found.version, found.at) == ("benchmark", "153.0", "2023-11-14T22:14:20+00:00")
    assert found.winner == Candidate(browser="embedded", backend="webnn", precision="fp32")
    assert found.runner_up == Candidate(browser="embedded", backend="wasm", precision="fp32")
    assert found.gain is not None
    assert found.gain.estimate == pytest.approx(2.0)
    assert 1.8 < found.gain.low < 1.9 < 2.1 < found.gain.high < 2.2
    assert found.versions == {"embedded": "153.0"}


@pytest.mark.parametrize("other", [10.0, 10.6], ids=["as fast", "within the interval"])
def test_lead_that_chance_may_explain_is_none(store: Store, other: float) -> None:
    number = benchmark(store)
    measure(store, number, WEBNN, 10.0)
    measure(store, number, WASM, other)
    assert not StoredTunings(store).find(MODEL, MACHINE)


def test_place_that_no_machine_has_is_left_out(store: Store) -> None:
    run = benchmark(store)
    measure(store, run, WEBNN, 5.0, concurrency=100_000)
    measure(store, run, WASM, 20.0)
    assert StoredTunings(store).find(MODEL, MACHINE) == []


def test_place_alone_is_no_contest(store: Store) -> None:
    measure(store, benchmark(store), WASM, 20.0)
    assert not StoredTunings(store).find(MODEL, MACHINE)


def test_newest_benchmark_of_the_model_on_this_machine_counts(store: Store) -> None:
    older, newer, elsewhere = benchmark(store, 1.7e9), benchmark(store, 1.8e9), benchmark(store, 1.9e9, "another")
    for number, place in ((older, WASM), (newer, WEBNN), (elsewhere, WASM)):
        measure(store, number, place, 10.0)
        measure(store, number, WEBNN if place == WASM else WASM, 20.0)
    (found,) = StoredTunings(store).find(MODEL, MACHINE)
    assert found.winner.backend == "webnn"


def test_precisions_of_the_same_model_count_and_other_models_do_not(store: Store) -> None:
    number = benchmark(store)
    measure(store, number, WASM, 20.0)
    measure(store, number, WASM | {"precision": "q8"}, 10.0, model="b" * 64)
    measure(store, number, WEBNN, 1.0, model="c" * 64, model_name="another")
    (found,) = StoredTunings(store).find(MODEL, MACHINE)
    assert found.winner.precision == "q8"
    assert len(found.standings) == 2


def test_place_that_answers_otherwise_than_native_is_left_out(store: Store) -> None:
    number = benchmark(store)
    for place, milliseconds, passed in (
        (WEBNN, 1.0, False),
        (WASM, 10.0, True),
        (WASM | {"precision": "q8"}, 20.0, None),
    ):
        measure(store, number, place, milliseconds, details=None if passed is None else {"passed": passed})
    (found,) = StoredTunings(store).find(MODEL, MACHINE)
    assert found.winner.backend == "wasm"


def test_fewest_lanes_that_are_not_clearly_slower_are_taken(store: Store) -> None:
    number = benchmark(store)
    measure(store, number, WASM, 30.0)
    for lanes, milliseconds in ((1, 20.0), (2, 10.2), (3, 10.0)):
        measure(store, number, WEBNN, milliseconds, concurrency=lanes)
    (found,) = StoredTunings(store).find(MODEL, MACHINE)
    assert found.winner.lanes == 2
    assert found.runner_up is not None
    assert found.runner_up.backend == "wasm"


def test_database_that_cannot_be_read_knows_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path / "one.duckdb")
    store.close()
    assert not StoredTunings(store).find(MODEL, MACHINE)
    assert "cannot be read" in caplog.text
