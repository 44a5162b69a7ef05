"""Features equal an independent reference: a plain discrete Fourier transform and filters drawn edge by edge."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from webinfer.core.errors import InvalidModel
from webinfer.models.preprocessing.audio_features import LogMel, Waveform, feature_extractor

Array = NDArray[Any]
WHISPER = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "chunk_length": 30,
    "feature_size": 80,
    "hop_length": 160,
    "n_fft": 400,
    "sampling_rate": 16_000,
}
WAV2VEC2 = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16_000, "do_normalize": True}


def noise(seconds: float, rate: int = 16_000) -> Array:
    generator = np.random.default_rng(5)
    swell = np.abs(np.sin(np.arange(int(seconds * rate)) / rate * 3)) ** 4
    return np.asarray(generator.standard_normal(int(seconds * rate)) * swell * 0.3, np.float32)


def hertz_of(mel: float) -> float:
    """Invert Slaney's mel scale by bisection over its forward definition, which is written out here."""

    def mel_of(hertz: float) -> float:
        return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000, 6.4)

    low, high = 0.0, 100_000.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if mel_of(middle) < mel else (low, middle)
    return low


def reference(samples: Array, seconds: int, mels: int, window: int, hop: int, rate: int) -> Array:
    """Compute the log-mel spectrogram frame by frame with a DFT matrix, each filter by interpolating a triangle."""
    sound = np.concatenate([samples, np.zeros(seconds * rate)])[: seconds * rate].astype(np.float64)
    count, half = len(sound), window // 2
    bins = np.arange(half + 1)
    matrix = np.exp(-2j * np.pi * np.outer(bins, np.arange(window)) / window)
    hann = np.sin(np.pi * np.arange(window) / window) ** 2
    top = 15 + 27 * math.log(rate / 2 / 1000, 6.4)
    corners = [hertz_of(top * number / (mels + 1)) for number in range(mels + 2)]
    columns = []
    for start in range(0, count, hop):
        at = np.abs(np.arange(start - half, start + half))  # before the beginning it is mirrored, and after the end
        at = np.where(at >= count, 2 * (count - 1) - at, at)
        power = np.abs(matrix @ (sound[at] * hann)) ** 2
        column = []
        for left, peak, right in zip(corners, corners[1:], corners[2:], strict=False):
            triangle = np.interp(bins * rate / window, [left, peak, right], [0, 1, 0])
            column.append(float(triangle @ power) * 2 / (right - left))
        columns.append([math.log10(max(value, 1e-10)) for value in column])
    spectrogram = np.array(columns).T
    return np.asarray(np.maximum(spectrogram, spectrogram.max() - 8) + 4) / 4


@pytest.mark.parametrize("seconds", [0.01, 0.7, 2.0, 3.5])
def test_log_mel_equals_a_plain_transform(seconds: float) -> None:
    settings = WHISPER | {"chunk_length": 2}
    made = feature_extractor(settings)(noise(seconds))
    assert list(made) == ["input_features"]
    assert made["input_features"].dtype == np.float32
    np.testing.assert_allclose(made["input_features"][0], reference(noise(seconds), 2, 80, 400, 160, 16_000), atol=1e-4)


def test_log_mel_follows_its_configuration() -> None:
    settings = {"chunk_length": 1, "feature_size": 128, "n_fft": 256, "hop_length": 100, "sampling_rate": 8_000}
    extractor = feature_extractor(WHISPER | settings)
    assert extractor == LogMel(rate=8_000, mels=128, window=256, hop=100, seconds=1)
    expected = reference(noise(0.6, 8_000), 1, 128, 256, 100, 8_000)
    np.testing.assert_allclose(extractor(noise(0.6, 8_000))["input_features"][0], expected, atol=1e-4)


def test_whisper_hears_thirty_seconds_of_silence_without_a_warning() -> None:
    features = feature_extractor(WHISPER)(np.zeros(1, np.float32))["input_features"]
    assert features.shape == (1, 80, 3000)
    np.testing.assert_allclose(features, -1.5, atol=1e-6)  # (log10(1e-10) + 4) / 4


def test_waveform_has_mean_zero_and_variance_one() -> None:
    samples = np.asarray(noise(1.3) * 3 + 0.2, np.float32)
    made = feature_extractor(WAV2VEC2)(samples)
    assert list(made) == ["input_values"]
    values = [float(value) for value in samples]
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values) + 1e-7)
    assert made["input_values"].dtype == np.float32
    np.testing.assert_allclose(made["input_values"], [[(value - mean) / deviation for value in values]], atol=1e-4)


def test_waveform_may_be_left_as_it_is_and_masked() -> None:
    made = feature_extractor(WAV2VEC2 | {"do_normalize": False, "return_attention_mask": True})(noise(0.1))
    np.testing.assert_array_equal(made["input_values"], noise(0.1)[None])
    np.testing.assert_array_equal(made["attention_mask"], np.ones((1, 1600), np.int64), strict=True)


def test_silence_stays_silence() -> None:
    assert not Waveform()(np.zeros(100, np.float32))["input_values"].any()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "has no preprocessor_config.json"),
        ({"feature_extractor_type": "ASTFeatureExtractor"}, "'ASTFeatureExtractor'. Known are"),
        (WHISPER | {"hop_length": 0}, "0 is not above 0"),
        (WHISPER | {"n_fft": 401}, "n_fft 401"),
        (WHISPER | {"sampling_rate": "fast"}, "cannot be"),
        (WAV2VEC2 | {"sampling_rate": None}, "cannot be"),
    ],
)
def test_preprocessing_that_cannot_be_ends_in_a_typed_error(config: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidModel, match=f"ears .*{said}"):
        feature_extractor(config, "ears")
