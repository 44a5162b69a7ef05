"""Models are run in the shapes expected before their first request, and results say whether theirs was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.browser.conftest import Save
from webinfer import Accelerator

pytestmark = pytest.mark.browser
SHAPE = numpy_helper.from_array(np.array([2, 3]), "shape")


def tokens(length: int) -> dict[str, np.ndarray]:
    return {"input_ids": np.full((1, length), 2003)}


def test_result_says_whether_its_shape_was_compiled_before(embedded: Accelerator, perceptron: Path) -> None:
    with embedded.load(perceptron, platform="webgpu") as model:
        one, two = np.ones((1, 8), np.float32), np.ones((2, 8), np.float32)
        assert not model.run(one).to_dict()["precompile_shaders"]
        assert model.warm_up() == 1
        warmed = model.run(one)
        assert warmed.warmed
        assert warmed.to_dict()["precompile_shaders"]
        assert not model.run(two).warmed


def test_requests_that_nobody_made_count_nowhere(embedded: Accelerator, save: Save) -> None:
    own = save(helper.make_node("Relu", ["x"], ["y"]), shape=("batch", 13))  # no other test's, so it is loaded anew
    embedded.start()
    before, totals = embedded.snapshot().totals, embedded.metrics()["aggregate"]["total_inferences"]
    with embedded.load(own, platform="wasm") as model:
        assert model.warm_up() == 1
        assert model.set_max_batch_size(4) is None  # which is tried out
        assert embedded.metrics()["aggregate"]["total_inferences"] == totals
        model.run(np.ones((1, 13), np.float32))
        after = embedded.snapshot().totals
    assert (after.loads, after.runs) == (before.loads + 1, before.runs + 1)


def test_model_is_warm_when_it_is_loaded_if_the_option_says_so() -> None:
    with Accelerator(browser="embedded", platform="webnn", warm_up=True, warm_up_lengths=[16, 32]) as accelerator:
        model = accelerator.load("wheel:all-MiniLM-L6-v2")
        loaded = sum(len(lane.sessions) for browser in accelerator.snapshot().browsers for lane in browser.lanes)
        assert loaded == 2  # WebNN has one for each shape
        results = [model.run(tokens(length)) for length in (9, 30, 40)]
    assert [result.warmed for result in results] == [True, True, False]
    assert [result.to_dict()["precompile_shaders"] for result in results] == [False] * 3  # WebNN has none


def test_model_that_cannot_be_run_on_made_up_inputs_is_loaded_all_the_same(embedded: Accelerator, save: Save) -> None:
    split = save(helper.make_node("Reshape", ["x", "shape"], ["y"]), shape=(1, "n"), initializers=(SHAPE,))
    with embedded.load(split, platform="wasm") as model:
        assert model.warm_up() == 0
        assert model.run(np.ones((1, 6), np.float32))["y"].shape == (2, 3)
