"""The correctness gate: a model's answers in a browser, held against native onnxruntime's when it is first loaded.

The outcome is kept in the cache for the combination of model, precision, backend, engine and versions, so that the
next load of it costs nothing. What failed stays failed, with its evidence, until the combination changes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.choice import Choice
from webinfer.errors import (
    AccuracyError,
    BackendError,
    InputError,
    LostError,
    NotANumber,
    UnsupportedOperator,
    WebinferError,
)
from webinfer.lane import Lane
from webinfer.model import AsyncModel
from webinfer.models import ModelPackage
from webinfer.models.accuracy import Accuracy, canaries, recall, remember
from webinfer.models.comparison import compare, limits_for, worst
from webinfer.models.reference import NativeSession
from webinfer.models.vocabulary import Vocabulary
from webinfer.options import Backend, Options
from webinfer.pool import Pool

log = logging.getLogger("webinfer.gate")

Arrays = dict[str, NDArray[Any]]
Make = Callable[[ModelPackage, Choice], Awaitable[AsyncModel]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a comparison says of a model, and which fault it found, if any."""

    accuracy: Accuracy
    fault: str | None


class Gate:
    """Compares each combination once, and decides what follows from it.

    Args:
        pool: The pool.
        options: Options of the accelerator.
    """

    def __init__(self, pool: Pool, options: Options) -> None:
        self._pool = pool
        self._mode = options.accuracy
        self._limits = options.accuracy_limits

    async def admit(
        self, model: AsyncModel, make: Make, finer: Callable[[], AsyncIterator[ModelPackage]]
    ) -> AsyncModel:
        """Return a loaded model, or what takes its place because it does not compute what it should.

        Args:
            model: The model, loaded unless it is barred.
            make: Loads another package or choice.
            finer: Yields the model in the precisions that may take its own's place.

        Raises:
            AccuracyError: It does not, and nothing may take its place or could.
        """
        if self._mode == "off":
            return model
        judged = await self.judge(model)
        if judged.fault is None:
            return model
        told = f"{model.name} in {model.precision} on {model.backend} does not compute what native onnxruntime does"
        if self._mode == "warn":
            log.warning("%s: %s", told, judged.fault)
            return model
        await model.close()
        faults = [f"{told}: {judged.fault}"]
        if self._mode == "fallback":
            async for package, choice in self._others(model, finer):
                try:
                    other = await make(package, replace(choice, reason="; ".join(faults)))
                except (BackendError, UnsupportedOperator) as error:
                    faults.append(f"{package.precision} on {choice.backend} cannot be loaded: {error}")
                    continue
                again = await self.judge(other)
                if again.fault is None:
                    log.warning("%s; it runs in %s on %s instead", faults[0], other.precision, other.backend)
                    return other
                await other.close()
                faults.append(f"{other.precision} on {other.backend} does not either: {again.fault}")
        raise AccuracyError(
            f"{'; '.join(faults)}. Choose another backend or precision, or set accuracy to warn.",
            **judged.accuracy.to_dict(),
        )

    async def bars(self, model: AsyncModel) -> bool:
        """Whether a model need not be loaded, being known to answer wrongly wherever it may go."""
        if self._mode in ("off", "warn"):
            return False
        names = model._choice.route.names if model._choice.route else ()
        lanes = [lane for lane in self._pool.lanes.values() if not names or lane.browser_name in names]
        limits = limits_for(model.precision, self._limits)
        known = [await asyncio.to_thread(recall, combination(model, lane)) for lane in lanes]
        return bool(known) and all(each is not None and each.fault(limits) is not None for each in known)

    async def judge(self, model: AsyncModel) -> Judgement:
        """Compare a loaded model with the reference, unless that was done before; or one that is barred."""
        place = model.loaded.lane.split(" ")[0] if model.loaded is not None else ""
        lane = self._pool.lanes.get(place) or next(iter(self._pool.lanes.values()))
        about = combination(model, lane)
        known = await asyncio.to_thread(recall, about)
        if known is None and model.loaded is None:
            await model.load()  # what barred it is gone
        accuracy = known or await _try(model, about)
        if known is None and accuracy is not None:
            await asyncio.to_thread(remember, accuracy)
        accuracy = accuracy or Accuracy(combination=about, reason="the browser was lost on the way")
        model._recorder.checked(model, lane.browser_name, accuracy)
        seen = lane.capabilities
        model._accuracies[seen.engine, seen.engine_version, lane.runtime] = accuracy
        limits = limits_for(model.precision, self._limits)
        return Judgement(accuracy, accuracy.fault(limits))

    async def _others(
        self, model: AsyncModel, finer: Callable[[], AsyncIterator[ModelPackage]]
    ) -> AsyncIterator[tuple[ModelPackage, Choice]]:
        """Yield what may take a model's place: its other backends, then each finer precision on all of them."""
        choice = model._choice
        lane = next(iter(self._pool.lanes.values()), None)
        backends: tuple[Backend, ...] = lane.capabilities.backends if lane else ("wasm",)
        fixed = choice.asked == "auto" and model.backend == "wasm"  # WebNN was passed over, for its fixed shapes
        others = [each for each in backends if each != model.backend and not (fixed and each == "webnn")]
        others.sort(key=lambda each: each == "webgpu" and lane is not None and lane.verdict(each).kind == "software")
        for backend in others:
            yield model.package, replace(choice, backend=backend)
        async for package in finer():
            for backend in (model.backend, *others):
                yield package, replace(choice, backend=backend)


