"""What is to be measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from webinfer.bench import Matrix, full_matrix
from webinfer.bench.measurement.runner import SIDE_BY_SIDE, BenchmarkStep, blocks_of, remaining_seconds, with_counts
from webinfer.bench.plan import EVERY_BROWSER, SurveyedBrowser, expand, new_record
from webinfer.bench.record import Method, Record
from webinfer.bench.run import find_unfinished
from webinfer.core.errors import OptionError

SEEN = {
    "embedded": SurveyedBrowser(name="embedded", chosen="webnn"),
    "auto": SurveyedBrowser(name="embedded", chosen="webnn"),
    "edge": SurveyedBrowser(name="edge", missing=("edge is not installed.", "browser.not_found")),
    "firefox": SurveyedBrowser(name="firefox", errors={"webnn": "the browser has no navigator.ml"}),
}


def test_every_combination_is_there_once_and_those_that_cannot_be_say_why() -> None:
    ask = Matrix(models=("m",), browsers=("auto", "embedded", "edge", "firefox"), platforms=("auto", "webnn", "wasm"))
    cells = {cell.configuration.place: cell for cell in expand(ask, SEEN)}
    assert {place for place, cell in cells.items() if not cell.done} == {
        "webnn in embedded",
        "wasm in embedded",
        "wasm in firefox",
    }
    assert cells["webnn in firefox"].why == "the browser has no navigator.ml"
    assert cells["wasm in edge"].code == "browser.not_found"


def test_blocks_hold_one_model_and_concurrency_and_not_too_many_browsers() -> None:
    ask = Matrix(
        models=("m", "n"),
        browsers=("embedded", "firefox"),
        platforms=("webgpu", "wasm"),
        precisions=("full", "fp16"),
        concurrency=(1, 2),
    )
    made = blocks_of(expand(ask, SEEN))
    assert max(map(len, made)) == SIDE_BY_SIDE
    assert sum(map(len, made)) == 32
    for block in made:
        assert len({(cell.configuration.model, cell.configuration.concurrency) for cell in block}) == 1


def test_what_lies_ahead_is_the_patience_of_all_that_waits_with_native_among_them_and_warm_ups() -> None:
    ask = Matrix(models=("m", "n"), browsers=("embedded", "edge"), platforms=("wasm",), precisions=("full", "fp16"))
    made = Record(id="r", method=Method(patience=30), cells=expand(ask, SEEN))
    assert remaining_seconds(made) == pytest.approx(
        (4 + 4) * 30 * 4 / 3
    )  # four configurations; for each, one of native
    made.cells[0].status = made.cells[2].status = "measured"  # those of m
    assert remaining_seconds(made) == pytest.approx((2 + 2) * 30 * 4 / 3)


def test_a_step_says_how_many_are_done_of_those_that_may_be() -> None:
    cells = expand(Matrix(models=("m", "n", "o"), browsers=("embedded", "edge"), platforms=("wasm",)), SEEN)
    said: list[BenchmarkStep] = []
    tell = with_counts(cells, said.append)
    tell(BenchmarkStep("first"))
    waiting = [cell for cell in cells if not cell.done]
    waiting[0].status, waiting[1].status = "measured", "cannot"
    tell(BenchmarkStep("second", cells))
    assert [(step.text, step.done, step.total) for step in said] == [("first", 0, 3), ("second", 2, 3)]
    assert said[1].block == cells


def test_only_the_same_that_was_not_finished_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webinfer.bench.run.journals", lambda: tmp_path)
    ask, options = Matrix(models=("m",), browsers=("embedded",)), {"headless": True}
    made = new_record(ask, Method(), SEEN, options)
    made.save(path := tmp_path / f"{made.id}.json")
    assert find_unfinished(ask, Method(), options) == made
    assert find_unfinished(ask, Method(), {"headless": False}) is None
    assert find_unfinished(ask, Method(launches=1), options) is None
    assert find_unfinished(Matrix(models=("n",), browsers=("embedded",)), Method(), options) is None
    for changed in ({"version": "0"}, {"revision": "0"}, {"machine": {"id": "0"}}, {"status": "finished"}):
        replace(made, **changed).save(path)
        assert find_unfinished(ask, Method(), options) is None


def test_everything_is_every_browser_that_may_be_started() -> None:
    ask = full_matrix(("m",))
    assert ask.browsers == EVERY_BROWSER
    assert {"edge", "safari", "firefox", "webkit"} <= set(ask.browsers)
    assert ask.platforms == ("webgpu", "webnn", "wasm")
    assert {"full", "fp16", "q8", "int8", "q4", "q4f16", "q4-mixed", "q3", "q2"} == set(ask.precisions)


@pytest.mark.parametrize(
    "wrong", [{"browsers": ("netscape",)}, {"platforms": ("cuda",)}, {"precisions": ("q1",)}, {"concurrency": (0,)}]
)
def test_what_there_is_not_is_refused(wrong: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(OptionError):
        Matrix(models=("m",), **wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="no model"):
        Matrix(models=())
