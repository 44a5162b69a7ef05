"""The atlas with a real browser: surveys, steering at load, and checks of models."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.accuracy.atlas.graphs import graph, resize, saved
from tests.browser.conftest import start
from webinfer.accuracy.atlas import store
from webinfer.accuracy.atlas.rows import OperatorVerdict
from webinfer.accuracy.atlas.trials.sweeps import sweep_trials
from webinfer.accuracy.atlas.trials.trial import OperatorTrial, one_node
from webinfer.accuracy.native import run_native
from webinfer.api.atlas.check import check, try_out
from webinfer.api.atlas.surveyor import Surveyor
from webinfer.core.errors import BackendUnavailable
from webinfer.core.options import Options
from webinfer.models.sources.resolve import resolve

pytestmark = pytest.mark.browser("embedded")

IMAGE = {"x": np.random.default_rng(3).standard_normal((1, 3, 8, 8)).astype(np.float32)}
ALIGNED = resize(
    shape=(1, 3, "height", 8), coordinate_transformation_mode="align_corners"
)  # of known sizes it is rewritten


def _trials() -> list[OperatorTrial]:
    """One that is right on WebNN, one that is wrong, one that ends its lane, one that is refused, and one after it."""
    sweeps = {trial.name: trial for trial in sweep_trials()}
    image = np.ones((3, 20, 8), np.float32)
    crop = helper.make_node("CenterCropPad", ["x", "s"], ["y"], axes=[1, 2])
    wrong = helper.make_node("Abs", ["x"], ["y"])
    return [
        sweeps["sweep_resize_linear_half_pixel_2.0_18"],
        sweeps["sweep_resize_linear_align_corners_2.0_18"],
        one_node("crop", crop, {"x": image}, {"s": np.array([10, 9])}),
        one_node("complex", wrong, {"x": np.ones(2, np.int8)}),
        sweeps["sweep_gru_forward_bias1_layout0_reset0"],
    ]


def test_survey_gives_each_trial_one_verdict_and_goes_on_where_it_was(tmp_path: Path) -> None:
    start("embedded").close()  # skips where there is none
    path, trials = tmp_path / "rows.json.gz", _trials()
    outcomes: dict[str, OperatorVerdict] = {}
    for step in Surveyor(Options(browser="embedded"), "webnn", path).run(trials[:3]):
        assert step.verdict is not None
        outcomes[step.case.name] = step.verdict
    assert [verdict.outcome for verdict in outcomes.values()] == ["right", "wrong", "kills"]
    assert "off by" in outcomes[trials[1].name].note
    assert "unreachable" in outcomes["crop"].note
    again = list(Surveyor(Options(browser="embedded"), "webnn", path).run(trials))
    assert [step.verdict is None for step in again] == [True] * 3 + [False] * 2
    (survey,) = store.read(path).surveys.values()
    assert len(survey.verdicts) == 5
    assert (survey.ground.browser, survey.ground.engine, survey.ground.backend) == ("embedded", "chromium", "webnn")
    assert "onnxruntime-web" in survey.ground.runtime


def test_survey_of_a_backend_that_is_not_there_says_so(tmp_path: Path) -> None:
    start("chromium").close()
    with pytest.raises(BackendUnavailable, match="chromium cannot run webnn"):
        list(Surveyor(Options(browser="chromium"), "webnn", tmp_path / "rows").run(_trials()))


def test_auto_passes_over_a_backend_that_is_known_to_be_wrong(tmp_path: Path) -> None:
    wrong, right = saved(ALIGNED, tmp_path / "wrong.onnx"), saved(resize(), tmp_path / "right.onnx")
    with start("embedded", accuracy="off") as accelerator:
        with accelerator.load(right) as model:
            assert (model.backend, model.run(IMAGE).reason) == ("webnn", None)
        with accelerator.load(wrong) as model:
            result = model.run(IMAGE)
    assert result.backend == "wasm"
    assert "Resize 'y': the atlas says that sweep_resize_linear_align_corners_2.0_18" in str(result.reason)
    np.testing.assert_allclose(result["y"], run_native(resolve(wrong), IMAGE)["y"], atol=1e-5)


def test_a_named_backend_answers_with_a_warning_that_quotes_the_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong, right = saved(ALIGNED, tmp_path / "wrong.onnx"), saved(resize(), tmp_path / "right.onnx")
    with start("embedded", accuracy="off", platform="webnn") as accelerator:
        with accelerator.load(right) as model:
            assert model.run(IMAGE).notes == ()
        with caplog.at_level(logging.WARNING), accelerator.load(wrong) as model:
            result = model.run(IMAGE)
    (note,) = result.notes
    assert note.startswith("Resize 'y': the atlas says that sweep_resize_linear_align_corners_2.0_18")
    assert note in caplog.text
    assert result.backend == "webnn"


def test_a_backend_that_ends_its_lane_is_passed_over_without_paying_for_it(tmp_path: Path) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], pads=[1] * 4, output_padding=[1, 1])
    model = graph(node, (1, 4, 5, 5), w=np.random.default_rng(4).standard_normal((4, 4, 3, 3)).astype(np.float32))
    path = saved(model, tmp_path / "m.onnx")
    inputs: dict[str, Any] = {"x": np.ones((1, 4, 5, 5), np.float32)}
    with start("embedded", accuracy="off") as accelerator, accelerator.load(path) as loaded:
        result = loaded.run(inputs)
        losses = accelerator.metrics()["aggregate"]
    assert (result.backend, result.attempts) == ("wasm", 1)
    assert "the end of its lane" in str(result.reason)
    assert losses


def test_check_says_what_is_wrong_and_what_to_change_and_a_run_agrees(tmp_path: Path) -> None:
    start("embedded").close()
    package = resolve(saved(ALIGNED, tmp_path / "m.onnx"))
    checks = [one for one in check(package, store.shipped()) if one.ground.browser == "embedded"]
    by_backend = {one.ground.backend: one for one in checks}
    assert by_backend["webnn"].verdict == "wrong"
    assert by_backend["wasm"].verdict == "right"
    (trouble,) = by_backend["webnn"].troubles
    assert "coordinate_transformation_mode=half_pixel" in str(trouble.change)
    try_out(package, [by_backend["webnn"], by_backend["wasm"]], Options(headless=True))
    assert by_backend["webnn"].trial is not None
    assert "y is off by" in str(by_backend["webnn"].trial.wrong)
    assert by_backend["wasm"].verdict == "right"
