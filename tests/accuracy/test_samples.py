"""What a benchmark gives a model that hears."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from webinfer.accuracy.samples import sample, sound
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.architectures.audio.configurations import whisper_configs
from webinfer.models.zoo.architectures.audio.whisper import ENCODER, whisper
from webinfer.models.zoo.formats.weights import random_weights


def test_a_recording_is_made_up_for_a_model_that_hears_and_for_no_other(tmp_path: Path) -> None:
    configs = whisper_configs("tiny")
    configs["config.json"] |= {"d_model": 48, "max_source_positions": 100, "vocab_size": 60, "decoder_layers": 1}
    configs["preprocessor_config.json"] |= {"chunk_length": 2}
    whisper(configs["config.json"])[ENCODER].save(tmp_path / "model.onnx", random_weights(3))
    for file, contents in configs.items():
        (tmp_path / file).write_text(json.dumps(contents), encoding="utf-8")
    heard = sound(resolve(tmp_path))
    assert heard is not None
    given, features = heard
    assert given["sampling_rate"] == 16_000
    assert given["array"].shape == (32_000,)
    assert features["input_features"].shape == sample(resolve(tmp_path), 8)["input_features"].shape == (1, 80, 200)
    assert np.isfinite(features["input_features"]).all()
    assert sound(resolve("random:bert-tiny")) is None
    (tmp_path / "preprocessor_config.json").unlink()
    assert sound(resolve(tmp_path)) is None
