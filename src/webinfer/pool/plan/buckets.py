"""Shape buckets: the few sizes that requests are padded to, so that a browser compiles few shapes.

The names of dimensions only suggest what may be padded: rows, where every input and output has one per item, and
tokens, where an attention mask hides what was added. Whether a model answers the same then is tried in the browser
(``inference/probes/padding.py``), and outputs are cut along the axes that changed there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from webinfer.core.options import Backend
from webinfer.core.tensors import SOUND, Signature

_SMALLEST_SEQUENCE = 16
MASK = "attention_mask"

Kind = Literal["rows", "tokens"]
"""What is padded: items, by repeating the last one, or positions, by zeros that the mask hides."""

KINDS: tuple[Kind, ...] = ("rows", "tokens")

Axes = Mapping[str, tuple[int, ...]]
"""The axes of each output, by its name, along which padding makes it longer."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a request is brought to its bucket.

    Attributes:
        sizes: Symbolic dimensions and their sizes in the request, those whose name stands for one size.
        padded: The same after padding.
        cuts: Axes of outputs to be cut back, by output: each axis with the dimension that it has the size of.
        is_bucket: Whether every size is one of a few, so that there are few such shapes.
        unproven: Kinds of padding that the request wants, and of which nobody knows whether they are exact.
        notes: Why a kind is not padded, in words.
    """

    sizes: tuple[tuple[str, int], ...]
    padded: tuple[tuple[str, int], ...]
    cuts: Mapping[str, tuple[tuple[int, str], ...]] = field(default_factory=dict, hash=False)
    is_bucket: bool = True
    unproven: tuple[Kind, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether nothing needs padding."""
        return self.sizes == self.padded


EXACT = Fit((), ())
"""Every shape as it comes."""


def fit(
    signature: Signature,
    tensors: Mapping[str, NDArray[Any]],
    kinds: Collection[Kind] = KINDS,
    longest: int | None = None,
) -> Fit:
    """Choose a request's bucket.

    A name that stands for several sizes, such as ``?``, says nothing of any, and is left out.

    Args:
        signature: The model's.
        tensors: The request's inputs.
        kinds: What may be padded.
        longest: The longest sequence that the model takes, where that is known: nothing is padded beyond it.

    Returns:
        The bucket, without cuts.
    """
    sizes = _sizes(signature, tensors)
    padded = dict(sizes)
    names = {kind: name for kind, name in paddable(signature).items() if kind in kinds and name in sizes}
    for kind, name in names.items():
        if kind == "rows":
            padded[name] = _bucket(sizes[name], 1)
        else:
            # Not beyond the longest sequence. A request that is longer itself stays as it is, for the model to refuse.
            bucket = _bucket(sizes[name], _SMALLEST_SEQUENCE)
            padded[name] = max(sizes[name], min(bucket, longest)) if longest else bucket
    return Fit(tuple(sizes.items()), tuple(padded.items()), is_bucket=set(sizes) <= set(names.values()))


def smallest(
    signature: Signature, backend: Backend, image: tuple[int, ...] | None = None, longest: int | None = None
) -> Fit:
    """Return the bucket of one short item: every symbolic dimension 1, and what can be padded, padded.

    A model for images of an unknown size, or for sound of any length, keeps its dimensions open. Of one pixel or
    sample, convolutions would leave nothing, which ends WebNN's runtime. No other size is sure to be one that it takes.

    Args:
        signature: The model's.
        backend: Where it will run.
        image: Shape of a prepared image, (channels, height, width), where that is always the same.
        longest: As ``fit`` takes it.

    Returns:
        The bucket, or ``EXACT`` where dimensions stay open.
    """
    known: dict[int | str | None, int] = {}
    for spec in signature.inputs:
        if spec.name in SOUND and isinstance(spec.shape[-1], str):
            return EXACT
        if len(spec.shape) == 4 and isinstance(spec.shape[-1], str):
            if image is None or len(set(spec.shape)) < len(spec.shape):
                return EXACT
            known.update(zip(spec.shape[1:], image, strict=True))
    # Only shapes count here: one byte for each value is enough.
    example = {
        spec.name: np.zeros([size if isinstance(size, int) else known.get(size, 1) for size in spec.shape], np.uint8)
        for spec in signature.inputs
    }
    return EXACT if backend == "wasm" else replace(fit(signature, example, longest=longest), is_bucket=True)


