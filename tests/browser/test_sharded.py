"""A model that no lane may hold runs in stages, on lanes and browsers of its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.models.zoo.test_decoders import GPT2, loud
from webinfer import Accelerator, AsyncModel
from webinfer.accuracy.native import NativeSession
from webinfer.browsers.discovery.find import find
from webinfer.core.errors import BackendUnavailable, BrowserNotFound
from webinfer.inference.residents.kv_cache import Recurrence, cache_of
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.architectures.text.gpt2 import gpt2

pytestmark = pytest.mark.browser

MINILM = "wheel:all-MiniLM-L6-v2"
IDS = np.random.default_rng(3).integers(1000, 20000, (2, 20))
TOKENS = {"input_ids": IDS, "attention_mask": np.ones_like(IDS), "token_type_ids": np.zeros_like(IDS)}


def hidden() -> np.ndarray:
    return NativeSession(resolve(MINILM)).run(TOKENS)["last_hidden_state"]


@pytest.mark.parametrize("platform", ["wasm", "webnn"])
def test_stages_on_two_lanes_answer_as_native(platform: str) -> None:
    with Accelerator(
        browser="embedded", lanes=2, threads=1, platform=platform, lane_capacity_mb=60, shard_models=True
    ) as accelerator:
        model = accelerator.load(MINILM)
        result = model.run(TOKENS)
        np.testing.assert_allclose(result["last_hidden_state"], hidden(), atol=1e-3)
        assert len(set(result.lane.split(" + "))) == 2
        batch = model.run_batch([TOKENS] * 4)
        assert all(np.array_equal(each["last_hidden_state"], result["last_hidden_state"]) for each in batch)
        assert model.embed(["two stages", "one answer"]).shape == (2, 384)


@pytest.mark.timeout(400)
def test_stages_go_to_different_browsers() -> None:
    try:
        find("firefox")
    except BrowserNotFound as error:
        pytest.skip(str(error))
    with Accelerator(
        browsers=("embedded", "firefox"),
        platform="wasm",
        threads=1,
        lane_capacity_mb=60,
        shard_models=True,
        launch_timeout=150.0,  # however busy the machine is, no other browser is to take Firefox's place
    ) as accelerator:
        result = accelerator.load(MINILM).run(TOKENS)
        assert set(result.browser.split(" + ")) == {"embedded", "firefox"}
        np.testing.assert_allclose(result["last_hidden_state"], hidden(), atol=1e-4)


def test_model_that_fits_is_left_whole() -> None:
    with Accelerator(browser="embedded", platform="wasm", shard_models=True) as accelerator:
        assert " + " not in accelerator.load(MINILM).run(TOKENS).lane


def test_decoder_whose_state_stays_on_a_lane_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "gpt2.onnx"
    gpt2(GPT2).save(path, loud)
    with Accelerator(
        browser="embedded", platform="wasm", lane_capacity_mb=path.stat().st_size / 1.5e6, shard_models=True
    ) as accelerator:
        model = accelerator.load(path)
        with pytest.raises(BackendUnavailable, match="raise lane_capacity_mb"):
            Recurrence(model.inner, cache_of(model.package))


def test_what_needs_one_lane_is_refused_or_left_out() -> None:
    with Accelerator(
        browser="embedded", threads=1, platform="wasm", lane_capacity_mb=60, shard_models=True
    ) as accelerator:
        model = accelerator.load(MINILM)
        assert isinstance(model.inner, AsyncModel)
        assert model.set_max_batch_size(4) == "the model runs in stages"
        assert model.max_batch_size == 1
        assert model.warm_up() == 0
        with pytest.raises(BackendUnavailable, match="raise lane_capacity_mb"):
            model.profile(TOKENS)
        pool = accelerator._inner._pool
        assert pool is not None
        assert accelerator._inner._loader.holders(pool)[model.package.sha256] == {"b1"}


def test_stage_whose_lane_is_lost_runs_again() -> None:
    with Accelerator(
        browser="embedded", lanes=2, threads=1, platform="wasm", lane_capacity_mb=60, shard_models=True
    ) as accelerator:
        model = accelerator.load(MINILM)
        first = model.run(TOKENS)
        os.kill(accelerator.snapshot().browsers[0].pid, signal.SIGKILL)
        np.testing.assert_array_equal(model.run(TOKENS)["last_hidden_state"], first["last_hidden_state"])
