"""A browser that keeps model files need not fetch them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.browser.conftest import start
from webinfer import Accelerator

X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)


@pytest.mark.parametrize("browser", ["embedded", "firefox"])
def test_stored_model_is_not_fetched_again(perceptron: Path, browser: str) -> None:
    with start(browser, store_models=True) as accelerator:
        with accelerator.load(perceptron, platform="wasm") as first:
            assert first.loaded is not None
            assert first.loaded.stored == 0
            expected = first.run({"x": X}).outputs["y"]
        with accelerator.load(perceptron, platform="wasm") as again:
            assert again.loaded is not None
            assert again.loaded.stored == again.loaded.nbytes > 0
            np.testing.assert_array_equal(again.run({"x": X}).outputs["y"], expected)


@pytest.mark.parametrize("browser", ["embedded", "firefox"])
def test_kept_profile_has_the_model_for_the_next_accelerator(perceptron: Path, tmp_path: Path, browser: str) -> None:
    fetched = [_fetched_with(tmp_path / "profiles", perceptron, browser) for _ in range(2)]
    assert fetched[0] > fetched[1] == 0


def test_profile_in_use_leaves_another_accelerator_a_fresh_one(perceptron: Path, tmp_path: Path) -> None:
    profiles = tmp_path / "profiles"
    with start("embedded", store_models=True, profiles=profiles) as accelerator:
        with accelerator.load(perceptron, platform="wasm") as model:
            assert model.loaded is not None
            assert model.loaded.stored == 0
        assert _fetched_with(profiles, perceptron, "embedded") > 0  # another port, too, for this one is taken
        accelerator.load(perceptron, platform="wasm").close()
    assert _fetched_with(profiles, perceptron, "embedded") == 0


def _fetched_with(profiles: Path, model: Path, browser: str) -> int:
    """Load a model in a new accelerator, and return how many of its bytes were fetched."""
    with (
        start(browser, store_models=True, profiles=profiles) as accelerator,
        accelerator.load(model, platform="wasm") as loaded,
    ):
        assert loaded.loaded is not None
        assert loaded.run({"x": X}).outputs["y"].shape[0] == 1
        return loaded.loaded.nbytes - loaded.loaded.stored


def test_nothing_is_stored_unless_asked(perceptron: Path, embedded: Accelerator) -> None:
    for _ in range(2):
        with embedded.load(perceptron, platform="wasm") as model:
            assert model.loaded is not None
            assert model.loaded.stored == 0
