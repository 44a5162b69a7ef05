"""Whether a rewritten graph computes what the original does, tried before any browser gets it.

Both forms run in native onnxruntime as they stand, without its own optimizations, which would turn the one into the
other. They run in a process with limits of time and memory. What the original answers is kept for the gate.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto

from webinfer.accuracy.bounded.process import native_job
from webinfer.accuracy.bounded.reference import answers_of, reference
from webinfer.accuracy.comparison import compare, fault, limits_for, worst
from webinfer.core.errors import WebinferError
from webinfer.core.lifetime.worker_process import Job
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


def compare_graphs(
    original: ModelProto, rewritten: ModelProto, package: ModelPackage, job: Job | None = None
) -> Equality:
    """Run the canary inputs through two forms of a model, one after the other.

    Args:
        original: Its outline.
        rewritten: The same, rewritten.
        package: The model, whose files hold the weights of both.
        job: By which another thread can give it up; it has the limits, too.

    Returns:
        How far apart their outputs are.

    Raises:
        RunFailed: The work was given up.
    """
    job = job or native_job(package)
    began, limits = time.monotonic(), limits_for(_activations(original, package.precision), use="rewrite")

    def untold(reason: str) -> Equality:
        return Equality(f"they could not be compared ({reason})", None, limits.error, time.monotonic() - began)

    try:
        right = reference(package, job)
        if right.reason is not None:
            return untold(right.reason)
        with tempfile.TemporaryDirectory(prefix="webinfer-") as folder:
            graph = Path(folder) / "graph.onnx"
            onnx.save(rewritten, graph)
            answers = answers_of(package, graph, right.canaries, job)
    except WebinferError as error:
        if job.cancelled:
            raise
        return untold(" ".join(str(error).split()))
    pairs = zip(answers, right.canaries, strict=True)
    deviations = worst([compare(answer, canary.answer, canary.steady) for answer, canary in pairs])
    largest = max(deviation.error for deviation in deviations)
    return Equality(fault(deviations, limits), largest, limits.error, time.monotonic() - began)


def _activations(model: ModelProto, precision: str) -> str:
    """Return what the limits call a graph's activations: ``rounded``, or the precision of the weights."""
    rounded = any(node.op_type in _ROUNDING or _rounds(node.attribute) for node in model.graph.node)
    return "rounded" if rounded else precision


def _rounds(attributes: Any) -> bool:
    """Return whether these have an operator multiply in 8 bits: MatMulNBits' accuracy level 4."""
    return any(attribute.name == "accuracy_level" and attribute.i == 4 for attribute in attributes)
