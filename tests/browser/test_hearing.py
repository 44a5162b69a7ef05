"""The log-mel spectrogram on the GPU: the same as on the CPU, whatever the workgroup."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.recordings import BECKETT, recording
from webinfer import Accelerator
from webinfer.browsers.lane import Lane
from webinfer.core.errors import WebinferError
from webinfer.inference.probes.audio import DEFAULT, SHAPES, Workgroup, hear, name
from webinfer.models.preprocessing.audio import read_audio
from webinfer.models.preprocessing.audio_features import LogMel, feature_extractor
from webinfer.models.zoo.architectures.audio.configurations import whisper_configs
from webinfer.models.zoo.architectures.audio.whisper import ENCODER, whisper
from webinfer.models.zoo.formats.weights import random_weights

EXACT = LogMel()
BRIEF = LogMel(mels=40, window=402, hop=168, seconds=21)  # neither a multiple of four frames nor of four samples


@pytest.fixture(params=[pytest.param(one, marks=pytest.mark.browser(one)) for one in ("embedded", "firefox")])
def accelerator(request: pytest.FixtureRequest, accelerators: Callable[[str], Accelerator]) -> Accelerator:
    return accelerators(request.param)


def lane_of(accelerator: Accelerator) -> Lane:
    accelerator.start()
    pool = accelerator._inner._pool
    assert pool is not None
    return next(iter(pool.lanes.values()))


def test_the_shader_makes_what_the_processor_makes(accelerator: Accelerator) -> None:
    samples, lane = read_audio(recording(BECKETT), EXACT.rate), lane_of(accelerator)
    expected = EXACT(samples)["input_features"]
    for shape in ((64, 1), (256, 1), (8, 8)):
        made, milliseconds = accelerator._portal.call(hear(lane, EXACT, samples, shape))
        np.testing.assert_allclose(made["input_features"], expected, rtol=0, atol=1e-4)
        assert milliseconds > 0


@pytest.mark.browser("embedded")
@pytest.mark.parametrize("shape", SHAPES, ids=name)
def test_every_workgroup_and_cut_gives_the_same(embedded: Accelerator, shape: Workgroup) -> None:
    samples, lane = read_audio(recording(BECKETT), BRIEF.rate), lane_of(embedded)
    made, _ = embedded._portal.call(hear(lane, BRIEF, samples, shape))
    np.testing.assert_allclose(made["input_features"], BRIEF(samples)["input_features"], rtol=0, atol=1e-4)


@pytest.mark.browser("embedded")
def test_a_workgroup_that_the_adapter_cannot_have_is_refused_and_harms_nothing(embedded: Accelerator) -> None:
    samples, lane = np.zeros(100, np.float32), lane_of(embedded)
    with pytest.raises(WebinferError):
        embedded._portal.call(hear(lane, BRIEF, samples, (1024, 1024)))
    made, _ = embedded._portal.call(hear(lane, BRIEF, samples))
    np.testing.assert_allclose(made["input_features"], BRIEF(samples)["input_features"], rtol=0, atol=1e-4)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    configs = whisper_configs("tiny")
    configs["config.json"] |= {"d_model": 48, "max_source_positions": 100, "vocab_size": 60, "decoder_layers": 1}
    configs["preprocessor_config.json"] |= {"chunk_length": 2}
    whisper(configs["config.json"])[ENCODER].save(tmp_path / "model.onnx", random_weights(3))
    for file, contents in configs.items():
        (tmp_path / file).write_text(json.dumps(contents), encoding="utf-8")
    return tmp_path


@pytest.mark.browser("embedded")
def test_a_model_hears_through_the_shader_where_that_is_wanted(encoder: Path, embedded: Accelerator) -> None:
    recordings = [recording(BECKETT), {"array": np.ones(9), "sampling_rate": 16_000}]
    with embedded.load(encoder, platform="wasm") as plain:
        expected = plain.run(recordings)
    assert not expected.to_dict()["compute_shader_optimized"]
    with Accelerator(browser="embedded", audio_shaders=True, db_path=":memory:") as accelerator:
        with accelerator.load(encoder, platform="webgpu") as model:
            first = model.run(recordings)
            assert first.audio_shader == name(DEFAULT)
            assert first.to_dict()["compute_shader_optimized"]
            ready = model.run(read_features(encoder))
            assert ready.audio_shader is None
        with accelerator.load(encoder, platform="webgpu") as model:
            (again,) = model.run_batch([recordings])
        with accelerator.load(encoder, platform="wasm") as model:
            assert model.run(recordings).audio_shader is None
        rows = accelerator.query("SELECT compute_shader_optimized AS own FROM webnn_webgpu_results ORDER BY timestamp")
    assert [row["own"] for row in rows] == [True, False, True, False]
    for result in (first, again):
        np.testing.assert_allclose(result["last_hidden_state"], expected["last_hidden_state"], atol=2e-3)


def read_features(encoder: Path) -> dict[str, NDArray[np.float32]]:
    config = json.loads((encoder / "preprocessor_config.json").read_text(encoding="utf-8"))
    return {"input_features": feature_extractor(config)(np.ones(9, np.float32))["input_features"]}
