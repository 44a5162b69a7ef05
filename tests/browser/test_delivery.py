"""Models that were made ready for a backend answer as they did before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from webinfer import Accelerator
from webinfer.accuracy.native import NativeSession
from webinfer.models.sources.resolve import resolve

pytestmark = pytest.mark.browser

Get = Callable[[str], Accelerator]
MODELS = {"wheel:all-MiniLM-L6-v2": {"Gelu": 6}, "wheel:efficientnet-lite0": {}}


def tokens(shape: tuple[int, int] = (2, 16)) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(5).integers(1000, 20000, shape)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


@pytest.mark.parametrize("reference", MODELS)
def test_rewritten_model_answers_as_native(accelerators: Get, reference: str) -> None:
    package = resolve(reference)
    inputs = tokens() if MODELS[reference] else {"pixel_values": np.ones((1, 3, 224, 224), np.float32)}
    result = accelerators("embedded").load(reference, platform="webnn").run(inputs)
    assert result.rewritten == MODELS[reference]
    for name, expected in NativeSession(package).run(inputs).items():
        np.testing.assert_allclose(result[name], expected, rtol=1e-3, atol=1e-3)


def test_rewriting_can_be_switched_off() -> None:
    with Accelerator(browser="embedded", platform="webnn", optimize_graphs=False) as accelerator:
        result = accelerator.load("wheel:all-MiniLM-L6-v2").run(tokens())
    expected = NativeSession(resolve("wheel:all-MiniLM-L6-v2")).run(tokens())
    assert result.rewritten == {}
    np.testing.assert_allclose(result["last_hidden_state"], expected["last_hidden_state"], atol=1e-4)


def test_products_in_integers_come_close_and_say_so() -> None:
    inputs = tokens((1, 128))
    with Accelerator(browser="embedded", platform="wasm", integer_matmul=True) as accelerator:
        model = accelerator.load("wheel:all-MiniLM-L6-v2")
        loaded = model.load()
        result = model.run(inputs)
    expected = NativeSession(resolve("wheel:all-MiniLM-L6-v2")).run(inputs)["last_hidden_state"].ravel()
    got = result["last_hidden_state"].ravel()
    assert result.rewritten == {"MatMulIntegerToFloat": 36, "FastGelu": 6}
    assert result.precision == "int8"
    assert loaded.nbytes < 65e6  # of 91 MB: what was replaced is not fetched
    assert 0.999 < expected @ got / np.linalg.norm(expected) / np.linalg.norm(got) < 0.99999
