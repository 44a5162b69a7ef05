"""Whether a rewritten graph computes what the original does, tried before any browser gets it.

Both forms run in native onnxruntime as they stand, without its own optimizations, which would turn the one into the
other. Weights are mapped from the model's files and not packed, so that memory holds activations alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto

from webinfer.accuracy.comparison import compare, fault, limits_for, worst
from webinfer.accuracy.native import NativeSession
from webinfer.accuracy.samples import answered_canaries
from webinfer.core.errors import WebinferError
from webinfer.models.files.package import ModelPackage

_ROUNDING = ("QuantizeLinear", "DynamicQuantizeLinear")


@dataclass(frozen=True, slots=True)
class Equality:
    """How a rewritten graph compares with the original.

    Attributes:
        fault: What is different, or why it could not be compared; ``None`` where both compute the same.
        error: Largest difference of any output, as a part of its largest value; ``None`` where it was not compared.
        tolerance: Largest error allowed.
        seconds: Time that the comparison took.
    """

    fault: str | None
    error: float | None
    tolerance: float
    seconds: float


def compare_graphs(original: ModelProto, rewritten: ModelProto, package: ModelPackage) -> Equality:
    """Run the canary inputs through two forms of a model, one after the other.

    Args:
        original: Its outline.
        rewritten: The same, rewritten.
        package: The model, whose files hold the weights of both.

    Returns:
        How far apart their outputs are.
    """
    began, limits = time.monotonic(), limits_for(_activations(original, package.precision), use="rewrite")
    try:
        inputs, right = answered_canaries(NativeSession(package, graph=original, optimize=False), package)
        session = NativeSession(package, graph=rewritten, optimize=False)
        outputs = [session.run(arrays) for arrays in inputs]
    except WebinferError as error:
        reason = " ".join(str(error).split())
        return Equality(f"they could not be compared ({reason})", None, limits.error, time.monotonic() - began)
    deviations = worst([compare(one, two) for one, two in zip(outputs, right, strict=True)])
    largest = max(deviation.error for deviation in deviations)
    return Equality(fault(deviations, limits), largest, limits.error, time.monotonic() - began)


def _activations(model: ModelProto, precision: str) -> str:
    """Return what the limits call a graph's activations: ``rounded``, or the precision of the weights."""
    rounded = any(node.op_type in _ROUNDING or _rounds(node.attribute) for node in model.graph.node)
    return "rounded" if rounded else precision


def _rounds(attributes: Any) -> bool:
    """Return whether these have an operator multiply in 8 bits: MatMulNBits' accuracy level 4."""
    return any(attribute.name == "accuracy_level" and attribute.i == 4 for attribute in attributes)
