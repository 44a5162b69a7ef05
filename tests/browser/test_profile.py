"""Where a run's time goes in each browser, as the runtime there told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.browser.conftest import PLACES, Save
from webinfer import Accelerator
from webinfer.core.errors import InputError

ROWS = {"x": np.ones((1, 8), np.float32)}


@pytest.mark.parametrize(("browser", "backend"), PLACES)
def test_every_node_is_told_of_and_parts_of_a_run_are_measured(
    accelerators: Callable[[str], Accelerator], perceptron: Path, browser: str, backend: Any
) -> None:
    with accelerators(browser).load(perceptron, platform=backend) as model:
        before = model.run(ROWS)
        profile = model.profile(ROWS)
        after = model.run(ROWS)
    assert profile.phases is not None
    assert min(profile.phases.to_dict().values()) >= 0
    assert profile.phases.run > 0
    assert before.placement is not None
    ran = sum(each.nodes for each in profile.operators if not each.copies)
    assert ran == (before.placement.graphs or before.placement.total)
    assert after["y"].tolist() == before["y"].tolist()  # measuring leaves the model as it was


def test_operators_are_timed_where_the_runtime_tells(embedded: Accelerator, save: Save) -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Mod", ["a", "two"], ["b"], fmod=1),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    two = onnx.numpy_helper.from_array(np.array(2, np.float32), "two")
    patchwork = save(*nodes, shape=(4,), initializers=(two,))
    told: dict[str, Any] = {}
    for backend in ("wasm", "webnn", "webgpu"):
        with embedded.load(patchwork, platform=backend) as model:
            told[backend] = model.profile({"x": np.ones(4, np.float32)}, runs=2)
    assert {each.name: (each.backend, each.nodes) for each in told["wasm"].operators} == {
        "Neg": ("wasm", 1),
        "Mod": ("wasm", 1),
        "Relu": ("wasm", 1),
    }
    assert told["wasm"].timed == told["wasm"].operators
    assert told["wasm"].untold is None
    counts = {(each.name, each.backend): each.nodes for each in told["webgpu"].operators if not each.copies}
    assert counts == {("Neg", "webgpu"): 1, ("Mod", "wasm"): 1, ("Relu", "webgpu"): 1}
    assert all((each.seconds is None) == each.copies for each in told["webgpu"].operators)  # its clock is there
    assert [(each.name, each.backend) for each in told["webnn"].timed] == [("Mod", "wasm")]
    assert told["webnn"].untold == "WebNN compiles its nodes into 2 graphs, and tells no time of what is inside."


def test_inputs_that_do_not_fit_are_refused_before_anything_is_measured(
    embedded: Accelerator, perceptron: Path
) -> None:
    with embedded.load(perceptron, platform="wasm") as model, pytest.raises(InputError):
        model.profile({"x": np.ones((1, 9), np.float32)})
