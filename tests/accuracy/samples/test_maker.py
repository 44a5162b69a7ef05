"""Requests that are made up for models of every family."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.modelfiles import Write, value
from webinfer.accuracy.comparison import digest
from webinfer.accuracy.native import run_native
from webinfer.accuracy.samples.maker import Purpose, SampleMaker, sample, sound
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


def decoder(write: Write, **options: str) -> Path:
    """A graph with the inputs of a decoder with a cache, as exporters name them."""
    ids, mask = options.get("ids", "sequence_length"), options.get("mask", "past_sequence_length + sequence_length")
    inputs = [
        value("input_ids", TensorProto.INT64, ("batch_size", ids)),
        value("attention_mask", TensorProto.INT64, ("batch_size", mask)),
        value("position_ids", TensorProto.INT64, ("batch_size", ids)),
        value("past_key_values.0.key", shape=("batch_size", 2, "past_sequence_length", 4)),
        value("use_cache_branch", TensorProto.BOOL, (1,)),
    ]
    outputs = [value("y", TensorProto.INT64, ("batch_size", ids))]
    path = write(nodes=[helper.make_node("Identity", ["input_ids"], ["y"])], inputs=inputs, outputs=outputs)
    path.with_name("config.json").write_text('{"vocab_size": 7}', encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["random:bert-tiny", "random:gpt2-tiny"])
def test_a_request_is_made_up_that_the_model_answers(name: str) -> None:
    package = resolve(name)
    inputs = sample(package, 12)
    outputs = run_native(package, inputs)
    assert inputs["attention_mask"].shape == (1, 12)
    assert all(np.isfinite(array).all() for array in outputs.values())
    assert digest(sample(package, 12)) == digest(inputs)
    assert digest(sample(package, 12, seed=1)) != digest(inputs)
    if name == "random:gpt2-tiny":
        assert inputs["input_ids"].shape == (1, 1)
        assert inputs["position_ids"].tolist() == [[11]]


@pytest.mark.parametrize("mask", ["past_sequence_length + sequence_length", "total_sequence_length", "some"])
def test_canaries_of_a_decoder_fit_together(write: Write, mask: str) -> None:
    maker = SampleMaker(resolve(decoder(write, mask=mask)))
    first, second = maker.make(seed=0), maker.make(seed=1)
    assert first["input_ids"].max() < 7
    assert first["attention_mask"].shape == (1, 19)
    assert first["position_ids"].tolist() == [list(range(3, 19))]
    assert first["past_key_values.0.key"].shape == (1, 2, 3, 4)
    assert first["use_cache_branch"].tolist() == [True]
    assert not np.array_equal(first["input_ids"], second["input_ids"])


def test_decoder_is_benchmarked_by_one_step_and_calibrated_without_a_cache(write: Write) -> None:
    package = resolve(decoder(write))
    shapes = {name: array.shape for name, array in sample(package, 12).items()}
    assert (shapes["input_ids"], shapes["attention_mask"]) == ((1, 1), (1, 12))
    assert shapes["past_key_values.0.key"] == (1, 2, 11, 4)
    shapes = {name: array.shape for name, array in sample(package, purpose="calibration").items()}
    assert shapes["input_ids"] == shapes["attention_mask"]
    assert shapes["past_key_values.0.key"] == (1, 2, 0, 4)


@pytest.mark.parametrize(
    ("name", "shape", "purpose", "expected"),
    [
        ("pixel_values", ("batch", "channels", "height", "width"), "check", (2, 224, 224, 224)),
        ("x", ("n", 3, "h", "w"), "check", (2, 3, 224, 224)),
        ("x", ("n", 3, 8, "w"), "check", (2, 3, 8, 16)),
        ("past.0", ("n", 3, "a", "b"), "check", (2, 3, 3, 3)),
        ("input_values", ("batch", "length"), "check", (2, 4_000)),
        ("input_values", ("batch", "length"), "benchmark", (2, 16_000)),
        ("x", ("n", "samples"), "check", (2, 4_000)),
        ("x", (None, None), "benchmark", (2, 128)),
    ],
)
def test_open_sizes_are_those_of_the_family(
    write: Write, name: str, shape: tuple[str, ...], purpose: Purpose, expected: tuple[int, ...]
) -> None:
    node = helper.make_node("Neg", [name], ["y"])
    package = resolve(write(nodes=[node], inputs=[value(name, shape=shape)], outputs=[value("y", shape=shape)]))
    assert sample(package, purpose=purpose, rows=2)[name].shape == expected


def test_scale_grows_with_the_seed_of_a_check_alone(write: Write) -> None:
    package = resolve(write(inputs=[value("x", shape=("n", "m"))], outputs=[value("y", shape=("n", "m"))]))
    maker, timed = SampleMaker(package), SampleMaker(package, "benchmark")
    assert maker.make(4_000, seed=3)["x"].std() == pytest.approx(4, rel=0.1)
    assert timed.make(4_000, seed=3)["x"].std() == pytest.approx(1, rel=0.1)
