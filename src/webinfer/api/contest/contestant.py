"""A candidate of a contest in a browser of its own: opened, checked, warmed up, timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from webinfer.accuracy.comparison import compare, limits_for
from webinfer.api.order import Order
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import AccuracyError, BackendUnavailable
from webinfer.core.options import Backend, BrowserName, Options
from webinfer.inference.model import AsyncModel
from webinfer.inference.result import Result
from webinfer.tuning.candidate import Candidate
from webinfer.tuning.turns import Pace, cost

Arrays = Mapping[str, NDArray[Any]]


class Opened(Protocol):
    """An accelerator, as far as a contestant needs it."""

    async def start(self) -> Capabilities:
        """Start a browser, and return what it can do."""

    async def load(
        self, reference: str | Path, *, platform: Backend, precision: str | None, part: str | None
    ) -> AsyncModel:
        """Load a model; see ``AsyncAccelerator.load``.

        Args:
            reference: The model.
            platform: The backend.
            precision: Name of the precision; ``None`` for full precision.
            part: Part of a model that is split.
        """

    async def close(self) -> None:
        """End the browser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What all candidates of a contest have in common.

    Attributes:
        options: Options of the caller's accelerator.
        order: What the caller loaded.
        full: Its precision where none is asked for.
        inputs: The request.
        right: Native answers to it, by precision, where there are any.
        callers: Callers at once.
        turn: Seconds of a turn.
        warm_up: Seconds that a warm-up may take.
    """

    options: Options
    order: Order
    full: str
    inputs: Any
    right: Mapping[str, Arrays] = field(default_factory=dict)
    callers: int = 1
    turn: float = 0.25
    warm_up: float = 3.0

    def options_of(self, candidate: Candidate) -> Options:
        """Return the options that a candidate runs with: the caller's, except what the contest varies or forbids.

        Args:
            candidate: The candidate.
        """
        # No routing, no second browser, no kept profile: nothing but the candidate's own settings may move its times.
        # Batches are set after loading, so that a model that cannot batch is refused with the reason.
        is_named = bool(self.options.browsers)
        return replace(
            self.options,
            browser=cast(BrowserName, candidate.browser) if is_named else self.options.browser,
            browsers=(),
            browser_preferences=None,
            platform="auto",
            routing="table",
            accuracy="raise",
            lanes=candidate.lanes,
            min_lanes=None,
            threads=candidate.threads,
            max_batch_size=1,
            audio_shaders=candidate.workgroup is not None,
            warm_up=False,
            port=0,
            profiles=None,
            db_path=None,
        )

    def check(self, result: Result) -> None:
        """Compare an answer with native onnxruntime's.

        Args:
            result: The answer.

        Raises:
            AccuracyError: It differs by more than the limits allow.
        """
        right = self.right.get(result.precision)
        if right is None:
            return
        limits = limits_for(result.precision, self.options.accuracy_limits)
        for deviation in compare(result.outputs, right):
            if (fault := deviation.beyond(limits)) is not None:
                raise AccuracyError(f"it does not answer as native onnxruntime does: {fault}")


class BrowserContestant:
    """A candidate in a browser of its own, which ends with it.

    Args:
        accelerator: Its accelerator.
        model: The model, loaded and warm.
        pace: How many runs make a turn.
        setup: What all candidates have in common.
        version: The version of the browser's engine.
    """

    def __init__(self, accelerator: Opened, model: AsyncModel, pace: Pace, setup: Setup, version: str) -> None:
        self.version = version
        self._accelerator = accelerator
        self._model = model
        self._pace = pace
        self._setup = setup

    def __repr__(self) -> str:
        return f"<BrowserContestant {self._model!r}>"

    @classmethod
    async def open(cls, candidate: Candidate, setup: Setup, make: Callable[[Options], Opened]) -> BrowserContestant:
        """Start a browser, load the model, check its first answer and warm up.

        Args:
            candidate: The candidate.
            setup: What all candidates have in common.
            make: Makes an accelerator.

        Returns:
            The contestant, ready for its first turn.

        Raises:
            BackendUnavailable: The model cannot be batched as the candidate says.
            WebinferError: The candidate cannot run, or answers wrongly. Its browser has ended then.
        """
        accelerator = make(setup.options_of(candidate))
        try:
            capabilities = await accelerator.start()
            order = setup.order
            model = await accelerator.load(
                order.reference,
                platform=candidate.backend,
                precision=None if candidate.precision == setup.full else candidate.precision,
                part=order.part,
            )
            if candidate.workgroup is not None:
                model.requests.audio.use_workgroup(candidate.workgroup)
            if candidate.batch_size > 1 and (why := await model.set_max_batch_size(candidate.batch_size)):
                raise BackendUnavailable(f"it cannot batch: {why}", backend=candidate.backend)
            contestant = cls(accelerator, model, Pace(setup.turn, setup.callers), setup, capabilities.engine_version)
            await contestant.warm_up()
        except BaseException:  # also when the tuner cancels this, because it took too long
            await accelerator.close()
            raise
        return contestant

    async def warm_up(self) -> None:
        """Check the first answer, and run until times are steady.

        Raises:
            AccuracyError: The answer is wrong.
        """
        self._setup.check(await self._run())
        await self._pace.warm_up(self._run, self._setup.warm_up)

    async def turn(self) -> float:
        """Return the seconds per item of a turn, after a check of its last answer; see ``tuning.tuner.Contestant``."""
        taken = await self._pace.take(self._run)
        self._setup.check(taken.answers[-1])
        return cost([result.times.total for result in taken.answers], taken.elapsed, taken.callers)

    async def close(self) -> None:
        """End the browser."""
        await self._accelerator.close()

    async def _run(self) -> Result:
        return await self._model.run(self._setup.inputs)
