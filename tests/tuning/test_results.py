"""Results of tuning are found again by machine, model and browser, until that browser is another one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tuning.test_tuning import FAST, MACHINE, MODEL, NEXT, OTHER, VERSIONS, result
from webinfer.tuning.results import TuningResults
from webinfer.tuning.tuning import Standing, Tuning


@pytest.fixture
def results(tmp_path: Path) -> TuningResults:
    return TuningResults(tmp_path / "tuned")


class Rows:
    """A database that remembers what it was given."""

    def __init__(self, *known: Tuning) -> None:
        self.known = list(known)

    def add(self, tuning: Tuning) -> None:
        self.known.append(tuning)

    def find(self, model: str, machine: str) -> Sequence[Tuning]:
        return [tuning for tuning in self.known if (tuning.model, tuning.machine) == (model, machine)]


def test_next_process_finds_what_was_kept(results: TuningResults, tmp_path: Path) -> None:
    results.keep(result())
    assert TuningResults(tmp_path / "tuned").recall(MODEL, MACHINE, VERSIONS) == result()
    assert results.recall("b" * 64, MACHINE, VERSIONS) is None
    assert results.recall(MODEL, "another", VERSIONS) is None
    assert not [path for path in (tmp_path / "tuned").iterdir() if path.suffix == ".part"]


def test_result_is_found_by_the_hashes_of_shipped_precisions_too(results: TuningResults) -> None:
    results.keep(result(), {MODEL, "c" * 64})
    assert results.recall("c" * 64, MACHINE, VERSIONS) == result()
    assert results.find(MODEL, MACHINE) == [result()]


def test_newer_result_takes_the_place_of_one_of_the_same_browser(results: TuningResults) -> None:
    newer = result(at="2026-12-01T00:00:00+00:00", seconds=0.009)
    elsewhere = result(winner=NEXT, version="153.0.1", at="2026-11-29T00:00:00+00:00")
    for tuning in (result(), elsewhere, newer):
        results.keep(tuning)
    assert results.find(MODEL, MACHINE) == [newer, elsewhere]
    assert results.recall(MODEL, MACHINE, VERSIONS) == newer


def test_result_is_dropped_when_the_browser_is_another_major_version(results: TuningResults) -> None:
    older = result(winner=NEXT, version="153.0.1", at="2026-11-29T00:00:00+00:00")
    results.keep(older)
    results.keep(result())
    assert results.recall(MODEL, MACHINE, VERSIONS | {"firefox": "150.2"}) == result()
    assert results.recall(MODEL, MACHINE, VERSIONS | {"firefox": "151.0"}) == older
    assert results.find(MODEL, MACHINE) == [older], "it is gone, also for whoever has the old version again"


def test_result_that_names_no_browser_of_the_caller_is_kept_for_later(results: TuningResults) -> None:
    results.keep(result())
    assert results.recall(MODEL, MACHINE, {"chrome": "153.0"}) is None
    assert results.recall(MODEL, MACHINE, VERSIONS) == result()


@pytest.mark.parametrize(
    "contents",
    [
        "",
        "[]",
        "{",
        "[" * 200_000,
        '{"format": 9, "tunings": []}',
        '{"format": 1, "tunings": [{}]}',
        json.dumps({"format": 1, "tunings": [result().to_dict()]}).replace('"lanes": 1', '"lanes": 100000'),
        json.dumps({"format": 1, "tunings": [result().to_dict()]}).replace('"batch_size": 1', '"batch_size": 0'),
    ],
    ids=range(8),
)
def test_damaged_file_is_begun_anew(results: TuningResults, tmp_path: Path, contents: str) -> None:
    path = tmp_path / "tuned" / f"{MODEL}.json"
    path.parent.mkdir()
    path.write_text(contents)
    assert results.recall(MODEL, MACHINE, VERSIONS) is None
    results.keep(result())
    assert results.recall(MODEL, MACHINE, VERSIONS) == result()
    assert json.loads(path.read_text())["format"] == 1


def test_place_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    results = TuningResults(tmp_path / "file" / "tuned")
    results.keep(result())
    assert "cannot be kept" in caplog.text
    assert results.recall(MODEL, MACHINE, VERSIONS) is None


def test_database_is_told_and_asked_too(results: TuningResults, tmp_path: Path) -> None:
    results.rows = rows = Rows()
    results.keep(result())
    assert rows.known == [result()]
    other = TuningResults(tmp_path / "empty")
    other.rows = rows
    assert other.recall(MODEL, MACHINE, VERSIONS) == result()
    assert results.find(MODEL, MACHINE) == [result()], "what both have is one result"


BENCHMARK = result(source="benchmark", winner=NEXT, version="153.0.1", at="2026-12-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("benchmark", "taken"),
    [
        (BENCHMARK, BENCHMARK),
        (replace(BENCHMARK, at="2026-11-01T00:00:00+00:00"), result()),
        (replace(BENCHMARK, standings=tuple(Standing(candidate=one, seconds=1.0) for one in (NEXT, OTHER))), result()),
    ],
    ids=["newer", "older", "the winner was not in it"],
)
def test_benchmark_goes_first_where_it_is_newer_and_had_the_winner_in_it(
    results: TuningResults, benchmark: Tuning, taken: Tuning
) -> None:
    results.keep(result())
    results.rows = Rows(benchmark)
    assert results.recall(MODEL, MACHINE, VERSIONS) == taken


def test_benchmark_counts_where_no_contest_was_run(results: TuningResults) -> None:
    results.rows = Rows(BENCHMARK)
    assert results.recall(MODEL, MACHINE, VERSIONS) == BENCHMARK
    assert FAST in [standing.candidate for standing in BENCHMARK.standings]
