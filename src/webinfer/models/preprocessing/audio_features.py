"""Samples to what audio models take, as the ``preprocessor_config.json`` beside a model says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import InvalidModel

Features = NDArray[np.float32]

_QUIETEST = 1e-10  # power below which the logarithm is clamped, in Whisper's preprocessing
_RANGE = 8.0  # decades below the loudest that are kept, there too
_VARIANCE = 1e-7  # added to the variance by transformers' Wav2Vec2FeatureExtractor

# Slaney's mel scale (Auditory Toolbox, Interval Research report 1998-010): 200/3 hertz per mel up to 1000 hertz, then
# 27 mels for each factor of 6.4.
_LINEAR = 200 / 3
_BREAK = 1000.0
_STEP = np.log(6.4) / 27


@dataclass(frozen=True, slots=True)
class LogMel:
    """Whisper's log-mel spectrogram (Radford et al., arXiv:2212.04356, section 2.2).

    Attributes:
        rate: Samples per second.
        mels: Bands.
        window: Samples of a window, Hann's.
        hop: Samples from one window to the next.
        seconds: Length of the input. Shorter recordings are filled up with silence, longer ones are cut.
    """

    rate: int = 16_000
    mels: int = 80
    window: int = 400
    hop: int = 160
    seconds: int = 30

    @property
    def length(self) -> int:
        """Samples of the input."""
        return self.rate * self.seconds

    def __call__(self, samples: NDArray[np.float32]) -> dict[str, Features]:
        """Return ``input_features``, float32 of shape (1, mels, samples / hop).

        Args:
            samples: float32 of shape (samples,) at ``rate``.
        """
        filled = np.zeros(self.length, np.float64)
        filled[: len(samples)] = samples[: self.length]
        mirrored = np.pad(filled, self.window // 2, mode="reflect")
        # A centred transform has length / hop + 1 frames. Whisper leaves the last one out.
        frames = np.lib.stride_tricks.sliding_window_view(mirrored, self.window)[:: self.hop][: self.length // self.hop]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        spectrum = np.fft.rfft(frames * hann, axis=-1)
        power = spectrum.real**2 + spectrum.imag**2
        logarithm = np.log10(np.maximum(mel_filters(self.rate, self.window, self.mels) @ power.T, _QUIETEST))
        clipped = np.maximum(logarithm, logarithm.max() - _RANGE)
        return {"input_features": ((clipped + 4) / 4).astype(np.float32)[None]}


@dataclass(frozen=True, slots=True)
class Waveform:
    """The samples themselves, as wav2vec 2.0 takes them (Baevski et al., arXiv:2006.11477, section 4.2).

    Attributes:
        rate: Samples per second.
        normalized: Bring them to mean 0 and variance 1.
        masked: Give an attention mask as well.
    """

    rate: int = 16_000
    normalized: bool = True
    masked: bool = False

    def __call__(self, samples: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return ``input_values``, float32 of shape (1, samples), and where wanted ``attention_mask``, int64.

        Args:
            samples: float32 of shape (samples,) at ``rate``.
        """
        values = samples
        if self.normalized:
            exact = samples.astype(np.float64)
            values = ((exact - exact.mean()) / np.sqrt(exact.var() + _VARIANCE)).astype(np.float32)
        features: dict[str, NDArray[Any]] = {"input_values": values[None]}
        if self.masked:
            features["attention_mask"] = np.ones((1, len(samples)), np.int64)
        return features


def feature_extractor(config: Mapping[str, Any], name: str = "The model") -> LogMel | Waveform:
    """Return the preprocessing that a model wants.

    Args:
        config: Its preprocessor_config.json.
        name: The model's name, for errors.

    Raises:
        InvalidModel: The configuration is missing, or names preprocessing that is not known here.
    """
    kind = config.get("feature_extractor_type", config.get("processor_class"))
    try:
        if kind in ("WhisperFeatureExtractor", "WhisperProcessor"):
            return _log_mel(config)
        if kind in ("Wav2Vec2FeatureExtractor", "Wav2Vec2Processor"):
            rate, normalized = int(config.get("sampling_rate", 16_000)), bool(config.get("do_normalize", True))
            return Waveform(_positive(rate), normalized, bool(config.get("return_attention_mask", False)))
    except (TypeError, ValueError) as error:
        raise InvalidModel(f"{name} has a preprocessor_config.json that cannot be: {error}.") from error
    if not config:
        raise InvalidModel(f"{name} has no preprocessor_config.json: put the file beside the model.")
    raise InvalidModel(
        f"{name} wants the preprocessing {kind!r}. Known are WhisperFeatureExtractor and Wav2Vec2FeatureExtractor; "
        "for others make the inputs yourself."
    )


@lru_cache(maxsize=4)
def mel_filters(rate: int, window: int, mels: int) -> NDArray[np.float64]:
    """Return triangular filters, evenly spaced on Slaney's mel scale from 0 to half the rate, each of the same area.

    Args:
        rate: Samples per second.
        window: Samples of a window.
        mels: Bands.

    Returns:
        float64 of shape (mels, window / 2 + 1), read-only.
    """
    top = _mel(rate / 2)
    edges = _hertz(np.linspace(0, top, mels + 2))
    frequencies = np.arange(window // 2 + 1) * (rate / window)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    filters.setflags(write=False)  # it is shared
    return filters


def _mel(hertz: float) -> float:
    return float(hertz / _LINEAR if hertz < _BREAK else _BREAK / _LINEAR + np.log(hertz / _BREAK) / _STEP)


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    at = _BREAK / _LINEAR
    return np.where(mels < at, mels * _LINEAR, _BREAK * np.exp((np.maximum(mels, at) - at) * _STEP))


def _log_mel(config: Mapping[str, Any]) -> LogMel:
    """Return the spectrogram that a configuration describes.

    Raises:
        ValueError: A setting is not above 0, or the settings contradict each other.
    """
    named = {"rate": "sampling_rate", "mels": "feature_size", "window": "n_fft", "hop": "hop_length"}
    named["seconds"] = "chunk_length"
    extractor = LogMel(**{own: _positive(int(config[theirs])) for own, theirs in named.items() if theirs in config})
    if extractor.window % 2 or extractor.length < extractor.window or extractor.length % extractor.hop:
        raise ValueError(
            f"n_fft {extractor.window} and hop_length {extractor.hop} do not fit chunk_length {extractor.seconds}"
        )
    return extractor


def _positive(number: int) -> int:
    if number <= 0:
        raise ValueError(f"{number} is not above 0")
    return number
