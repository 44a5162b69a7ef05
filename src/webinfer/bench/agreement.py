"""Whether an answer is the right one: held against native onnxruntime's, within a tolerance, by hash and by value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.bench.record import Agreement

Arrays = Mapping[str, NDArray[Any]]

TOLERANCES = {"fp32": 1e-3, "fp16": 2e-2}
"""Largest difference, as a part of an output's largest value: in float32, another order of sums makes 1e-6 to 1e-4."""
QUANTIZED = 5e-2
"""For the same quantized file: backends differ in the precision that they multiply in."""


def digest(outputs: Arrays) -> str:
    """Return a hash of outputs: of their names, dtypes, shapes and every bit of their values."""
    made = hashlib.sha256()
    for name in sorted(outputs):
        array = np.ascontiguousarray(outputs[name])
        made.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        made.update(array.tobytes())
    return made.hexdigest()


def agree(outputs: Arrays, native: Arrays, precision: str) -> Agreement:
    """Hold an answer against native onnxruntime's.

    Hashes are equal only where every bit is; where they differ, the values decide.

    Args:
        outputs: The answer.
        native: Native's, for the same inputs.
        precision: Of the weights.
    """
    tolerance = TOLERANCES.get(precision, QUANTIZED)
    worst, cosine = 0.0, 1.0
    for name, right in native.items():
        got = np.asarray(outputs[name], np.float64) if name in outputs else np.empty(0)
        if got.shape != right.shape:
            worst, cosine = float("inf"), 0.0
            continue
        if got.size:
            worst = max(worst, _difference(got, right.astype(np.float64)))
            cosine = min(cosine, _cosine(got.ravel(), right.astype(np.float64).ravel()))
    return Agreement(
        passed=worst <= tolerance,
        difference=worst if np.isfinite(worst) else None,
        tolerance=tolerance,
        cosine=cosine,
        digest=digest(outputs),
        native=digest(native),
    )


def _difference(got: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    far = float(np.abs(got - right).max()) / (float(np.abs(right).max()) or 1.0)
    return far if np.isfinite(far) else float("inf")  # NaN is different, too


def _cosine(got: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    lengths = float(np.linalg.norm(got) * np.linalg.norm(right))
    return float(got @ right) / lengths if lengths else float(not got.any() and not right.any())
