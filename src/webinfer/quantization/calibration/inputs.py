"""Inputs to try a model with: what it would be given, as far as its signature and its companions tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from webinfer.core.errors import WebinferError
from webinfer.core.tensors import DTYPES, SOUND, TensorSpec, prepare
from webinfer.models.files.package import ModelPackage, describe
from webinfer.models.files.positions import longest
from webinfer.models.preprocessing.reader import Reader
from webinfer.quantization.calibration.corpus import TEXTS
from webinfer.quantization.weights.rounding import Array

Inputs = dict[str, Array]

_TOKENS = 96  # in a text, at most: a model's weights see as many different inputs as there are tokens
_SIZE = 8  # of a dimension that says nothing
_SECONDS, _HERTZ = 6, 16000
_ENCODERS = ("encoder_model.onnx",)  # what is beside a decoder and makes what that one listens to


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs of a model.

    Attributes:
        calibrating: Those that methods learn from.
        held_out: Those that losses are measured with.
        kind: What they are, in words.
    """

    calibrating: list[Inputs]
    held_out: list[Inputs]
    kind: str


def samples(package: ModelPackage, count: int, given: list[Mapping[str, Any]] | None = None) -> Samples:
    """Make inputs for a model.

    Texts where it has a tokenizer, pictures and sounds that are computed where it has what prepares them, else random
    numbers of each input's dtype.

    Args:
        package: The model.
        count: How many to learn from; half as many are held out.
        given: Inputs of the caller's own, in place of these; the last third is held out.
    """
    if given:
        own = [prepare(package.signature, one) for one in given]
        held = max(1, len(own) // 3)
        return Samples(own[:-held] or own, own[-held:], "inputs that were given")
    maker, kind = _Maker(package), "random numbers"
    every = [maker.inputs(index) for index in range(count + max(2, count // 2))]
    if maker.kinds:
        kind = " and ".join(sorted(maker.kinds))
    return Samples(every[:count], every[count:], kind)


class _Maker:
    """Makes one input after another, each from its number alone."""

    def __init__(self, package: ModelPackage) -> None:
        self._package = package
        self._reader = Reader(package)
        self._encoder = _encoder(package)
        self.kinds: set[str] = set()

    def inputs(self, index: int) -> Inputs:
        given: dict[str, Any] = {}
        random = np.random.default_rng(index)
        names = {spec.name for spec in self._package.signature.inputs}
        sizes: dict[str, int] = {}
        if "input_ids" in names:
            given["input_ids"] = self._ids(index, random)
        given |= self._prepared(names, random)
        if self._encoder is not None:
            given |= {name: array for name, array in self._encoder(index).items() if name in names}
        for name, array in given.items():
            spec = next(spec for spec in self._package.signature.inputs if spec.name == name)
            sizes |= {str(dim): size for dim, size in zip(spec.shape, np.shape(array), strict=False)}
        sizes["total"] = sizes.get("sequence", _SIZE)
        for spec in self._package.signature.inputs:
            if spec.name not in given:
                given[spec.name] = _filling(spec, sizes, random)
        return prepare(self._package.signature, given)

    def _ids(self, index: int, random: np.random.Generator) -> Array:
        spec = next(spec for spec in self._package.signature.inputs if spec.name == "input_ids")
        fixed = spec.shape[1] if len(spec.shape) == 2 and isinstance(spec.shape[1], int) else None
        stated = longest(self._package.config) or self._package.config.get("max_target_positions")  # of what listens
        length = fixed or min(_TOKENS, int(stated or _TOKENS))
        try:
            encoded = self._reader.tokenizer.encode(_passage(index))["input_ids"]
            self.kinds.add("texts")
        except WebinferError:
            known = int(self._package.config.get("vocab_size") or 0) or self._rows()
            encoded = random.integers(0, known, (1, length), dtype=np.int64)
            self.kinds.add("random tokens")
        ids = np.asarray(encoded).astype(DTYPES[spec.dtype])[:, :length]
        if fixed and ids.shape[1] < fixed:
            ids = np.concatenate([ids] * (fixed // ids.shape[1] + 1), axis=1)[:, :fixed]
        return ids

    def _prepared(self, names: set[str], random: np.random.Generator) -> dict[str, Any]:
        """Return pictures and sounds as the model's own companions prepare them."""
        try:
            if "pixel_values" in names:
                tensors = self._reader.prepare_files({"pixel_values": _picture(random)})
                self.kinds.add("computed pictures")
            elif names & set(SOUND):
                name = next(name for name in SOUND if name in names)
                tensors = self._reader.prepare_files({name: {"array": sound(random), "sampling_rate": _HERTZ}})
                self.kinds.add("computed sounds")
            else:
                return {}
        except WebinferError:
            return {}
        return {name: value for name, value in tensors.items() if isinstance(value, np.ndarray)}

    def _rows(self) -> int:
        """Return a number of tokens that every table of the graph has."""
        from webinfer.quantization.weights.reader import Weights
        from webinfer.quantization.weights.targets import targets

        found, _ = targets(Weights(self._package.model.path).model)
        rows = [target.dims[0] for target in found if any(use.role == "table" for use in target.uses)]
        return max(rows, default=_SIZE)


def _encoder(package: ModelPackage) -> Any:
    """Return what makes a decoder's other inputs: its encoder, run on inputs of its own."""
    directory = package.model.path.parent
    path = next((directory / name for name in _ENCODERS if (directory / name).is_file()), None)
    if path is None or path == package.model.path:
        return None
    from webinfer.accuracy.native import NativeSession

    encoder = describe(path, package.reference)
    session, maker = NativeSession(encoder, threads=1), _Maker(encoder)

    def run(index: int) -> Inputs:
        outputs = session.run(maker.inputs(index))
        renamed = {name.replace("present.", "past_key_values."): array for name, array in outputs.items()}
        return {**renamed, "encoder_hidden_states": next(iter(outputs.values()))}

    return run


def _filling(spec: TensorSpec, sizes: Mapping[str, int], random: np.random.Generator) -> Array:
    """Return an input that nothing is known about: ones for masks, nothing for a cache, else random numbers."""
    dtype = DTYPES[spec.dtype]
    shape = tuple(_dim(spec, dim, sizes) for dim in spec.shape) if spec.ranked else (1,)
    if "mask" in spec.name:
        return np.ones(shape, dtype)
    if spec.name == "position_ids":
        return np.broadcast_to(np.arange(shape[-1], dtype=dtype), shape).copy()
    if dtype.kind == "f":
        return random.standard_normal(shape).astype(dtype)
    return np.zeros(shape, dtype)


def _dim(spec: TensorSpec, dim: int | str | None, sizes: Mapping[str, int]) -> int:
    if isinstance(dim, int):
        return dim
    if dim is not None and dim in sizes:
        return sizes[dim]
    if dim is not None and "batch" in dim:
        return 1
    if "past" in spec.name or (dim is not None and "past" in dim):
        return 0
    return 1 if dim is None and spec.shape and spec.shape[0] is None else _SIZE


def _passage(index: int) -> str:
    """Return one of the texts, each another one, and some that follow each other."""
    count = 1 + index % 4
    return " ".join(TEXTS[(index * 3 + step) % len(TEXTS)] for step in range(count))


def _picture(random: np.random.Generator, side: int = 256) -> Image.Image:
    """Return a picture whose parts are correlated as a photo's are: noise with a spectrum of 1/f, and some shapes."""
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]
    falloff = 1 / np.maximum(np.hypot(rows, columns), 1 / side)
    mixing = random.standard_normal((3, 3)) * 0.4 + 1.0
    noise = np.fft.ifft2(np.fft.fft2(random.standard_normal((3, side, side))) * falloff).real
    noise = np.tensordot(mixing, noise / noise.std(), 1)
    for _ in range(6):
        top, left = random.integers(0, side * 3 // 4, 2)
        height, width = random.integers(8, side // 2, 2)
        noise[:, top : top + height, left : left + width] += random.standard_normal((3, 1, 1)) * 2
    pixels = np.clip(noise / (noise.std() * 4) + random.uniform(0.3, 0.7), 0, 1) * 255
    return Image.fromarray(pixels.transpose(1, 2, 0).astype(np.uint8))


def sound(random: np.random.Generator) -> Array:
    """Return a sound with what speech has: gliding tones with harmonics, noise, pauses.

    Args:
        random: Where chance comes from.

    Returns:
        float32 array of shape (samples,), at 16 kHz.
    """
    time = np.arange(_SECONDS * _HERTZ) / _HERTZ
    samples = random.standard_normal(len(time)) * 0.003
    for start, length in _syllables(random):
        at = (time >= start) & (time < start + length)
        local = time[at] - start
        pitch = (
            2 * np.pi * np.cumsum(np.linspace(random.uniform(90, 260), random.uniform(90, 260), int(at.sum()))) / _HERTZ
        )
        voice = sum(
            np.sin(pitch * k) * np.exp(-(((k * 170 - random.uniform(300, 2500)) / 900) ** 2)) for k in range(1, 18)
        )
        hiss = random.standard_normal(at.sum()) * random.choice([0.0, 0.0, 0.2])
        samples[at] += (voice * 0.15 + hiss) * np.sin(np.pi * local / length)
    loud: Array = (samples / np.abs(samples).max() * 0.6).astype(np.float32)
    return loud


def _syllables(random: np.random.Generator) -> Iterator[tuple[float, float]]:
    at = 0.2
    while at < _SECONDS - 0.5:
        length = random.uniform(0.08, 0.3)
        yield at, length
        at += length + random.choice([0.02, 0.05, 0.3])


def companions(package: ModelPackage) -> list[Path]:
    """Return the files that describe a model, beside it or above ``onnx/``.

    Args:
        package: The model.
    """
    from webinfer.models.files.variants import COMPANIONS

    place = package.model.path.parent
    places = [place, place.parent] if place.name == "onnx" else [place]
    return [
        found
        for name in COMPANIONS
        for found in [next((p / name for p in places if (p / name).is_file()), None)]
        if found
    ]
