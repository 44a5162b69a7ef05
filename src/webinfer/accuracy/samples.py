"""Requests made up for a model, by its signature."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import InvalidModel
from webinfer.core.tensors import DTYPES, TensorSpec, prepare
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.audio_features import LogMel, feature_extractor

_SAMPLES = 16000  # of sound: a second
_SIDE = 224  # of images
_VOCABULARY = 1000  # where the model does not tell its own


def sample(package: ModelPackage, sequence: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Make one request up: ordinary token ids, noise for images and sound.

    A decoder with a cache gets one step: one token, after ``sequence - 1`` others.

    Args:
        package: The model.
        sequence: Length of texts.
        seed: Chooses the values.

    Raises:
        InputError: The model wants something that cannot be made up.
    """
    chance = np.random.default_rng(seed)
    steps = any("past" in spec.name for spec in package.signature.inputs)
    made = {spec.name: _array(spec, package, sequence, steps, chance) for spec in package.signature.inputs}
    return prepare(package.signature, made)


def sound(package: ModelPackage, seed: int = 0) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
    """Make a recording up: noise, and what a model hears of it; ``None`` for a model that hears no log-mel features.

    Args:
        package: The model.
        seed: Chooses the values.
    """
    if [spec.name for spec in package.signature.inputs] != ["input_features"]:
        return None
    try:
        features = feature_extractor(package.settings("preprocessor_config.json"), package.name)
    except InvalidModel:
        return None
    if not isinstance(features, LogMel):
        return None
    samples = (np.random.default_rng(seed).standard_normal(features.length) / 10).astype(np.float32)
    return {"array": samples, "sampling_rate": features.rate}, features(samples)


def _array(
    spec: TensorSpec, package: ModelPackage, sequence: int, steps: bool, chance: np.random.Generator
) -> NDArray[Any]:
    dtype = DTYPES[spec.dtype]
    shape = tuple(
        each if isinstance(each, int) else _size(str(each or ""), at, spec, sequence, steps)
        for at, each in enumerate(spec.shape)
    )
    if dtype.kind == "f":
        return chance.standard_normal(shape).astype(dtype)
    if dtype.kind == "b" or "mask" in spec.name:
        return np.ones(shape, dtype)
    if "position" in spec.name:
        return np.broadcast_to(np.arange(shape[-1]) + (sequence - 1 if steps else 0), shape).astype(dtype)
    if spec.name.endswith("input_ids"):
        known = int(package.config.get("vocab_size") or _VOCABULARY)
        return chance.integers(min(100, known // 2), known, shape).astype(dtype)
    return np.zeros(shape, dtype)


def _size(name: str, axis: int, spec: TensorSpec, sequence: int, steps: bool) -> int:
    if axis == 0 or "batch" in name:
        return 1
    if "total" in name or "+" in name or (steps and "mask" in spec.name):
        return sequence
    if "past" in name or "past" in spec.name:
        return sequence - 1
    if spec.name == "input_values" or "sample" in name:
        return _SAMPLES
    if spec.name == "pixel_values":
        return _SIDE
    return 1 if steps else sequence
