"""``run`` takes recordings where a model hears, and answers as it does for prepared tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recordings import BECKETT, recording
from webinfer import Accelerator
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import InvalidAudio, InvalidModel, ShapeMismatch
from webinfer.models.preprocessing.audio import read_audio
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.architectures.audio.configurations import wav2vec2_configs, whisper_configs
from webinfer.models.zoo.architectures.audio.wav2vec2 import wav2vec2
from webinfer.models.zoo.architectures.audio.whisper import ENCODER, whisper
from webinfer.models.zoo.formats.weights import random_weights

RATE = 16_000
SMALL = {
    "conv_dim": [8] * 7,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_attention_heads": 3,
    "num_conv_pos_embedding_groups": 4,
    "num_conv_pos_embeddings": 8,
    "num_hidden_layers": 1,
}


@pytest.fixture
def spells(tmp_path: Path) -> Path:
    configs = wav2vec2_configs()
    configs["config.json"] |= SMALL
    wav2vec2(configs["config.json"]).save(tmp_path / "model.onnx", random_weights(3))
    for name, contents in configs.items():
        (tmp_path / name).write_text(json.dumps(contents), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("platform", ["wasm", "webnn"])
def test_recordings_are_prepared_whatever_their_form(embedded: Accelerator, spells: Path, platform: Any) -> None:
    path = recording(BECKETT)
    samples = read_audio(path, RATE)
    normalized = ((samples - samples.mean()) / samples.std())[None]
    expected = NativeSession(resolve(spells)).run({"input_values": normalized})["logits"]
    loud = {"array": (samples * 32767).astype(np.int16), "sampling_rate": RATE}
    with embedded.load(spells, platform=platform) as model:
        assert model.backend == platform
        for form in (path, str(path), path.read_bytes(), [path], loud, {"input_values": path}, normalized):
            np.testing.assert_allclose(model.run(form)["logits"], expected, atol=2e-3)
        both = model.run([path, loud])["logits"]
        np.testing.assert_allclose(both, np.concatenate([expected] * 2), atol=2e-3)
        for result in model.run_batch([path, normalized]):
            np.testing.assert_allclose(result["logits"], expected, atol=2e-3)
        with pytest.raises(ShapeMismatch, match="2 lengths"):
            model.run([path, {"array": samples[:1000], "sampling_rate": RATE}])
        with pytest.raises(InvalidAudio, match="no audio that can be read"):
            model.run(spells / "config.json")
        assert model.run({"array": samples[:1000], "sampling_rate": RATE})["logits"].shape == (1, 2, 32)


def test_models_without_a_feature_extractor_say_so(embedded: Accelerator, spells: Path) -> None:
    (spells / "preprocessor_config.json").unlink()
    with embedded.load(spells, platform="wasm") as model:
        with pytest.raises(InvalidModel, match=r"has no preprocessor_config\.json"):
            model.run(recording(BECKETT))
        assert model.run(np.zeros((1, 400), np.float32))["logits"].shape == (1, 1, 32)


def test_an_encoder_hears_a_recording(embedded: Accelerator, tmp_path: Path) -> None:
    configs = whisper_configs("tiny")
    configs["config.json"] |= {"d_model": 48, "max_source_positions": 100, "vocab_size": 60, "decoder_layers": 1}
    configs["preprocessor_config.json"] |= {"chunk_length": 2}
    whisper(configs["config.json"])[ENCODER].save(tmp_path / "model.onnx", random_weights(3))
    for name, contents in configs.items():
        (tmp_path / name).write_text(json.dumps(contents), encoding="utf-8")
    with embedded.load(tmp_path) as model:
        heard = model.run([recording(BECKETT), {"array": np.zeros(9), "sampling_rate": RATE}])
    assert heard["last_hidden_state"].shape == (2, 100, 48)
    assert np.abs(heard["last_hidden_state"][0] - heard["last_hidden_state"][1]).max() > 0.1
