"""How far a quantized model's answers are from the full model's, both run natively."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from webinfer.accuracy import measures
from webinfer.quantization.weights.rounding import Array

Answers = Sequence[Mapping[str, Array]]


def loss(full: Answers, quantized: Answers) -> dict[str, Any]:
    """Compare the outputs of two models for the same inputs.

    Args:
        full: Outputs of the full model, by name, for each of the inputs.
        quantized: Outputs of the quantized one, likewise.

    Returns:
        ``cosine`` of all outputs of a run taken together as one vector, the least over the runs; ``max_error``, the
        largest difference; ``relative_error``, the length of the difference by that of the full model's answers;
        ``outputs``, the cosine of each output alone; ``agreement``, how often the largest entry of the first output's
        last axis is the same one; ``finite``, whether there is neither NaN nor infinity; and ``runs``, their number.
    """
    pairs = [_floats(one, other) for one, other in zip(full, quantized, strict=True)]
    arrays = [(right, other) for pair in pairs for right, other in pair.values()]
    outputs: dict[str, float] = {}
    for pair in pairs:
        for name, (right, other) in pair.items():
            outputs[name] = min(outputs.get(name, 1.0), measures.cosine(right, other))
    return {
        "cosine": min((_whole_cosine(pair) for pair in pairs), default=1.0),
        "max_error": max((measures.largest_difference(right, other) for right, other in arrays), default=0.0),
        "relative_error": measures.relative_error([right for right, _ in arrays], [other for _, other in arrays]),
        "agreement": _agreement(pairs),
        "finite": all(bool(np.isfinite(other).all()) for _, other in arrays),
        "outputs": outputs,
        "runs": len(pairs),
    }


def _floats(full: Mapping[str, Array], quantized: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
    """Return the outputs of floats, each with what became of it."""
    return {name: (array, quantized[name]) for name, array in full.items() if array.dtype.kind == "f" and array.size}


def _whole_cosine(pair: Mapping[str, tuple[Array, Array]]) -> float:
    vectors = [np.concatenate([*(arrays[side].ravel() for arrays in pair.values()), np.zeros(0)]) for side in (0, 1)]
    return measures.cosine(*vectors)


def _agreement(pairs: Sequence[Mapping[str, tuple[Array, Array]]]) -> float:
    """Return how often the largest entry of the last axis of the first output is the same one."""
    first = [next(iter(pair.values())) for pair in pairs if pair]
    same = [right.argmax(axis=-1).ravel() == other.argmax(axis=-1).ravel() for right, other in first if right.ndim]
    return float(np.concatenate(same).mean()) if same else 1.0
