"""Whether a model answers the same to requests that run together as to each of them alone, tried out in the browser.

Most models do. Those that take a maximum or a mean over the whole batch do not, such as dynamically quantized ones,
whose activations share one scale; nor do those that an operator of some backend gets wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import InputError, WebinferError
from webinfer.core.tensors import DTYPES, Signature, TensorSpec, prepare
from webinfer.inference.result import Result
from webinfer.models.files.package import ModelPackage
from webinfer.pool.plan.batching import Batching
from webinfer.pool.plan.buckets import batch_dimension

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], Awaitable[Arrays]]

TOLERANCE = 1e-3
"""Largest difference, as a part of an output's largest value: above what another order of summing makes in float32
(1e-6 to 1e-5), below what another scale of 8 bits does (4e-3 or more)."""
HALF_TOLERANCE = 1e-2
"""The same for float16, which has 11 bits."""
SIZES = (16, 224)
"""Sizes tried for symbolic dimensions: a short text, the usual image."""


async def batching_obstacle(
    package: ModelPackage, batching: Batching, capacity_mb: float | None, run: Callable[[Arrays], Awaitable[Result]]
) -> str | None:
    """Return why requests of a model must not run together; ``None`` where they may.

    Args:
        package: The model.
        batching: How they would.
        capacity_mb: Megabytes of model files that a lane may hold.
        run: Runs one request, by itself.
    """
    if batch_dimension(package.signature) is None:
        return "its inputs and outputs do not all have one row per item"
    nbytes = sum(file.nbytes for file in (package.model, *package.external))
    if batching.sizes == "full" and capacity_mb is not None and 2 * nbytes > capacity_mb * 1e6:
        return "lane_capacity_mb has no room for it twice, and WebNN needs a session for batches"

    async def outputs(tensors: Arrays) -> Arrays:
        return (await run(tensors)).outputs

    return await disagreement(package.signature, batching.rows(2), outputs, "16" in package.precision)


async def disagreement(signature: Signature, rows: int, run: Run, half: bool) -> str | None:
    """Run two different requests, each alone and both in one batch, and compare.

    Args:
        signature: The model's; each input and output has one row per item.
        rows: Rows of the batch, in which the two take turns.
        run: Runs one request.
        half: Whether it computes in float16.

    Returns:
        What is different, or why it could not be tried; ``None`` where the answers agree.
    """
    why = ""
    for size in SIZES:
        try:
            pair = [examples(signature, size, seed) for seed in (0, 1)]
            alone = [await run(each) for each in pair]
            joined = {name: np.concatenate([pair[row % 2][name] for row in range(rows)]) for name in pair[0]}
            together = await run(joined)
        except (WebinferError, InputError) as error:
            why = why or f"it could not be tried: {error}"
            continue
        return _difference(alone, together, rows, HALF_TOLERANCE if half else TOLERANCE)
    return why


def examples(signature: Signature, size: int, seed: int) -> dict[str, NDArray[Any]]:
    """Make a request of one row up: small token ids, random floats, of a scale that grows with ``seed``.

    Raises:
        InputError: The model wants something that cannot be made up.
    """
    random = np.random.default_rng(seed)
    made = {spec.name: _example(spec, size, seed, random) for spec in signature.required}
    return prepare(signature, made)


def _example(spec: TensorSpec, size: int, seed: int, random: np.random.Generator) -> NDArray[Any]:
    dtype = DTYPES[spec.dtype]
    shape = (1, *(each if isinstance(each, int) else size for each in spec.shape[1:]))
    if dtype.kind == "f":
        return ((1 + 3 * seed) * random.standard_normal(shape)).astype(dtype)
    if dtype.kind == "b" or "mask" in spec.name:
        return np.ones(shape, dtype)
    return random.integers(1, 100, shape).astype(dtype) if spec.name == "input_ids" else np.zeros(shape, dtype)


def _difference(alone: list[Arrays], together: Arrays, rows: int, tolerance: float) -> str | None:
    for name, whole in together.items():
        if whole.shape[:1] != (rows,):
            return f"output {name!r} has not one row per item: its shape is {whole.shape}"
        for row in range(rows):
            if why := apart(alone[row % 2][name][0], whole[row], tolerance):
                return f"output {name!r} {why} from what it is alone"
    return None


def apart(own: NDArray[Any], other: NDArray[Any], tolerance: float) -> str | None:
    """Say how an output differs; ``None`` where it does not.

    Args:
        own: What it should be.
        other: What it is.
        tolerance: Largest difference of floats, as a part of the largest value; whole numbers must be equal.
    """
    if own.shape != other.shape:
        return f"has another shape, {other.shape} and not {own.shape},"
    if not own.size:
        return None
    far = float(np.max(np.abs(own.astype(np.float64) - other)))
    most = tolerance * float(np.max(np.abs(own))) if own.dtype.kind == "f" else 0.0
    return None if far <= most else f"differs by {far:.2g}, more than {most:.2g},"  # NaN is different, too
