"""From a lane's answer to a result: outputs are trimmed and checked, and what was observed is put beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy.outcome import Accuracy
from webinfer.browsers.lane import Lane
from webinfer.core.errors import NotANumber
from webinfer.inference.probes.warmup import Warmup
from webinfer.inference.request_builder import RequestBuilder
from webinfer.inference.result import Result
from webinfer.inference.route import Choice, Routings
from webinfer.inference.sessions import Answer, ModelSessions
from webinfer.models.files.package import ModelPackage
from webinfer.pool.plan.buckets import Fit, misfit, trim
from webinfer.pool.pool import Pool
from webinfer.pool.requests.request import Request


class ResultAssembly:
    """Has requests of one model answered, and makes their results.

    Args:
        pool: The pool.
        package: The model.
        choice: Where it runs.
        requests: Its requests, which are padded there.
        sessions: Its sessions, which answer.
        warmup: Knows what was run beforehand.
    """

    def __init__(
        self,
        pool: Pool,
        package: ModelPackage,
        choice: Choice,
        requests: RequestBuilder,
        sessions: ModelSessions,
        warmup: Warmup,
    ) -> None:
        self._package = package
        self._choice = choice
        self._requests = requests
        self._sessions = sessions
        self._warmup = warmup
        self._routings = Routings(pool, choice, package.precision)
        self._allow_nan = pool.options.allow_nan
        self._accuracies: dict[tuple[str, str, str], Accuracy] = {}  # by engine, its version and the runtime
        self._faults: dict[tuple[str, str, str], str] = {}
        self._unchecked = Accuracy(combination={}, reason="it was not compared in this browser")

    def __repr__(self) -> str:
        return f"<ResultAssembly {self._package.name}>"

    def note_accuracy(self, lane: Lane, accuracy: Accuracy) -> None:
        """Have results of lanes like this one say how their answers compare with the reference.

        Args:
            lane: A lane on which the model was compared.
            accuracy: The outcome.
        """
        self._accuracies[_engine(lane)] = accuracy

    def note_fault(self, lane: Lane, fault: str) -> None:
        """Have results of lanes like this one note what is wrong with their answers.

        Args:
            lane: A lane on which the model was compared.
            fault: What is wrong, in words.
        """
        self._faults[_engine(lane)] = fault

    def note_unchecked(self, reason: str) -> None:
        """Have results of lanes on which the model was not compared say why.

        Args:
            reason: Why, in words.
        """
        self._unchecked = Accuracy(combination={}, reason=reason)

    def _accuracy_notes(self, engine: tuple[str, str, str]) -> tuple[str, ...]:
        accuracy = self._accuracies.get(engine, self._unchecked)
        return tuple(note for note in (self._faults.get(engine), accuracy.caveat) if note is not None)

    async def complete(self, request: Request, bucket: Fit) -> Result:
        """Have a request answered and return its result.

        Where an output of a batch holds NaN, the request runs once more by itself. NaN comes back only if it is its
        own and not a neighbour's.

        Args:
            request: The request.
            bucket: The shape that its tensors were brought to.

        Returns:
            The result, trimmed to the caller's shapes.

        Raises:
            NotANumber: An output holds NaN, and the option ``allow_nan`` is off.
            WebinferError: As the runtime or the pool reported it.
        """
        if bucket.unproven:
            bucket = await self._requests.settle(request, bucket)
        answer = await self._sessions.answer(request, bucket)
        if not bucket.exact and (wrong := misfit(answer.tensors, bucket)):
            request, bucket = self._requests.without_padding(request, bucket, wrong)
            answer = await self._sessions.answer(request, bucket)
        try:
            return self._assemble(request, bucket, answer)
        except NotANumber:
            if not request.part():
                raise
        # A neighbour's NaN spreads where a model takes a mean or a maximum over the whole batch.
        alone = replace(request, settled=False, lane=None)
        return self._assemble(alone, bucket, await self._sessions.answer(alone, bucket))

    def _assemble(self, request: Request, bucket: Fit, answer: Answer) -> Result:
        outputs = answer.tensors
        if not bucket.exact:
            outputs = trim(outputs, bucket)
        if not self._allow_nan:
            _refuse_nan(outputs, self._package.name)
        package, choice, delivery = self._package, self._choice, self._sessions.delivery
        lane, stages = answer.lanes[-1], len(answer.lanes) > 1
        capabilities, engine = lane.capabilities, _engine(lane)
        return Result(
            outputs=outputs,
            model=package.name,
            model_sha256=package.sha256,
            model_cid=package.cid,
            weights=package.weights,
            family=package.family,
            asked=choice.asked,
            backend=choice.backend,
            reason=choice.reason,
            precision=package.precision,
            quantized=package.quantized,
            rewritten=delivery.rewritten,
            notes=(*delivery.notes, *answer.notes, *bucket.notes, *self._accuracy_notes(engine)),
            captured=answer.captured,
            warmed=self._warmup.holds(lane.id, bucket),
            audio_shader=request.audio_shader,
            browser=_join_browsers(answer.lanes) if stages else lane.browser_name,
            routing=self._routings.of(lane),
            chosen_by=choice.by,
            decision=self._routings.decision(lane),
            engine=capabilities.engine,
            engine_version=capabilities.engine_version,
            runtime=lane.runtime if answer.bundle is None else lane.runtime_of(answer.bundle),
            lane=" + ".join(str(lane.id) for lane in answer.lanes) if stages else str(lane.id),
            verdict=lane.verdict(choice.backend).over(request.placement),
            placement=request.placement,
            accuracy=self._accuracies.get(engine, self._unchecked),
            shape={} if bucket.exact else dict(bucket.padded),
            times=request.times,
            items=request.items,
            batch=request.together,
            attempts=request.attempts,
        )


def _engine(lane: Lane) -> tuple[str, str, str]:
    return lane.capabilities.engine, lane.capabilities.engine_version, lane.runtime


def _join_browsers(lanes: tuple[Lane, ...]) -> str:
    return " + ".join(dict.fromkeys(lane.browser_name for lane in lanes))


def _refuse_nan(outputs: Mapping[str, NDArray[Any]], model: str) -> None:
    """Refuse outputs that hold NaN.

    Raises:
        NotANumber: One does; the error counts them.
    """
    for name, array in outputs.items():
        if array.dtype.kind != "f" or not array.size:
            continue
        largest = np.maximum.reduce(array, axis=None)  # NaN if there is one anywhere, found in one pass without a copy
        if largest != largest:
            count = int(np.isnan(array).sum())
            raise NotANumber(
                f"Output {name!r} of {model} holds {count:,} NaN of {array.size:,} values: "
                "check the inputs for NaN, infinities and fully masked rows, or set allow_nan.",
                output=name,
                count=count,
            )
