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


def test_nothing_is_stored_unless_asked(perceptron: Path, embedded: Accelerator) -> None:
    for _ in range(2):
        with embedded.load(perceptron, platform="wasm") as model:
            assert model.loaded is not None
            assert model.loaded.stored == 0