def with_rows(signature: Signature, bucket: Fit, rows: int) -> Fit:
    """Return the bucket that has another number of rows.

    Args:
        signature: The model's inputs and outputs.
        bucket: The shape that they were brought to.
        rows: Size of the batch.
    """
    batch = batch_dimension(signature)
    return replace(bucket, padded=tuple((name, rows if name == batch else size) for name, size in bucket.padded))


def pad(signature: Signature, tensors: Mapping[str, NDArray[Any]], bucket: Fit) -> dict[str, NDArray[Any]]:
    """Bring inputs to their bucket: rows repeat the last item, positions are zeros that the mask hides.

    Args:
        signature: The model's inputs and outputs.
        tensors: Inputs by name.
        bucket: The shape that they were brought to.

    Returns:
        The inputs by name, in the bucket's shape.
    """
    target = dict(bucket.padded)
    batch = batch_dimension(signature)
    padded = {}
    for spec in signature.inputs:
        array = tensors[spec.name]
        for axis, name in enumerate(spec.shape):
            missing = target.get(name, array.shape[axis]) - array.shape[axis] if isinstance(name, str) else 0
            if missing:
                widths = [(0, missing if at == axis else 0) for at in range(array.ndim)]
                array = np.pad(array, widths, mode="edge" if name == batch and axis == 0 else "constant")
        padded[spec.name] = array
    return padded


def cut_inputs(signature: Signature, tensors: Mapping[str, NDArray[Any]], bucket: Fit) -> dict[str, NDArray[Any]]:
    """Return padded inputs as they were before.

    Args:
        signature: The model's inputs and outputs.
        tensors: Inputs by name.
        bucket: The shape that they were brought to.
    """
    sizes = dict(bucket.sizes)
    own = {
        spec.name: tuple(slice(sizes.get(name) if isinstance(name, str) else None) for name in spec.shape)
        for spec in signature.inputs
    }
    return {name: np.ascontiguousarray(array[own[name]]) for name, array in tensors.items()}


def cuts(signature: Signature, axes: Mapping[Kind, Axes]) -> dict[str, tuple[tuple[int, str], ...]]:
    """Return along which axes outputs are cut, and the dimension that each of these has the size of.

    Args:
        signature: The model's inputs and outputs.
        axes: The axes that each kind of padding makes longer.
    """
    names = paddable(signature)
    joined: dict[str, tuple[tuple[int, str], ...]] = {}
    for kind, outputs in axes.items():
        for output, own in outputs.items():
            joined[output] = (*joined.get(output, ()), *((axis, names[kind]) for axis in own))
    return joined


def misfit(tensors: Mapping[str, NDArray[Any]], bucket: Fit) -> str | None:
    """Return which output has not the size that padding gives it, so that nobody knows what to cut; ``None`` for none.

    Args:
        tensors: Outputs by name.
        bucket: The shape that the inputs were brought to.
    """
    padded = dict(bucket.padded)
    for name, array in tensors.items():
        for axis, dimension in bucket.cuts.get(name, ()):
            if axis >= array.ndim or array.shape[axis] != padded[dimension]:
                return f"output {name!r} has the shape {array.shape}, which {dimension} = {padded[dimension]} is not in"
    return None


def trim(tensors: Mapping[str, NDArray[Any]], bucket: Fit) -> dict[str, NDArray[Any]]:
    """Cut outputs back to the request's own sizes, along the axes that padding made longer when it was tried.

    Args:
        tensors: Outputs by name.
        bucket: The shape that the inputs were brought to.

    Returns:
        The outputs by name, without the rows and positions that padding added.
    """
    sizes = dict(bucket.sizes)
    return {name: array[_own(array, bucket.cuts.get(name, ()), sizes)] for name, array in tensors.items()}


