"""What is to be measured, made-up requests, and right answers."""

from __future__ import annotations

import numpy as np
import pytest

from webinfer.bench import Ask, everything
from webinfer.bench.agreement import agree, digest
from webinfer.bench.inputs import sample
from webinfer.bench.plan import EVERY_BROWSER, Seen, expand
from webinfer.bench.runner import TOGETHER, blocks
from webinfer.errors import OptionError
from webinfer.models import resolve
from webinfer.models.reference import run_native

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


def test_everything_is_every_browser_that_may_be_started() -> None:
    ask = everything(("m",))
    assert ask.browsers == EVERY_BROWSER
    assert {"edge", "safari", "firefox", "webkit"} <= set(ask.browsers)
    assert ask.platforms == ("webgpu", "webnn", "wasm")


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