def combination(model: AsyncModel, lane: Lane) -> dict[str, str]:
    """Return what decides on a model's answers: itself, and everything that computes them."""
    seen = lane.capabilities
    adapter = seen.adapter if model.backend == "webgpu" else None
    return {
        "model": model.package.sha256,
        "graph": model._delivery.model.sha256,
        "precision": model.precision,
        "backend": model.backend,
        "engine": seen.engine,
        "engine_version": seen.engine_version,
        "platform": seen.platform,
        "runtime": lane.runtime,
        "adapter": f"{adapter} {adapter.driver}".strip() if adapter else "",
        **({"capture": "on"} if model._sessions.captures.open else {}),
    }


async def _try(model: AsyncModel, about: Mapping[str, str]) -> Accuracy | None:
    """Run the canaries here and in the browser; ``None`` where the browser was lost, which says nothing lasting."""
    began = time.monotonic()
    inputs = canaries(model.package.signature, Vocabulary.of(model.package))
    try:
        version, right = await asyncio.to_thread(_natively, model.package, inputs)
    except WebinferError as error:
        return Accuracy(combination=about, reason=f"the canaries do not run natively: {error}")
    if any(np.isnan(array).any() for each in right for array in each.values() if array.dtype.kind == "f"):
        return Accuracy(combination=about, reason="native onnxruntime answers NaN to the canaries", reference=version)
    reason, broken, deviations = None, False, []
    try:
        made = [await model._try(each) for each in inputs]
        deviations = worst([compare(one.outputs, two) for one, two in zip(made, right, strict=True)])
    except LostError:
        return None
    except InputError as error:
        reason = f"the canaries do not fit: {error}"
    except WebinferError as error:
        what = "answers NaN to" if isinstance(error, NotANumber) else "fails on"
        reason, broken = f"the browser {what} the canaries, and native onnxruntime does not: {error}", True
    return Accuracy(
        combination=about,
        deviations=tuple(deviations),
        reason=reason,
        broken=broken,
        reference=version,
        seconds=time.monotonic() - began,
    )


def _natively(package: ModelPackage, inputs: list[Arrays]) -> tuple[str, list[Arrays]]:
    session = NativeSession(package)
    return session.version, [session.run(each) for each in inputs]
