"""Shape buckets: the fixed sizes that requests are padded to, so that a browser compiles few shapes.

Padding happens only where it is exact. Along the batch it is, if every input and output has one row per item. Along the
sequence it is, if an attention mask hides what was added and every output can be trimmed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.options import Backend
from webinfer.core.tensors import SOUND, Signature, TensorSpec

_SMALLEST_SEQUENCE = 16
MASK = "attention_mask"


@dataclass(frozen=True, slots=True)
class Fit:
    """How a request is brought to its bucket.

    Attributes:
        sizes: Symbolic dimensions and their sizes in the request.
        padded: The same after padding.
    """

    sizes: tuple[tuple[str, int], ...]
    padded: tuple[tuple[str, int], ...]

    @property
    def exact(self) -> bool:
        """Whether nothing needs padding."""
        return self.sizes == self.padded


EXACT = Fit((), ())
"""Every shape as it comes."""


def fit(signature: Signature, tensors: Mapping[str, NDArray[Any]], backend: Backend, longest: int | None = None) -> Fit:
    """Choose a request's bucket.

    WebAssembly takes every shape as it comes, so nothing is padded there.

    Args:
        signature: The model's.
        tensors: The request's inputs.
        backend: Where it will run.
        longest: The longest sequence that the model takes, where that is known: nothing is padded beyond it.

    Returns:
        The bucket, or ``EXACT`` where nothing is padded.
    """
    if backend == "wasm":
        return EXACT
    sizes: dict[str, int] = {}
    for spec in signature.inputs:
        if spec.name in tensors:
            sizes.update(
                (name, size)
                for name, size in zip(spec.shape, tensors[spec.name].shape, strict=False)
                if isinstance(name, str)
            )
    padded = dict(sizes)
    for name in _paddable(signature):
        if name == batch_dimension(signature):
            padded[name] = _bucket(sizes[name], 1)
        else:
            # Not beyond the longest sequence. A request that is longer itself stays as it is, for the model to refuse.
            bucket = _bucket(sizes[name], _SMALLEST_SEQUENCE)
            padded[name] = max(sizes[name], min(bucket, longest)) if longest else bucket
    return Fit(tuple(sizes.items()), tuple(padded.items()))


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
    """
    sizes: dict[int | str | None, int] = {}
    for spec in signature.inputs:
        if spec.name in SOUND and isinstance(spec.shape[-1], str):
            return EXACT
        if len(spec.shape) == 4 and isinstance(spec.shape[-1], str):
            if image is None:
                return EXACT
            sizes.update(zip(spec.shape[1:], image, strict=True))
    # Only shapes count here: one byte for each value is enough.
    example = {
        spec.name: np.zeros([size if isinstance(size, int) else sizes.get(size, 1) for size in spec.shape], np.uint8)
        for spec in signature.inputs
    }
    return fit(signature, example, backend, longest)


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


def trim(signature: Signature, tensors: Mapping[str, NDArray[Any]], bucket: Fit) -> dict[str, NDArray[Any]]:
    """Cut outputs back to the request's own sizes.

    Args:
        signature: The model's inputs and outputs.
        tensors: Outputs by name.
        bucket: The shape that they were brought to.

    Returns:
        The outputs by name, without the rows and positions that padding added.
    """
    specs = {spec.name: spec for spec in signature.outputs}
    sizes = dict(bucket.sizes)
    return {name: array[_own(specs[name], sizes)] if name in specs else array for name, array in tensors.items()}


def _own(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[slice, ...]:
    return tuple(slice(sizes.get(name)) if isinstance(name, str) else slice(None) for name in spec.shape)


def _bucket(size: int, smallest: int) -> int:
    """Return the next power of two, which wastes less than half of the work."""
    return max(smallest, 1 << (size - 1).bit_length())


def batch_dimension(signature: Signature) -> str | None:
    """Return the batch dimension's name: the first one of every input and output, and of no other axis.

    Args:
        signature: The model's inputs and outputs.
    """
    specs = (*signature.inputs, *signature.outputs)
    first = {spec.shape[0] if spec.shape else None for spec in specs}
    name = next(iter(first)) if len(first) == 1 else None
    return name if isinstance(name, str) and not any(name in spec.shape[1:] for spec in specs) else None


def _paddable(signature: Signature) -> list[str]:
    """Return the dimensions that can be padded exactly."""
    batch = batch_dimension(signature)
    names = [batch] if batch else []
    known = {name for spec in signature.inputs for name in spec.shape if isinstance(name, str)}
    # An output dimension that no input has may follow from a padded one, and could not be trimmed.
    bound = all(isinstance(name, int) or name in known for spec in signature.outputs for name in spec.shape)
    shapes = {spec.name: spec.shape for spec in signature.inputs}
    mask, ids = shapes.get(MASK), shapes.get("input_ids")
    if batch and bound and mask is not None and mask == ids and len(mask) == 2 and isinstance(mask[1], str):
        names.append(mask[1])
    return names
