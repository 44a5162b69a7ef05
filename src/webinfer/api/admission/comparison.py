"""The gate's own runs: a model's canaries in the browser, compared with native onnxruntime's answers."""

from __future__ import annotations

import time
from collections.abc import Mapping

from webinfer.accuracy.bounded.reference import Reference
from webinfer.accuracy.comparison import Deviation, compare, worst
from webinfer.accuracy.outcome import Accuracy
from webinfer.core.errors import (
    InputError,
    LoadFailed,
    NotANumber,
    RunFailed,
    RuntimeDied,
    UnsupportedOperator,
    WebinferError,
)
from webinfer.inference.model import AsyncModel

PATIENCE = 3.0
"""Seconds after which no canary begins, once one has been compared."""

LASTING = (NotANumber, LoadFailed, RunFailed, RuntimeDied, UnsupportedOperator)
"""Failures of the model on its backend. They would come again, so they are stored; other errors may pass."""


def unanswered(about: Mapping[str, str], error: WebinferError) -> Accuracy:
    """Return the outcome of canaries that got no answer.

    Args:
        about: What is compared.
        error: Why.
    """
    return Accuracy(combination=about, reason=f"the canaries were not answered: {error}")


async def run_canaries(model: AsyncModel, about: Mapping[str, str], right: Reference) -> Accuracy:
    """Return the outcome of the canaries, run in the browser.

    Args:
        model: The model.
        about: What is compared.
        right: What native onnxruntime answers.

    Raises:
        WebinferError: The browser did not answer them, for a reason that may pass.
    """
    if right.reason is not None:
        return Accuracy(combination=about, reason=right.reason, reference=right.version)
    began = time.monotonic()
    reason, broken, skipped = None, False, 0
    comparisons: list[list[Deviation]] = []
    try:
        for index, canary in enumerate(right.canaries):
            # Where each new shape takes seconds, as on WebGPU in software, the first canaries have to do.
            if comparisons and time.monotonic() - began > PATIENCE:
                skipped = len(right.canaries) - index
                break
            try:
                request, bucket = model.requests.build_internal(canary.inputs)
            except InputError as error:
                reason = reason or f"the canaries do not fit: {error}"
                continue
            result = await model.results.complete(request, bucket)
            comparisons.append(compare(result.outputs, canary.answer, canary.steady))
    except LASTING as error:
        what = "answers NaN to" if isinstance(error, NotANumber) else "fails on"
        reason, broken = f"the browser {what} the canaries, and native onnxruntime does not: {error}", True
    deviations = worst(comparisons)
    return Accuracy(
        combination=about,
        deviations=tuple(deviations),
        reason=reason if broken or not deviations else None,
        broken=broken,
        skipped=skipped,
        reference=right.version,
        seconds=time.monotonic() - began,
    )
