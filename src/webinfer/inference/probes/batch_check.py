"""Whether a model answers the same to requests that run together as to each of them alone, tried in the browser.

Most models do. Those that take a maximum or a mean over the whole batch do not, such as dynamically quantized ones,
whose activations share one scale. Nor do those that an operator of some backend gets wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy.comparison import Limits, compare, fault, limits_for
from webinfer.accuracy.samples.maker import SampleMaker, lengths
from webinfer.core.errors import WebinferError
from webinfer.inference.result import Result
from webinfer.models.files.package import ModelPackage
from webinfer.pool.plan.batching import Batching
from webinfer.pool.plan.buckets import batch_dimension

Arrays = Mapping[str, NDArray[Any]]

_SEEDS = (0, 3)  # requests of scales 1 and 4: where they share one scale of 8 bits, the smaller one shows it


async def batching_obstacle(
    package: ModelPackage, batching: Batching, capacity_mb: float | None, run: Callable[[Arrays], Awaitable[Result]]
) -> str | None:
    """Return why requests of a model must not run together; ``None`` where they may.

    Args:
        package: The model.
        batching: How they would run.
        capacity_mb: Megabytes of model files that a lane may hold; ``None`` for any number.
        run: Runs one request, by itself.
    """
    if batch_dimension(package.signature) is None:
        return "its inputs and outputs do not all have one row per item"
    nbytes = sum(file.nbytes for file in (package.model, *package.external))
    if batching.sizes == "full" and capacity_mb is not None and 2 * nbytes > capacity_mb * 1e6:
        return "lane_capacity_mb has no room for it twice, and WebNN needs a session for batches"
    return await _disagreement(package, batching.rows(2), run)


async def _disagreement(package: ModelPackage, rows: int, run: Callable[[Arrays], Awaitable[Result]]) -> str | None:
    """Run two different requests, each alone and both in one batch, and compare.

    Args:
        package: The model. Each of its inputs and outputs has one row per item.
        rows: Rows of the batch, in which the two take turns.
        run: Runs one request.

    Returns:
        What is different, or why it could not be tried; ``None`` where the answers agree.
    """
    maker, failure = SampleMaker(package), ""
    for length in lengths(package):
        try:
            pair = [maker.make(length, seed) for seed in _SEEDS]
            alone = [(await run(inputs)).outputs for inputs in pair]
            joined = {name: np.concatenate([pair[row % 2][name] for row in range(rows)]) for name in pair[0]}
            together = (await run(joined)).outputs
        except WebinferError as error:
            failure = failure or f"it could not be tried: {error}"
            continue
        return _difference(alone, together, rows, limits_for(package.precision, use="batch"))
    return failure


def _difference(alone: Sequence[Arrays], together: Arrays, rows: int, limits: Limits) -> str | None:
    for name, output in together.items():
        if output.shape[:1] != (rows,):
            return f"output {name!r} has not one row per item: its shape is {output.shape}"
    for row in range(rows):
        own = {name: output[row : row + 1] for name, output in together.items()}
        for name, output in own.items():
            if output.dtype.kind == "f" and not np.isfinite(output).all():
                return f"output {name!r} holds NaN or infinity, which cannot show that rows agree"
        if wrong := fault(compare(own, alone[row % 2]), limits):
            return f"it answers differently in a batch: {wrong}"
    return None
