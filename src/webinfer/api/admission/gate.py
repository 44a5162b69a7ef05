"""The correctness gate compares a model's answers in a browser with native onnxruntime's when it is first loaded.

The cache stores the outcome for the combination of model, precision, backend, engine and versions. So the next load
compares nothing. A failure stays, with its evidence, until the combination changes. A model whose
canaries get no answer, for example because their lane is lost each time, is not admitted either. That outcome is not
stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from webinfer.accuracy.bounded.runs import NativeRuns
from webinfer.accuracy.comparison import limits_for
from webinfer.accuracy.outcome import Accuracy, recall
from webinfer.api.admission.comparison import compare_with_native, unanswered
from webinfer.browsers.lane import Lane
from webinfer.core.errors import (
    AccuracyError,
    BackendError,
    BrowserError,
    DeadlineExceeded,
    LaneLost,
    LostError,
    PoolClosed,
    QueueFull,
    UnsupportedOperator,
    WebinferError,
)
from webinfer.core.options import Backend, Options
from webinfer.inference import route
from webinfer.inference.model import AsyncModel
from webinfer.inference.route import Choice
from webinfer.models.files.package import ModelPackage
from webinfer.pool.pool import Pool

log = logging.getLogger("webinfer.gate")

Make = Callable[[ModelPackage, Choice], Awaitable[AsyncModel]]
Finer = Callable[[], AsyncIterator[ModelPackage]]


class Freedom(NamedTuple):
    """What a caller left open, which decides in the mode ``auto``.

    Attributes:
        backend: The backend: webinfer chose it, or may take another one.
        finer: The precision: one with more bits may be taken.
        listed: The precision: the caller listed others, which loading takes after an ``AccuracyError``.
    """

    backend: bool = False
    finer: bool = False
    listed: bool = False


NO_FREEDOM = Freedom()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a comparison says of a model.

    Attributes:
        accuracy: The outcome.
        fault: What is wrong, if anything.
        lane: The lane that ran it, or one like it.
        answered: Whether there was anything to compare, or a lasting failure.
    """

    accuracy: Accuracy
    fault: str | None
    lane: Lane
    answered: bool = True

    def describe(self, model: AsyncModel) -> str:
        """Return what is wrong with a model, as a sentence without its stop.

        Args:
            model: The model that was judged.
        """
        wrong = "does not compute what native onnxruntime does" if self.answered else "does not answer"
        return f"{model.name} in {model.precision} on {model.backend} {wrong}: {self.fault}"


