"""Requests that are made up for a model, by its signature: the only maker of them in this package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy.native import NativeSession
from webinfer.accuracy.samples.content import Content
from webinfer.core.errors import InvalidModel
from webinfer.core.tensors import DTYPES, SOUND, TensorSpec, prepare
from webinfer.models.files.package import ModelPackage, describe
from webinfer.models.preprocessing.audio_features import LogMel, feature_extractor
from webinfer.models.preprocessing.vocabulary import Vocabulary

Arrays = dict[str, NDArray[Any]]

Purpose = Literal["check", "benchmark", "calibration"]
"""What a request is for.

- ``check`` compares computations: noise whose scale is ``1 + seed``; a decoder has a cache of three tokens.
- ``benchmark`` takes times: noise; a decoder gets one token after ``length - 1`` others.
- ``calibration`` learns from activations: texts, pictures and sounds; a decoder has an empty cache.
"""

LENGTHS = (16, 224)
"""Sizes of what has no fixed size and no known meaning: the smallest bucket of a text, then the usual image."""

_PAST = 3  # tokens in the cache of a decoder that is checked
_SIDE = 224  # pixels of an image, each way
_SAMPLES = {"check": 4_000, "benchmark": 16_000, "calibration": 16_000}  # of sound at 16 kHz: 4,000 feed convolutions
_LENGTH = {"check": 16, "benchmark": 128, "calibration": 8}  # where none is asked for
_VOCABULARY = 100  # token ids that any model has, where it does not state how many
_IDS = ("input_ids", "decoder_input_ids")
_COLOURS = (1, 3)  # channels of an image
_ENCODER = "encoder_model.onnx"  # what is beside a decoder and makes what that one attends to


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Sizes of what a signature leaves open."""

    rows: int
    length: int
    past: int
    samples: int
    known: dict[str, int]

    def shape(self, spec: TensorSpec) -> tuple[int, ...]:
        if not spec.ranked:
            return (self.rows,)
        return tuple(size if isinstance(size, int) else self._size(spec, axis) for axis, size in enumerate(spec.shape))

    def _size(self, spec: TensorSpec, axis: int) -> int:
        name = str(spec.shape[axis] or "").lower()
        if name in self.known:
            return self.known[name]
        if axis == 0 or "batch" in name:
            return self.rows
        if _is_image(spec):
            return _SIDE
        if spec.name == SOUND[0] or "sample" in name:
            return self.samples
        # Sums first: `past_sequence_length + sequence_length` holds the word `past` too.
        if "encoder" in name or "total" in name or "+" in name or (self.past and "mask" in spec.name):
            return self.past + self.length
        if "past" in name or "past" in spec.name:
            return self.past
        return self.length


