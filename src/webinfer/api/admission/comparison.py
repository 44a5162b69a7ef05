"""The gate's own runs: a model's canaries in the browser, compared with native onnxruntime's answers."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping

from webinfer.accuracy.bounded.reference import Reference
from webinfer.accuracy.bounded.runs import NativeRuns
from webinfer.accuracy.comparison import Deviation, compare, worst
from webinfer.accuracy.outcome import Accuracy, recall, remember
from webinfer.browsers.lane import Lane
from webinfer.core.errors import (
    DeadlineExceeded,
    InputError,
    LoadFailed,
    NotANumber,
    RunFailed,
    RuntimeDied,
    UnsupportedOperator,
    WebinferError,
)
from webinfer.inference.model import AsyncModel
from webinfer.inference.probes.engine_check import Lanes

PATIENCE = 3.0
"""Seconds after which no canary begins, once one has been compared."""

LONG = (5.0, 5.0)
"""Seconds, and times what the first ones took, that a canary may take once one has been compared. A runtime may loop
for ever on sizes that native onnxruntime takes. That costs one lane, and no more of them."""

LASTING = (NotANumber, LoadFailed, RunFailed, RuntimeDied, UnsupportedOperator)
"""Failures of the model on its backend. They would come again, so they are stored; other errors may pass."""


def unanswered(about: Mapping[str, str], error: WebinferError) -> Accuracy:
    """Return the outcome of canaries that got no answer.

    Args:
        about: What is compared.
        error: Why.
    """
    return Accuracy(combination=about, reason=f"the canaries were not answered: {error}", passing=True)


async def compare_with_native(
    model: AsyncModel, about: Mapping[str, str], native: NativeRuns, lanes: Lanes, at: Lane | None = None
) -> Accuracy:
    """Return the outcome of a model's comparison with native onnxruntime: the stored one, or that of a new one.

    Args:
        model: The model, loaded.
        about: What is compared.
        native: What runs natively.
        lanes: Lanes like those that are to answer, one for each stage.
        at: The lane that is to answer where it holds the session; ``None`` for any.

    Raises:
        WebinferError: As ``run_canaries``.
    """
    accuracy = await asyncio.to_thread(recall, about)
    if accuracy is None:
        accuracy = await run_canaries(model, about, await native.reference(model.package), lanes, at)
        if accuracy.tried:  # what could not be compared may be another time
            await asyncio.to_thread(remember, accuracy)
    return accuracy


async def run_canaries(
    model: AsyncModel, about: Mapping[str, str], right: Reference, lanes: Lanes, at: Lane | None = None
) -> Accuracy:
    """Return the outcome of the canaries, run in the browser.

    What other engines than those of the lanes answer says nothing of these, and is left out.

    Args:
        model: The model.
        about: What is compared.
        right: What native onnxruntime answers.
        lanes: Lanes like those that are to answer, one for each stage.
        at: The lane that is to answer where it holds the session; ``None`` for any.

    Raises:
        WebinferError: The browser did not answer them, for a reason that may pass.
    """
    if right.reason is not None:
        return Accuracy(combination=about, reason=right.reason, reference=right.version)
    began = time.monotonic()
    reason, broken, passing, skipped = None, False, False, 0
    checks, replays = model.results.checks, not model.sessions.capture.open
    model.requests.padding.note_texts(right.texts)
    comparisons: list[list[Deviation]] = []
    try:
        for index, canary in enumerate(right.canaries):
            # Where each new shape takes seconds, as on WebGPU in software, the first canaries have to do. Where runs
            # are recorded, one of them must be a replay.
            spent = time.monotonic() - began
            if comparisons and replays and spent > PATIENCE:
                skipped = len(right.canaries) - index
                break
            try:
                request, bucket = model.requests.build_internal(canary.inputs)
            except InputError as error:
                reason = reason or f"the canaries do not fit: {error}"
                continue
            if comparisons:
                request.timeout = min(request.timeout or math.inf, max(LONG[0], LONG[1] * spent))
            try:
                result, answered = await model.results.complete_at(request, bucket, at)
            except DeadlineExceeded:
                if not comparisons:
                    raise
                skipped = len(right.canaries) - index
                break
            if checks.engines(answered) != checks.engines(lanes):
                reason, passing = reason or "other lanes answered the canaries", True
                continue
            replays = replays or result.captured
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
        passing=passing and not deviations,
        skipped=skipped,
        reference=right.version,
        seconds=time.monotonic() - began,
    )