class Gate:
    """Compares each combination once, and decides what follows from it.

    Args:
        pool: The pool.
        options: Options of the accelerator.
        native: What runs natively.
    """

    def __init__(self, pool: Pool, options: Options, native: NativeRuns) -> None:
        self._pool = pool
        self._native = native
        self._mode = options.accuracy
        self._limits = options.accuracy_limits

    async def admit(self, model: AsyncModel, make: Make, finer: Finer, freedom: Freedom = NO_FREEDOM) -> AsyncModel:
        """Return a loaded model, or a replacement if its answers are wrong.

        Args:
            model: The model, loaded unless it is barred.
            make: Loads another package or choice.
            finer: Yields the model in the precisions that may replace its own.
            freedom: What the caller left open.

        Raises:
            AccuracyError: Its answers are wrong, and the mode allows no replacement, or none answers rightly.
        """
        if self._mode == "off":
            model.results.checks.note_unchecked("the option accuracy is off")
            return model
        try:
            judged = await self.judge(model)
        except (BrowserError, LaneLost) as error:
            if self._mode == "auto" and model.loaded is not None:
                model.results.checks.note_unchecked(f"no lane could compare it: {error}")
                return model
            await model.close()
            raise
        except BaseException:
            await model.close()
            raise
        if judged.fault is None:
            return model
        if self._only_warns(freedom):
            return self._warn(model, judged)
        await model.close()
        faults = [judged.describe(model)]
        if self._mode == "fallback" or (self._mode == "auto" and freedom.backend):
            other = await self._replace(model, judged, make, finer if self._lowers(freedom) else None, faults)
            if other is not None:
                return other
        if self._mode == "auto" and not freedom.listed:
            return await self._keep(model, make, faults)
        raise AccuracyError(
            f"{'; '.join(faults)}. Choose another backend or precision, or set accuracy to warn.",
            **judged.accuracy.to_dict(),
        )

    def _only_warns(self, freedom: Freedom) -> bool:
        return self._mode == "warn" or (self._mode == "auto" and not any(freedom))

    def _lowers(self, freedom: Freedom) -> bool:
        return self._mode == "fallback" or freedom.finer

    def _warn(self, model: AsyncModel, judged: Judgement) -> AsyncModel:
        """Return a model whose answers are wrong, with a note of that in its results."""
        log.warning("%s", judged.describe(model))
        model.results.checks.note_fault((judged.lane,), judged.describe(model))
        return model

    async def _replace(
        self, model: AsyncModel, judged: Judgement, make: Make, finer: Finer | None, faults: list[str]
    ) -> AsyncModel | None:
        """Return the first replacement that answers rightly; each fault is added to ``faults``."""
        # Each try gets the faults before it as its reason, so that results say why they come from another place.
        async for package, choice in self._replacements(model, judged.lane, finer):
            try:
                other = await make(package, choice.elsewhere(choice.backend, "; ".join(faults)))
                again = await self._judge_or_close(other)
            except (BackendError, BrowserError, DeadlineExceeded, LostError, UnsupportedOperator) as error:
                faults.append(f"{package.precision} on {choice.backend} cannot be loaded: {error}")
                continue
            if again.fault is None:
                log.warning("%s; it runs in %s on %s instead", faults[0], other.precision, other.backend)
                return other
            await other.close()
            faults.append(f"{other.precision} on {other.backend} does not either: {again.fault}")
        return None

    async def _keep(self, model: AsyncModel, make: Make, faults: list[str]) -> AsyncModel:
        """Return a model that no backend computes rightly: it answers where it was, and each result says so."""
        again = await make(model.package, model.choice)
        try:
            await again.load()  # it is barred
            return self._warn(again, await self.judge(again))
        except BaseException:
            await again.close()
            raise
        finally:
            log.warning("%s", "; ".join(faults))

    async def bars(self, model: AsyncModel, freedom: Freedom = NO_FREEDOM) -> bool:
        """Return whether a model need not be loaded: the cache says that it answers wrongly on every lane it may use.

        Args:
            model: The model, made and not yet loaded.
            freedom: As ``admit`` takes it.
        """
        if self._mode == "off" or self._only_warns(freedom):
            return False
        limits, known = limits_for(model.precision, self._limits), await self._known(model)
        return bool(known) and all(accuracy is not None and accuracy.fault(limits) is not None for accuracy in known)

    async def recall_capture(self, model: AsyncModel) -> None:
        """Have no run of a model recorded, if the cache says that recorded ones are wrong.

        Args:
            model: The model, made and not yet loaded.
        """
        if self._mode != "off" and model.sessions.capture.open:
            limits = limits_for(model.precision, self._limits)
            faults = [accuracy.fault(limits) for accuracy in await self._known(model) if accuracy is not None]
            if fault := next(filter(None, faults), None):
                end_capture(model, fault)

    async def prepare(self, model: AsyncModel) -> None:
        """Have a model's canaries run natively while the browser loads it, unless the outcome is known.

        Args:
            model: The model, made and not yet loaded.
        """
        if self._mode != "off" and None in (await self._known(model) or [None]):
            self._native.begin(model.package)

    async def judge(self, model: AsyncModel) -> Judgement:
        """Return the judgement of a model: a stored one, or that of a new comparison with native onnxruntime.

        A model that is wrong where its runs are recorded is judged again without that, and goes on so.

        Args:
            model: The model, loaded unless it is barred.

        Raises:
            PoolClosed: The accelerator was closed meanwhile.
            QueueFull: Too many requests wait, so the canaries cannot.
            WebinferError: No lane is up to compare on.
        """
        judged = await self._judge(model)
        if judged.fault is not None and model.sessions.capture.open:
            end_capture(model, judged.fault)
            return await self._judge(model)
        return judged

    async def _judge(self, model: AsyncModel) -> Judgement:
        lane = await self._lane(model)
        about = combination(model, lane)
        lost = None
        if model.loaded is None and await asyncio.to_thread(recall, about) is None:
            await model.load()  # it was barred, and since then the lane or the cache has changed
        try:
            accuracy = await compare_with_native(model, about, self._native, (lane,))
        except PoolClosed:
            raise
        except QueueFull as error:  # which says nothing about the model
            if self._mode != "auto":
                raise
            accuracy = unanswered(about, error)
        except WebinferError as error:  # after all retries of a request
            accuracy = unanswered(about, error)
            if self._mode != "auto" or not isinstance(error, DeadlineExceeded):  # a short limit says nothing either
                lost = accuracy.reason
        model.observer.checked(model, lane.browser_name, accuracy)
        model.results.checks.note_accuracy((lane,), accuracy, is_lasting=not accuracy.passing)
        fault = lost or accuracy.fault(limits_for(model.precision, self._limits))
        return Judgement(accuracy, fault, lane, answered=lost is None)

    async def _known(self, model: AsyncModel) -> list[Accuracy | None]:
        """Return what is kept of a model on each lane that it may go to."""
        return [await asyncio.to_thread(recall, combination(model, lane)) for lane in lanes_of(self._pool, model)]

    async def _judge_or_close(self, model: AsyncModel) -> Judgement:
        try:
            return await self.judge(model)
        except BaseException:
            await model.close()
            raise

    async def _lane(self, model: AsyncModel) -> Lane:
        """Return the model's lane, or another lane that it may use. If its browser was lost, another one starts.

        Raises:
            LaneLost: No lane is up.
            WebinferError: No browser starts.
        """
        place = model.loaded.lane if model.loaded is not None else None
        if not lanes_of(self._pool, model):
            await self._pool.ensure(_names(model), model.backend)
        lanes = lanes_of(self._pool, model)
        if not lanes:
            raise LaneLost(f"No lane is up that could tell whether {model.name} is computed as it should be.")
        return next((lane for lane in lanes if lane.id == place), lanes[0])

    async def _replacements(
        self, model: AsyncModel, lane: Lane, finer: Finer | None
    ) -> AsyncIterator[tuple[ModelPackage, Choice]]:
        """Yield what may replace a model: its other backends, then each finer precision on all backends."""
        choice = model.choice
        backends: tuple[Backend, ...] = lane.capabilities.backends
        # ``auto`` prefers WebNN to wasm. So a model on wasm was kept off WebNN, mostly for its fixed shapes.
        fixed = choice.asked == "auto" and model.backend == "wasm"
        others = [backend for backend in backends if backend != model.backend and not (fixed and backend == "webnn")]
        others.sort(key=lambda backend: backend == "webgpu" and lane.verdict(backend).kind == "software")
        for backend in others:
            yield model.package, choice.elsewhere(backend)
        if finer is None:
            return
        async for package in finer():
            for backend in (model.backend, *others):
                yield package, choice.elsewhere(backend)


