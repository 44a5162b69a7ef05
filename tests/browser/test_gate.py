"""The correctness gate, against a runtime whose answers are a twentieth too large: it lies in a page made here."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.conftest import start
from webinfer import Accelerator, gate, host
from webinfer.errors import AccuracyError
from webinfer.models import accuracy as accuracies

PAGE = host.WEB
WRONG = """
import * as real from "./real.{name}";
export * from "./real.{name}";
async function create(...given) {{
  const [provider] = given[1].executionProviders;
  const lies = {lies}.includes(provider.name ?? provider);
  const session = await real.InferenceSession.create(...given);
  const run = session.run.bind(session);
  session.run = async (...asked) => {{
    const outputs = await run(...asked);
    if (lies) for (const {{ data }} of Object.values(outputs)) data.forEach((value, at) => (data[at] = value * 1.05));
    return outputs;
  }};
  return session;
}}
export const InferenceSession = {{ create }};
"""


def wrong_page(place: Path, lies: list[str]) -> Path:
    """Lay out the page anew, with a runtime around the real one. Nothing of this is in the product."""
    (place / "runtime").mkdir(parents=True)
    for file in PAGE.iterdir():
        if file.name != "runtime":
            shutil.copytree(file, place / file.name) if file.is_dir() else shutil.copy(file, place / file.name)
    for file in (PAGE / "runtime").iterdir():
        if file.suffix == ".mjs":
            shutil.copy(file, place / "runtime" / f"real.{file.name}")
            (place / "runtime" / file.name).write_text(WRONG.format(name=file.name, lies=lies), encoding="utf-8")
        else:
            shutil.copy(file, place / "runtime" / file.name)
    return place


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where outcomes are kept: never with those of real pages."""
    monkeypatch.setattr(accuracies, "cache_dir", lambda: tmp_path / "memory")
    return tmp_path / "memory" / "accuracy"


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accelerator]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "WEB", wrong_page(tmp_path_factory.mktemp("page"), ["wasm", "webnn", "webgpu"]))
        with start("embedded", accuracy="raise") as accelerator:
            accelerator.start()
            yield accelerator


@pytest.mark.parametrize("backend", ["wasm", "webnn", "webgpu"])
def test_wrong_numbers_are_caught_on_every_backend(
    wrong: Accelerator, perceptron: Path, memory: Path, backend: Any
) -> None:
    with pytest.raises(AccuracyError, match=r"y is off by 0\.0\d+ of its largest value") as caught:
        wrong.load(perceptron, platform=backend)
    (deviation,) = caught.value.data["deviations"]
    assert deviation["cosine"] > 0.9999
    assert caught.value.data["combination"]["backend"] == backend
    assert len(list(memory.iterdir())) == 1
    loads = wrong.snapshot().totals.loads
    with pytest.raises(AccuracyError, match=r"y is off by 0\.0\d+ of its largest value"):  # from what is kept
        wrong.load(perceptron, platform=backend)
    assert wrong.snapshot().totals.loads == loads  # nothing was loaded for it
    assert wrong.metrics()["aggregate"]["total_inferences"] == 0


@pytest.fixture(scope="module")
def partly_wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accelerator]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "WEB", wrong_page(tmp_path_factory.mktemp("page"), ["webnn"]))
        with start("embedded", accuracy="fallback") as accelerator:
            accelerator.start()
            yield accelerator


def test_the_next_backend_takes_the_place_of_one_that_is_wrong(partly_wrong: Accelerator, perceptron: Path) -> None:
    with partly_wrong.load(perceptron, platform="webnn") as model:
        result = model.run({"x": np.ones((1, 8), np.float32)})
    assert (result.asked, result.backend) == ("webnn", "wasm")
    assert "on webnn does not compute what native onnxruntime does: y is off by 0.0" in (result.reason or "")
    assert result.accuracy is not None
    assert result.accuracy.combination["backend"] == "wasm"
    assert result.observed()["accuracy"]["deviations"][0]["error"] < 1e-5


def test_a_caller_who_wants_a_warning_gets_the_numbers_and_the_evidence(
    partly_wrong: Accelerator, perceptron: Path, caplog: pytest.LogCaptureFixture
) -> None:
    partly_wrong._inner.options = replace(partly_wrong._inner.options, accuracy="warn")
    with caplog.at_level(logging.WARNING, "webinfer.gate"), partly_wrong.load(perceptron, platform="webnn") as model:
        result = model.run({"x": np.ones((1, 8), np.float32)})
    assert "does not compute what native onnxruntime does" in caplog.text
    assert result.backend == "webnn"
    assert result.accuracy is not None
    assert 0.04 < result.accuracy.deviations[0].error < 0.06


def test_what_is_right_passes_once_and_is_not_tried_again(
    embedded: Accelerator, perceptron: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded._inner, "options", replace(embedded._inner.options, accuracy="raise"))
    embedded.load(perceptron, platform="wasm").close()
    (file,) = memory.iterdir()
    monkeypatch.setattr(gate, "_try", None)  # a second comparison would fail
    with embedded.load(perceptron, platform="wasm") as model:
        assert model.run({"x": np.ones((1, 8), np.float32)}).accuracy is not None
    assert list(memory.iterdir()) == [file]
