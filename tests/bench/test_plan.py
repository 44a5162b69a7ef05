"""What is to be measured, made-up requests, and right answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from webinfer.accuracy.native import run_native
from webinfer.accuracy.samples import sample
from webinfer.bench import Ask, everything
from webinfer.bench.agreement import agree, digest
from webinfer.bench.plan import EVERY_BROWSER, Seen, begin, expand
from webinfer.bench.record import Method, Record
from webinfer.bench.run import unfinished
from webinfer.bench.runner import TOGETHER, Step, ahead, blocks, counting
from webinfer.core.errors import OptionError
from webinfer.models.sources.resolve import resolve

SEEN = {
    "embedded": Seen(name="embedded", chosen="webnn"),
    "auto": Seen(name="embedded", chosen="webnn"),
    "edge": Seen(name="edge", missing=("edge is not installed.", "browser.not_found")),
    "firefox": Seen(name="firefox", errors={"webnn": "the browser has no navigator.ml"}),
}


def test_every_combination_is_there_once_and_those_that_cannot_be_say_why() -> None:
    ask = Ask(models=("m",), browsers=("auto", "embedded", "edge", "firefox"), platforms=("auto", "webnn", "wasm"))
    cells = {cell.configuration.place: cell for cell in expand(ask, SEEN)}
    assert {place for place, cell in cells.items() if not cell.done} == {
        "webnn in embedded",
        "wasm in embedded",
        "wasm in firefox",
    }
    assert cells["webnn in firefox"].why == "the browser has no navigator.ml"
    assert cells["wasm in edge"].code == "browser.not_found"


def test_blocks_hold_one_model_and_concurrency_and_not_too_many_browsers() -> None:
    ask = Ask(
        models=("m", "n"),
        browsers=("embedded", "firefox"),
        platforms=("webgpu", "wasm"),
        precisions=("full", "fp16"),
        concurrency=(1, 2),
    )
    made = blocks(expand(ask, SEEN))
    assert max(map(len, made)) == TOGETHER
    assert sum(map(len, made)) == 32
    for block in made:
        assert len({(cell.configuration.model, cell.configuration.concurrency) for cell in block}) == 1


def test_what_lies_ahead_is_the_patience_of_all_that_waits_with_native_among_them_and_warm_ups() -> None:
    ask = Ask(models=("m", "n"), browsers=("embedded", "edge"), platforms=("wasm",), precisions=("full", "fp16"))
    made = Record(id="r", method=Method(patience=30), cells=expand(ask, SEEN))
    assert ahead(made) == pytest.approx((4 + 4) * 30 * 4 / 3)  # four configurations; for each, one of native
    made.cells[0].status = made.cells[2].status = "measured"  # those of m
    assert ahead(made) == pytest.approx((2 + 2) * 30 * 4 / 3)


def test_a_step_says_how_many_are_done_of_those_that_may_be() -> None:
    cells = expand(Ask(models=("m", "n", "o"), browsers=("embedded", "edge"), platforms=("wasm",)), SEEN)
    said: list[Step] = []
    tell = counting(cells, said.append)
    tell(Step("first"))
    waiting = [cell for cell in cells if not cell.done]
    waiting[0].status, waiting[1].status = "measured", "cannot"
    tell(Step("second", cells))
    assert [(step.text, step.done, step.total) for step in said] == [("first", 0, 3), ("second", 2, 3)]
    assert said[1].block == cells


def test_only_the_same_that_was_not_finished_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webinfer.bench.run.journals", lambda: tmp_path)
    ask, options = Ask(models=("m",), browsers=("embedded",)), {"headless": True}
    made = begin(ask, Method(), SEEN, options)
    made.save(path := tmp_path / f"{made.id}.json")
    assert unfinished(ask, Method(), options) == made
    assert unfinished(ask, Method(), {"headless": False}) is None
    assert unfinished(ask, Method(launches=1), options) is None
    assert unfinished(Ask(models=("n",), browsers=("embedded",)), Method(), options) is None
    for changed in ({"version": "0"}, {"revision": "0"}, {"machine": {"id": "0"}}, {"status": "finished"}):
        replace(made, **changed).save(path)
        assert unfinished(ask, Method(), options) is None


def test_everything_is_every_browser_that_may_be_started() -> None:
    ask = everything(("m",))
    assert ask.browsers == EVERY_BROWSER
    assert {"edge", "safari", "firefox", "webkit"} <= set(ask.browsers)
    assert ask.platforms == ("webgpu", "webnn", "wasm")
    assert {"full", "fp16", "q8", "int8", "q4", "q4f16", "q4-mixed", "q3", "q2"} == set(ask.precisions)


@pytest.mark.parametrize(
    "wrong", [{"browsers": ("netscape",)}, {"platforms": ("cuda",)}, {"precisions": ("q1",)}, {"concurrency": (0,)}]
)
def test_what_there_is_not_is_refused(wrong: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(OptionError):
        Ask(models=("m",), **wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="no model"):
        Ask(models=())


@pytest.mark.parametrize("name", ["random:bert-tiny", "random:gpt2-tiny"])
def test_a_request_is_made_up_that_the_model_answers(name: str) -> None:
    package = resolve(name)
    inputs = sample(package, 12)
    outputs = run_native(package, inputs)
    assert inputs["attention_mask"].shape == (1, 12)
    assert all(np.isfinite(array).all() for array in outputs.values())
    assert digest(sample(package, 12)) == digest(inputs)
    assert digest(sample(package, 12, seed=1)) != digest(inputs)
    if name == "random:gpt2-tiny":
        assert inputs["input_ids"].shape == (1, 1)
        assert inputs["position_ids"].tolist() == [[11]]


def test_answers_agree_within_the_tolerance_and_hashes_to_the_bit() -> None:
    native = {"y": np.linspace(-1, 1, 50, dtype=np.float32)}
    same = agree(native, native, "fp32")
    assert (same.passed, same.digest == same.native, same.difference) == (True, True, 0)
    near = agree({"y": native["y"] + np.float32(1e-5)}, native, "fp32")
    assert (near.passed, near.digest == near.native) == (True, False)
    assert not agree({"y": native["y"] + np.float32(1e-2)}, native, "fp32").passed
    assert agree({"y": native["y"] + np.float32(1e-2)}, native, "fp16").passed


@pytest.mark.parametrize("wrong", [{}, {"y": np.zeros(3)}, {"y": np.full(50, np.nan)}])
def test_answers_that_cannot_be_compared_are_wrong(wrong: dict[str, np.ndarray]) -> None:
    found = agree(wrong, {"y": np.ones(50, np.float32)}, "fp32")
    assert not found.passed
    assert found.difference is None