def end_capture(model: AsyncModel, fault: str) -> None:
    """Have no run of a model recorded, because recorded ones answer wrongly, and have the rest found out anew.

    Args:
        model: The model.
        fault: What is wrong with their answers.
    """
    log.warning("%s: recorded runs are wrong, so none is recorded: %s", model.name, fault)
    model.sessions.end_capture(f"recorded runs do not compute what native onnxruntime does: {fault}")
    model.requests.padding.forget()
    model.results.checks.forget()


def _names(model: AsyncModel) -> tuple[str, ...]:
    """Return the names of the browsers that a model may use; empty for any."""
    return model.choice.route.names if model.choice.route else ()


def lanes_of(pool: Pool, model: AsyncModel) -> list[Lane]:
    """Return the lanes of the browsers that a model may use.

    Args:
        pool: The pool.
        model: The model.
    """
    return lanes_for(pool, model.choice)


def lanes_for(pool: Pool, choice: Choice) -> list[Lane]:
    """Return the lanes of the browsers that a choice leaves open.

    Args:
        pool: The pool.
        choice: Where a model is to run.
    """
    names = choice.route.names if choice.route else ()
    return [lane for lane in pool.lanes.values() if not names or lane.browser_name in names]


def combination(model: AsyncModel, *lanes: Lane) -> dict[str, str]:
    """Return what determines a model's answers: the model, and everything that computes them.

    An outcome is stored under these values. If one changes, such as the driver's version, the model is compared again.

    Args:
        model: The model.
        lanes: A lane that runs it, or one like it; of a model in stages, one for each stage.
    """
    graph, captured = model.sessions.delivery.model.sha256, model.sessions.capture.open
    about = (route.combination(model.package, model.backend, lane, graph=graph, captured=captured) for lane in lanes)
    return route.join_combinations(list(about))