class SampleMaker:
    """Makes requests for a model, each from its seed alone.

    Args:
        package: The model.
        purpose: What the requests are for.
    """

    def __init__(self, package: ModelPackage, purpose: Purpose = "check") -> None:
        self._package = package
        self._purpose = purpose
        self._vocabulary = Vocabulary.of(package).size or _VOCABULARY
        self._cached = any("past" in f"{spec.name} {spec.shape}".lower() for spec in package.signature.inputs)
        self._content = Content(package, _encoder(package)) if purpose == "calibration" else None

    @property
    def kind(self) -> str:
        """What the requests hold, in words."""
        kinds = self._content.kinds if self._content is not None else ()
        return " and ".join(sorted(kinds)) or "random numbers"

    def make(self, length: int | None = None, seed: int = 0, rows: int = 1) -> Arrays:
        """Make one request.

        Args:
            length: Tokens of a text, and size of each dimension that is neither fixed nor known; ``None`` takes the
                purpose's own.
            seed: Chooses the values.
            rows: Items. ``calibration`` makes one.

        Returns:
            Arrays that fit the signature, by input name, in its order.

        Raises:
            InputError: The model wants something that cannot be made up.
        """
        random = np.random.default_rng(seed)
        arrays = self._content.make(seed) if self._content is not None else {}
        sizes = self._sizes(length or _LENGTH[self._purpose], rows, arrays)
        scale = 1 + seed if self._purpose == "check" else 1
        for spec in self._package.signature.inputs:
            if spec.name not in arrays:
                arrays[spec.name] = self._array(spec, sizes, random, scale)
        return prepare(self._package.signature, arrays)

    def _sizes(self, length: int, rows: int, arrays: Arrays) -> _Sizes:
        known: dict[str, int] = {}
        for spec in self._package.signature.inputs:
            if spec.name in arrays:
                known |= {str(size).lower(): n for size, n in zip(spec.shape, arrays[spec.name].shape, strict=False)}
        past = 0
        if "input_ids" in arrays:
            length = arrays["input_ids"].shape[-1]
        elif self._cached and self._purpose == "check":
            past = _PAST
        elif self._cached and self._purpose == "benchmark":
            past, length = length - 1, 1
        return _Sizes(rows, length, past, _SAMPLES[self._purpose], known)

    def _array(self, spec: TensorSpec, sizes: _Sizes, random: np.random.Generator, scale: int) -> NDArray[Any]:
        dtype, shape = DTYPES[spec.dtype], sizes.shape(spec)
        if dtype.kind == "f" and "mask" not in spec.name:
            return (scale * random.standard_normal(shape)).astype(dtype)
        if dtype.kind == "b" or "mask" in spec.name:
            return np.ones(shape, dtype)
        if spec.name in _IDS:
            return random.integers(1, self._vocabulary, shape).astype(dtype)
        if "position" in spec.name:
            return np.broadcast_to(np.arange(sizes.past, sizes.past + shape[-1], dtype=dtype), shape).copy()
        return np.zeros(shape, dtype)


def sample(
    package: ModelPackage, length: int | None = None, seed: int = 0, *, purpose: Purpose = "benchmark", rows: int = 1
) -> Arrays:
    """Make one request up.

    Args:
        package: The model.
        length: Tokens of a text; ``None`` takes the purpose's own.
        seed: Chooses the values.
        purpose: What the request is for.
        rows: Items.

    Returns:
        Inputs by name, in the dtypes that the signature declares.

    Raises:
        InputError: The model wants something that cannot be made up.
    """
    return SampleMaker(package, purpose).make(length, seed, rows)


def lengths(package: ModelPackage) -> Iterator[int]:
    """Yield the lengths worth trying: those of ``LENGTHS``, or the first where the inputs leave nothing else open."""
    names = {spec.name for spec in package.signature.inputs}
    yield from LENGTHS[:1] if names & {*_IDS, *SOUND} else LENGTHS


def sound(package: ModelPackage, seed: int = 0) -> tuple[dict[str, Any], Arrays] | None:
    """Make a recording up: noise, and the features that the model takes of it.

    Args:
        package: The model.
        seed: Chooses the values.

    Returns:
        The recording, as ``Model.run`` takes it, and its features; ``None`` for a model that takes no log-mel features.
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


def _encoder(package: ModelPackage) -> Callable[[int], Arrays] | None:
    """Return what makes a decoder's other inputs: the encoder beside it, run on samples of its own."""
    path = package.model.path.parent / _ENCODER
    if not path.is_file() or path == package.model.path:
        return None
    encoder = describe(path, package.reference)
    session, maker = NativeSession(encoder, threads=1), SampleMaker(encoder, "calibration")

    def encode(seed: int) -> Arrays:
        outputs = session.run(maker.make(seed=seed))
        renamed = {name.replace("present.", "past_key_values."): array for name, array in outputs.items()}
        return {**renamed, "encoder_hidden_states": next(iter(outputs.values()))}

    return encode


def _is_image(spec: TensorSpec) -> bool:
    """Return whether the sizes of an input are an image's: named so, or four with colours second and two open ones."""
    if spec.name == "pixel_values":
        return True
    open_sides = len(spec.shape) == 4 and not any(isinstance(size, int) for size in spec.shape[2:])
    return open_sides and spec.shape[1] in _COLOURS and "past" not in spec.name
