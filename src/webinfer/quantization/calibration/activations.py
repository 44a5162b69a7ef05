"""What weights are multiplied with while a model runs natively, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, helper

from webinfer.core.errors import NotQuantizable
from webinfer.quantization.calibration.inputs import Inputs
from webinfer.quantization.weights.rounding import Array, Floats

_MEMORY = 1_500_000_000  # bytes of matrices that are gathered in one pass over the inputs
_GRAPH = "observed.onnx"


def session(path: Path | bytes, name: str = "The model") -> Any:
    """Return a native session of a file, on one thread: the machine is others' too.

    Args:
        path: The file, or its bytes.
        name: The model's name, for errors.

    Raises:
        NotQuantizable: The runtime refuses the model, so nothing about it can be measured.
    """
    import onnxruntime  # late: it takes a while to import

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    source = path if isinstance(path, bytes) else str(path)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no public base
        raise NotQuantizable(
            f"{name} cannot be run natively, so what quantizing loses could not be told: {error}", reason="runtime"
        ) from error


def answers(path: Path, inputs: Iterable[Inputs], name: str = "The model") -> list[dict[str, Array]]:
    """Return a model's outputs for each of its inputs.

    Args:
        path: The file.
        inputs: Inputs by name, of each run.
        name: The model's name, for errors.

    Returns:
        Outputs by name, of each run.

    Raises:
        NotQuantizable: The runtime refuses the model.
    """
    loaded = session(path, name)
    names = [output.name for output in loaded.get_outputs()]
    return [dict(zip(names, loaded.run(names, one), strict=True)) for one in inputs]


def hessians(
    model: ModelProto, directory: Path, widths: Mapping[str, int], inputs: list[Inputs], tell: Callable[[float], None]
) -> Iterator[tuple[str, Floats]]:
    """Yield, by value's name, the sum of the outer products of its rows: what errors in weights are weighed with.

    Args:
        model: The model, or its outline.
        directory: Where the files that it refers to lie, and where it may be written.
        widths: Length of a row of each value; values with an axis of channels after the first are turned.
        inputs: Inputs to run it with.
        tell: Called with the part that is done.
    """
    groups = list(_groups(widths))
    for number, group in enumerate(groups):
        before = number / len(groups)

        def go_on(part: float, before: float = before) -> None:
            tell(before + part / len(groups))

        yield from _gathered(model, directory, group, inputs, go_on).items()


def _gathered(
    model: ModelProto, directory: Path, widths: Mapping[str, int], inputs: list[Inputs], tell: Callable[[float], None]
) -> dict[str, Floats]:
    watched = ModelProto()
    watched.CopyFrom(model)
    results = {value.name for value in watched.graph.output}
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in widths if name not in results)
    path = directory / _GRAPH
    path.write_bytes(watched.SerializeToString())
    loaded = session(path)
    path.unlink()
    sums = {name: np.zeros((width, width), np.float32) for name, width in widths.items()}
    names = list(widths)
    for index, one in enumerate(inputs):
        for name, array in zip(names, loaded.run(names, one), strict=True):
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
