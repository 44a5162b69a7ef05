"""Requests that show wrong kernels: the values and sizes of real requests, and those at which kernels go wrong.

Each canary has forms to try, the most telling one first. The first one counts that the model runs natively.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy.samples.maker import SampleMaker, lengths
from webinfer.core.tensors import TensorSpec
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.vocabulary import Vocabulary

Array = NDArray[Any]
Arrays = dict[str, Array]
Values = Literal["noise", "steps", "wide", "plain"]

_ODD = 3  # rows, and what a length is short of a multiple of 16: neither is a bucket
_COUNTS = 8  # values up to which a whole-number input may be sizes, axes or counts, where extremes make no sense
_DECADES = (-6, 3)  # of magnitudes
_ZERO, _ZEROS = 3, 10  # of wide values, the first that is zero, and how often one is


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a canary.

    Attributes:
        values: What inputs hold. ``noise`` is of scale 1. ``steps`` are multiples of a half, many of them equal or
            zero; masks have padding. ``wide`` are magnitudes of nine decades, and the extremes of whole numbers.
            ``plain`` is ones and, of whole numbers, zeros: along whatever axis, all are equal.
        rows: Items.
        length: Size of what has no fixed size; see ``SampleMaker.make``.
        careful: Whether whole numbers are zeros, which suit every use of them.
    """

    values: Values
    rows: int
    length: int
    careful: bool = False


def forms(package: ModelPackage) -> tuple[tuple[Form, ...], ...]:
    """Return the canaries of a model, each with its forms in the order to be tried.

    The second one has several rows, and sizes that are no bucket. The others have the sizes of the smallest bucket.

    Args:
        package: The model.
    """
    sizes = tuple(lengths(package))
    noise = [Form("noise", 1, size, careful) for careful in (False, True) for size in sizes]
    odd = [(rows, size - _ODD) for size in sizes for rows in (_ODD, 1)] + [(1, size) for size in sizes]
    steps = [Form("steps", *size, careful) for size in odd for careful in (False, True)]
    wide = [Form("wide", 1, size, careful) for careful in (False, True) for size in sizes]
    plain = tuple(Form("plain", 1, size) for size in sizes)
    return (*noise, *plain), tuple(steps), tuple(wide), plain


class CanaryMaker:
    """Makes the inputs of canaries.

    Args:
        package: The model.
    """

    def __init__(self, package: ModelPackage) -> None:
        self._samples = SampleMaker(package)
        self._specs = package.signature.inputs
        self._vocabulary = Vocabulary.of(package)

    def make(self, form: Form) -> Arrays:
        """Make the inputs of one canary.

        Args:
            form: Its form.

        Returns:
            Arrays by input name, in the signature's order.

        Raises:
            InputError: The model wants something that cannot be made up.
        """
        arrays = self._samples.make(form.length, 0, form.rows)
        random = np.random.default_rng(_SEEDS[form.values])
        return {spec.name: self._values(spec, arrays[spec.name], form, random) for spec in self._specs}

    def _values(self, spec: TensorSpec, array: Array, form: Form, random: np.random.Generator) -> Array:
        """Return an input with the values of a form, where its meaning leaves them open."""
        if "mask" in spec.name:
            return _padded(array) if form.values == "steps" else array
        if spec.name in self._vocabulary.inputs and form.values != "noise":
            return self._tokens(array, random)
        if "position" in spec.name or (array.any() and array.dtype.kind in "iu"):
            return array  # positions, and token ids of a model that does not state how many it knows
        if array.dtype.kind == "f":
            return _FLOATS[form.values](array.shape, random).astype(array.dtype)
        if array.dtype.kind == "b":
            return _flags(array, form)
        return array if form.careful or form.values == "plain" else _whole(spec, array, form, random)

    def _tokens(self, array: Array, random: np.random.Generator) -> Array:
        """Return token ids with the first and the last one that the model knows among them."""
        extremes = np.array([0, self._vocabulary.size - 1], array.dtype)
        return np.where(random.random(array.shape) < 0.2, random.choice(extremes, array.shape), array)


def shaken(arrays: Arrays, sign: int) -> Arrays:
    """Return inputs moved by a little more than another order of summing would move them.

    Equal values stay equal: what follows from a tie of inputs stays, and what follows from a near tie does not.

    Args:
        arrays: Inputs by name.
        sign: 1 or -1, for one way or the other.
    """
    return {name: _shake(array, sign) if array.dtype.kind == "f" else array for name, array in arrays.items()}


def _shake(array: Array, sign: int) -> Array:
    step = max(1e-4, 4 * float(np.finfo(array.dtype).eps))
    with np.errstate(over="ignore"):
        moved: Array = (array * (1 + sign * step * np.cos(1e3 * array.astype(np.float64)))).astype(array.dtype)
    return moved


def _padded(mask: Array) -> Array:
    """Return a mask whose rows end in padding, each in more of it than the one before, up to half."""
    if mask.ndim < 2:
        return mask
    padded = mask.copy()
    for row in range(len(padded)):
        count = padded.shape[-1] * (row + 1) // (2 * len(padded))
        padded[row, ..., padded.shape[-1] - count :] = 0
    return padded


def _noise(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    return random.standard_normal(shape)


def _steps(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    return np.round(2 * random.standard_normal(shape)) / 2


def _wide(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Return magnitudes that are spread evenly over their decades, of both signs, and zeros: even where few fit."""
    size = int(np.prod(shape))
    values = 10 ** np.linspace(*_DECADES[::-1], size) * np.where(np.arange(size) % 2, -1.0, 1.0)
    values[_ZERO::_ZEROS] = 0.0
    spread: Array = random.permutation(values).reshape(shape)
    return spread


def _ones(shape: tuple[int, ...], random: np.random.Generator) -> Array:  # noqa: ARG001  # as the others
    return np.ones(shape)


def _flags(array: Array, form: Form) -> Array:
    """Return truth values that take turns in ``steps``, and are false in ``wide``."""
    if form.careful or form.values in ("noise", "plain"):
        return array
    turns: Array = np.arange(array.size).reshape(array.shape) % 3 == 0
    return turns if form.values == "steps" else np.zeros_like(array)


def _whole(spec: TensorSpec, array: Array, form: Form, random: np.random.Generator) -> Array:
    """Return small whole numbers, or also the largest and smallest that there are."""
    info = np.iinfo(array.dtype)
    if form.values == "wide" and not _may_be_counts(spec, array):
        extremes = np.array([info.min, info.min + 1, 0, 1, info.max // 2, info.max - 1, info.max], array.dtype)
        chosen: Array = random.choice(extremes, array.shape)
        return chosen
    least, most = max(info.min, -2 if form.values == "steps" else 0), 3
    if "type" in spec.name:
        least, most = 0, 2  # two kinds of tokens are the most usual
    return random.integers(least, most, array.shape).astype(array.dtype)


def _may_be_counts(spec: TensorSpec, array: Array) -> bool:
    return array.ndim < 2 and array.size <= _COUNTS and all(isinstance(size, int) for size in spec.shape)


_SEEDS: dict[Values, int] = {"noise": 0, "steps": 1, "wide": 2, "plain": 3}
_FLOATS: dict[Values, Callable[[tuple[int, ...], np.random.Generator], Array]] = {
    "noise": _noise,
    "steps": _steps,
    "wide": _wide,
    "plain": _ones,
}
