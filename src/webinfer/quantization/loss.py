"""What a quantized model's answers differ by from the full one's, both run natively."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from webinfer.quantization.weights.rounding import Array

Answers = Sequence[Mapping[str, Array]]


def loss(full: Answers, quantized: Answers) -> dict[str, Any]:
    """Compare the outputs of two models for the same inputs.

    Args:
        full: Outputs of the full model by name, for each run.
        quantized: Outputs of the quantized one, for the same runs.

    Returns:
        ``cosine`` of all outputs of a run taken together as one vector, the least over the runs; ``max_error``, the
        largest difference; ``relative_error``, the length of the difference by that of the full model's answers;
        ``outputs``, the cosine of each output alone; ``agreement``, how often the largest entry of the first output's
        last axis is the same one; and ``finite``, whether there is neither NaN nor infinity.
    """
    cosines, differences, lengths, largest, same, places = [], 0.0, 0.0, 0.0, 0, 0
    outputs: dict[str, float] = {}
    finite = True
    for one, other in zip(full, quantized, strict=True):
        names = [name for name, array in one.items() if array.dtype.kind == "f" and array.size]
        expected = {name: one[name].astype(np.float64).ravel() for name in names}
        got = {name: other[name].astype(np.float64).ravel() for name in names}
        finite = finite and all(np.isfinite(array).all() for array in got.values())
        for name in names:
            outputs[name] = min(outputs.get(name, 1.0), cosine(expected[name], got[name]))
            largest = max(largest, float(np.abs(expected[name] - got[name]).max()))
        whole, whole_got = (np.concatenate([*vectors.values()] or [np.zeros(0)]) for vectors in (expected, got))
        cosines.append(cosine(whole, whole_got))
        differences += float(((whole - whole_got) ** 2).sum())
        lengths += float((whole**2).sum())
        if names and one[names[0]].ndim:
            first, second = one[names[0]].argmax(axis=-1), other[names[0]].argmax(axis=-1)
            same, places = same + int((first == second).sum()), places + first.size
    return {
        "cosine": min(cosines, default=1.0),
        "max_error": largest,
        "relative_error": (differences / lengths) ** 0.5 if lengths else 0.0,
        "agreement": same / places if places else 1.0,
        "finite": finite,
        "outputs": outputs,
        "runs": len(cosines),
    }


def cosine(one: Array, other: Array) -> float:
    """Return the cosine between two vectors; 1 where both are nothing, and 0 where one alone is, or holds NaN.

    Args:
        one: Array of one dimension.
        other: Array of the same length.
    """
    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if not all(np.isfinite(lengths)):
        return 0.0
    if not all(lengths):
        return float(lengths[0] == lengths[1])
    return float(one @ other / lengths[0] / lengths[1])
