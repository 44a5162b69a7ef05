"""Records on their way to the disk and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench.records import WASM, WEBNN, WRONG, record
from webinfer.accuracy.comparison import compare, limits_for
from webinfer.accuracy.native import run_native
from webinfer.accuracy.outcome import Accuracy
from webinfer.accuracy.samples.maker import sample
from webinfer.bench import exit_code, read_record, storage
from webinfer.bench.cell import Agreement, Cell
from webinfer.bench.measurement.contestants import agreement
from webinfer.bench.record import ConcurrentRates
from webinfer.core.errors import BenchmarkError
from webinfer.models.sources.resolve import resolve
from webinfer.telemetry.database.archive import merge
from webinfer.telemetry.database.connection import connect
from webinfer.telemetry.database.store import Store


def test_a_record_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    made = record(1)
    made.save(tmp_path / "deep" / "one.json")
    assert read_record(tmp_path / "deep" / "one.json") == made
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["one.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": 3}', '{"format": 99, "id": "x"}', "\0"])
def test_what_is_no_record_is_refused_by_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "no.json"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=r"no\.json"):
        read_record(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"absent\.json"):
        read_record(tmp_path / "absent.json")


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


def test_a_benchmark_that_was_taken_up_is_in_the_database_once_and_in_one_that_takes_it_in(tmp_path: Path) -> None:
    path, other = tmp_path / "bench.duckdb", tmp_path / "other.duckdb"
    whole, half = record(1), record(1)
    failed = Cell(configuration=replace(WASM, browser="firefox"), status="failed", why="x", code="y")
    whole.cells.append(failed)
    half.ended, whole.ended = "2026-01-01T00:01:00+00:00", "2026-01-01T00:02:00+00:00"
    half.status, half.cells = "interrupted", [whole.cells[0], Cell(configuration=WEBNN), failed]
    for made in (half, whole, whole):
        with storage.opened(str(path)) as store:
            assert store is not None
            storage.write(store, made)
        merge(other, path)
    with storage.opened(str(tmp_path / "elsewhere.duckdb")) as store:
        assert store is not None
        storage.write(store, whole)
    merge(other, tmp_path / "elsewhere.duckdb")
    once = sorted(
        (str(cell.configuration), metric) for cell in whole.cells for metric, *_ in storage.figures(whole, cell)
    )
    assert len(once) == 10
    for each in (path, other):
        connection = connect(each, read_only=True)
        rows = connection.execute("SELECT label, metric FROM measurements WHERE error IS NULL ORDER BY ALL").fetchall()
        errors = connection.execute("SELECT error FROM measurements WHERE error IS NOT NULL").fetchall()
        benchmarks = connection.execute("SELECT name, status FROM benchmarks").fetchall()
        connection.close()
        assert (rows, errors, benchmarks) == (once, [("y: x",)], [("made-up-1", "finished")])
        assert storage.load(str(each), "latest") == whole


@pytest.mark.parametrize(("verdict", "code"), [("hardware", 0), ("mixed", 0), ("software", 2), ("unproven", 2)])
def test_the_exit_code_tells_hardware_from_software(verdict: str, code: int) -> None:
    made = record(1, cells=(WASM,))
    made.cells[0].verdict = verdict
    assert exit_code(made) == code


def test_the_exit_code_is_1_where_an_answer_was_wrong_whatever_gave_it() -> None:
    made = record(1)
    made.cells[0].verdict, made.cells[1].agreement = "hardware", WRONG
    assert exit_code(made) == 1


def test_native_is_beside_what_it_took_turns_with() -> None:
    made = record(1)
    for cell in made.cells:
        rows = {metric: (values, bounds) for metric, _, values, bounds in storage.figures(made, cell)}
        (values, bounds), (ratios, _) = rows["native_time"], rows["time_over_native"]
        assert values == [turn.cost for turn in made.references[0].turns]
        assert ratios == pytest.approx([turn.cost / value for turn, value in zip(cell.turns, values, strict=True)])
        assert bounds is not None
        assert bounds.low < 0.005 < bounds.high


def test_the_exit_code_is_1_where_nothing_was_measured() -> None:
    made = record(1, cells=(WASM,))
    made.cells[0].status = "failed"
    assert exit_code(made) == 1


def test_gain_is_work_done_beside_each_other_in_units_of_that_of_one_after_the_other() -> None:
    rates = ConcurrentRates(models=["a", "b"], place="wasm in embedded", lanes=2, alone=[2.0, 4.0], together=[1.0, 3.0])
    assert rates.gain == 1.25


# Answers held against native's

Y = np.linspace(-1, 1, 50, dtype=np.float32)


def held(output: Any, right: Any = Y, precision: str = "fp32", name: str = "y") -> Agreement:
    return agreement({} if output is None else {name: output}, {name: right}, precision, {})


def test_answers_agree_within_the_limits_and_hashes_to_the_bit() -> None:
    same = held(Y)
    assert (same.passed, same.fault, same.digest == same.native, same.difference) == (True, None, True, 0)
    near = held(Y + np.float32(1e-5))
    assert (near.passed, near.digest == near.native) == (True, False)
    far = held(Y + np.float32(1e-2))
    assert (far.passed, far.fault) == (False, "y is off by 0.01 of its largest value, over 0.001")
    assert held(Y + np.float32(1e-2), precision="fp16").passed


@pytest.mark.parametrize("wrong", [None, np.zeros(3, np.float32), np.full(50, np.nan, np.float32)])
def test_answers_that_cannot_be_compared_are_wrong(wrong: Any) -> None:
    found = held(wrong)
    assert (found.passed, found.difference) == (False, None)
    assert "NaN or infinite" in (found.fault or "")


def test_the_worse_of_two_is_kept_whichever_comes_first() -> None:
    right, near, wrong, strange = held(Y), held(Y + np.float32(1e-5)), held(Y * 2), held(None)
    ranks = held(np.eye(3, 32)[::-1] * 1e-4, np.eye(3, 32) * 1e-4 + np.eye(3, 32, 9), name="logits")
    for better, worse in [(right, near), (near, wrong), (wrong, strange), (near, ranks)]:
        assert better.worse(worse) is worse
        assert worse.worse(better) is worse


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "q4"])
@pytest.mark.parametrize("name", ["random:bert-tiny", "random:gpt2-tiny"])
def test_what_the_gate_admits_is_right_in_a_benchmark_and_nothing_else_is(name: str, precision: str) -> None:
    package, verdicts = resolve(name), set()
    native, limits = run_native(package, sample(package, 16)), limits_for(precision)
    noise = np.random.default_rng(0)
    for error in np.geomspace(1e-6, 1, 25):
        outputs = {
            key: array + (error * np.abs(array).max() * noise.uniform(-1, 1, array.shape)).astype(array.dtype)
            for key, array in native.items()
        }
        admitted = Accuracy(combination={}, deviations=tuple(compare(outputs, native))).fault(limits)
        benchmarked = agreement(outputs, native, precision, {})
        assert (benchmarked.passed, benchmarked.fault) == (admitted is None, admitted)
        verdicts.add(admitted is None)
    assert verdicts == {True, False}


def test_limits_of_the_caller_count_in_a_benchmark_too() -> None:
    options = {"accuracy_limits": {"fp32": {"error": 0.5}}}
    assert not agreement({"y": Y * 1.1}, {"y": Y}, "fp32", {}).passed
    assert agreement({"y": Y * np.float32(1.1)}, {"y": Y}, "fp32", options).passed