def _own(array: NDArray[Any], axes: Sequence[tuple[int, str]], sizes: Mapping[str, int]) -> tuple[slice, ...]:
    own = [slice(None)] * array.ndim
    for axis, name in axes:
        own[axis] = slice(sizes[name])
    return tuple(own)


def _sizes(signature: Signature, tensors: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Return the size of each symbolic dimension whose name stands for one size in a request."""
    sizes: dict[str, int] = {}
    unclear = set()
    for spec in signature.inputs:
        array = tensors.get(spec.name)
        if array is None:
            continue
        for name, size in zip(spec.shape, array.shape, strict=False):
            if isinstance(name, str) and sizes.setdefault(name, size) != size:
                unclear.add(name)
    return {name: size for name, size in sizes.items() if name not in unclear} if unclear else sizes


def _bucket(size: int, smallest: int) -> int:
    """Return the next power of two, which wastes less than half of the work."""
    return max(smallest, 1 << (size - 1).bit_length()) if size else 0


def batch_dimension(signature: Signature) -> str | None:
    """Return the batch dimension's name: the first one of every input and output, and of no other axis.

    Args:
        signature: The model's inputs and outputs.
    """
    specs = (*signature.inputs, *signature.outputs)
    first = {spec.shape[0] if spec.shape else None for spec in specs}
    name = next(iter(first)) if len(first) == 1 else None
    return name if isinstance(name, str) and not any(name in spec.shape[1:] for spec in specs) else None


def paddable(signature: Signature) -> dict[Kind, str]:
    """Return the dimensions that may be padded as far as names tell, by kind.

    Args:
        signature: The model's inputs and outputs.
    """
    batch = batch_dimension(signature)
    names: dict[Kind, str] = {"rows": batch} if batch else {}
    known = {name for spec in signature.inputs for name in spec.shape if isinstance(name, str)}
    # An output dimension that no input has may follow from a padded one, and could not be trimmed.
    bound = all(isinstance(name, int) or name in known for spec in signature.outputs for name in spec.shape)
    shapes = {spec.name: spec.shape for spec in signature.inputs}
    mask, ids = shapes.get(MASK), shapes.get("input_ids")
    if batch and bound and mask is not None and mask == ids and len(mask) == 2 and isinstance(mask[1], str):
        names["tokens"] = mask[1]
    return names


class FixedShapes:
    """Which shapes have a session of their own, where a session takes one shape alone.

    The first ones have, up to a limit. After that a new shape must come back a few times. Then it takes the place of
    the shape that was used longest ago. The reason is that a session takes long to make, and much memory.
    """

    LIMIT = 8
    RETURNS = 3
    _REMEMBERED = 64  # shapes without a session whose returns are counted

    def __init__(self) -> None:
        self._own: OrderedDict[tuple[tuple[str, int], ...], None] = OrderedDict()  # used longest ago first
        self._times: OrderedDict[tuple[tuple[str, int], ...], int] = OrderedDict()

    def __repr__(self) -> str:
        return f"<FixedShapes {len(self._own)} and {len(self._times)} without>"

    def __contains__(self, shape: object) -> bool:
        return shape in self._own

    def admit(self, shape: tuple[tuple[str, int], ...], *, at_once: bool = False) -> bool:
        """Return whether a shape that is used now has a session of its own from now on.

        Args:
            shape: Dimensions and their sizes.
            at_once: Whether it has to have one.
        """
        if shape in self._own:
            self._own.move_to_end(shape)
            return True
        times = self._times.pop(shape, 0) + 1
        if len(self._own) < self.LIMIT or times >= self.RETURNS or at_once:
            self._own[shape] = None
            return True
        self._times[shape] = times
        if len(self._times) > self._REMEMBERED:
            self._times.popitem(last=False)
        return False

    def surplus(self) -> list[tuple[tuple[str, int], ...]]:
        """Return the shapes that have to give way, those used longest ago first; ``drop`` each that can."""
        return list(self._own)[: max(0, len(self._own) - self.LIMIT)]

    def drop(self, shape: tuple[tuple[str, int], ...]) -> None:
        """Note that a shape has no session any more.

        Args:
            shape: Dimensions and their sizes.
        """
        self._own.pop(shape, None)
