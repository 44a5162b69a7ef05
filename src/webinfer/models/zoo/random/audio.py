"""Models of speech without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.models.zoo.architectures.audio.configurations import wav2vec2_configs, whisper_configs
from webinfer.models.zoo.architectures.audio.wav2vec2 import wav2vec2
from webinfer.models.zoo.architectures.audio.whisper import sinusoids, whisper
from webinfer.models.zoo.formats.weights import Weights, random_weights
from webinfer.models.zoo.random.entry import Architecture, Graphs, one_file


def _whisper_weights(seed: int) -> Weights:
    """Return random weights, except the positions of the encoder, which Whisper does not learn."""
    others = random_weights(seed)

    def weight(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        return sinusoids(*shape) if name == "model.encoder.embed_positions.weight" else others(name, shape)

    return weight


def _wav2vec2_weights(seed: int) -> Weights:
    """Return random weights, larger ones for the convolutions, since small ones would let no sound through.

    Their deviation is that of He et al. (arXiv:1502.01852, equation 10), as in transformers.
    """
    others = random_weights(seed)

    def weight(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        values = others(name, shape)
        if "feature_extractor" not in name or len(shape) < 3:
            return values
        return np.asarray(values * (np.sqrt(2 / np.prod(shape[1:])) / values.std()), np.float32)

    return weight


def _architecture(configs: Mapping[str, Any], graphs: Graphs, weights: Callable[[int], Weights]) -> Architecture:
    companions = {name: contents for name, contents in configs.items() if name != "config.json"}
    return Architecture(configs["config.json"], graphs, companions, weights)


MODELS = {
    "wav2vec2-base": _architecture(wav2vec2_configs(), one_file(wav2vec2), _wav2vec2_weights),
    "whisper-tiny": _architecture(whisper_configs("tiny"), whisper, _whisper_weights),
}
