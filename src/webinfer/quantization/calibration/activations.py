"""What weights are multiplied with while a model runs natively, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import LoadFailed, NotQuantizable
from webinfer.models.files.package import ModelPackage
from webinfer.quantization.calibration.inputs import Inputs
from webinfer.quantization.weights.reader import Weights
from webinfer.quantization.weights.rounding import Array, Floats

_MEMORY = 1_500_000_000  # bytes of matrices that are gathered in one pass over the inputs


def native_session(
    package: ModelPackage, weights: Weights | None = None, extra_outputs: Sequence[str] = ()
) -> NativeSession:
    """Return a native session on one thread, since the machine has other work, too.

    Args:
        package: The model.
        weights: Its graph, as it was changed; ``None`` for the model's own.
        extra_outputs: Values inside of that graph that are outputs besides.

    Raises:
        NotQuantizable: The runtime refuses the model, so nothing about it can be measured.
    """
    graph, files = (weights.model, weights.files) if weights is not None else (None, None)
    try:
        return NativeSession(package, threads=1, graph=graph, files=files, extra_outputs=extra_outputs)
    except LoadFailed as error:
        raise NotQuantizable(
            f"{package.name} cannot be run natively, so what quantizing loses cannot be measured: {error}",
            reason="runtime",
        ) from error


def answers(package: ModelPackage, inputs: Iterable[Inputs], path: Path) -> list[dict[str, Array]]:
    """Return what an ONNX file of a model answers to each of its inputs.

    Args:
        package: The model.
        inputs: What to run it with.
        path: The file, which has the same inputs.

    Raises:
        NotQuantizable: The runtime refuses the model.
        RunFailed: The runtime fails on an input.
    """
    session = native_session(replace(package, model=replace(package.model, path=path)))
    return [session.run(arrays) for arrays in inputs]


def hessians(
    package: ModelPackage,
    weights: Weights,
    widths: Mapping[str, int],
    inputs: list[Inputs],
    tell: Callable[[float], None],
) -> Iterator[tuple[str, Floats]]:
    """Yield, by value's name, the sum of the outer products of its rows: what errors in weights are weighed with.

    Args:
        package: The model.
        weights: Its weights.
        widths: Length of a row of each value; values with an axis of channels after the first are turned.
        inputs: Inputs to run it with.
        tell: Called with the part that is done.

    Yields:
        The name and the sum, float64 of shape (columns, columns).
    """
    groups = list(_groups(widths))
    for number, group in enumerate(groups):
        before = number / len(groups)

        def go_on(part: float, before: float = before) -> None:
            tell(before + part / len(groups))

        yield from _gathered(package, weights, group, inputs, go_on).items()


def _gathered(
    package: ModelPackage,
    weights: Weights,
    widths: Mapping[str, int],
    inputs: list[Inputs],
    tell: Callable[[float], None],
) -> dict[str, Floats]:
    session = native_session(package, weights, list(widths))
    sums = {name: np.zeros((width, width), np.float32) for name, width in widths.items()}
    for index, one in enumerate(inputs):
        for name, array in session.run(one, list(widths)).items():
            rows = _rows(array.astype(np.float32), widths[name])
            sums[name] += rows.T @ rows
        tell((index + 1) / len(inputs))
    return sums


def _rows(array: Array, width: int) -> Array:
    """Return what is multiplied with a weight, row by row: the last axis, or the channels of a picture."""
    if array.ndim == 4 and array.shape[1] == width and array.shape[-1] != width:
        array = np.moveaxis(array, 1, -1)
    return array.reshape(-1, width)


def _groups(widths: Mapping[str, int]) -> Iterator[dict[str, int]]:
    group: dict[str, int] = {}
    taken = 0
    for name, width in widths.items():
        if group and taken + 4 * width**2 > _MEMORY:
            yield group
            group, taken = {}, 0
        group[name] = width
        taken += 4 * width**2
    if group:
        yield group
