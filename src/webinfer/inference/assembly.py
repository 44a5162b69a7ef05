"""From a lane's answer to a result: outputs are trimmed and checked, and what was observed is put beside them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.browsers.lane import Lane
from webinfer.core.errors import DeadlineExceeded, NotANumber
from webinfer.inference.probes.engine_check import EngineChecks, Lanes
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

    Attributes:
        checks: How answers compare with the reference, by the engine that gave them.
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
        self.checks = EngineChecks(choice.backend)
        self._package = package
        self._choice = choice
        self._requests = requests
        self._sessions = sessions
        self._warmup = warmup
        self._routings = Routings(pool, choice, package)
        self._allow_nan = pool.options.allow_nan

    def __repr__(self) -> str:
        return f"<ResultAssembly {self._package.name}>"

    async def complete(self, request: Request, bucket: Fit) -> Result:
        """Have a request answered and return its result.

        An engine on which the model was not compared yet is compared before its first answer is given. Where it is
        wrong, the request runs once more, if another browser takes it.

        Where an output of a batch holds NaN, the request runs once more by itself. NaN comes back only if it is its
        own and not a neighbour's.

        Args:
            request: The request.
            bucket: The shape that its tensors were brought to.

        Returns:
            The result, trimmed to the caller's shapes.

        Raises:
            AccuracyError: The engine is wrong, and the option ``accuracy`` allows no wrong answer.
            NotANumber: An output holds NaN, and the option ``allow_nan`` is off.
            WebinferError: As the runtime or the pool reported it.
        """
        began = time.perf_counter()
        request, bucket, answer = await self._admitted(request, bucket, began)
        try:
            return self._assemble(request, bucket, answer)
        except NotANumber:
            if not request.part():
                raise
        # A neighbour's NaN spreads where a model takes a mean or a maximum over the whole batch.
        alone = replace(request, settled=False, lane=None, timeout=seconds_left(request.timeout, began))
        return self._assemble(*await self._admitted(alone, bucket, time.perf_counter()))

    async def complete_at(self, request: Request, bucket: Fit, lane: Lane | None) -> tuple[Result, Lanes]:
        """Have a request answered that no caller asked for, on a lane if that holds its session.

        Args:
            request: The request.
            bucket: The shape that its tensors were brought to.
            lane: The lane; ``None`` for any.

        Returns:
            The result, and the lanes that computed it.

        Raises:
            WebinferError: As the runtime or the pool reported it.
        """
        request, bucket, answer = await self._answer(request, bucket, lane)
        return self._assemble(request, bucket, answer), answer.lanes

    async def _admitted(self, request: Request, bucket: Fit, began: float) -> tuple[Request, Fit, Answer]:
        """Return an answer of lanes on which the model was compared, with the request as it was answered."""
        limit = request.timeout
        while True:
            request, bucket, answer = await self._answer(request, bucket)
            is_kept = request.internal or await self.checks.admit(answer.lanes, seconds_left(limit, began))
            # The comparison may have shown that recorded runs are wrong.
            was_recorded = request.key.captured and not self._sessions.capture.open
            # What stays on a lane stays where it is, and its next step begins anew elsewhere.
            if (is_kept and not was_recorded) or request.residents is not None:
                return request, bucket, answer
            request = replace(request, settled=False, lane=None, pinned=None, timeout=seconds_left(limit, began))
            self._requests.reopen(request, bucket)

    async def _answer(self, request: Request, bucket: Fit, at: Lane | None = None) -> tuple[Request, Fit, Answer]:
        """Return an answer, with the request and the bucket that it came of."""
        if bucket.unproven:
            bucket = await self._requests.settle(request, bucket)
        if at is not None:
            self._requests.pin(request, at)
        began = time.perf_counter()
        answer = await self._sessions.answer(request, bucket)
        if not bucket.exact and (wrong := await self._misfit(request, bucket, answer, began)):
            request, bucket = self._requests.without_padding(request, bucket, wrong)
            answer = await self._sessions.answer(request, bucket)
        return request, bucket, answer

    async def _misfit(self, request: Request, bucket: Fit, answer: Answer, began: float) -> str | None:
        """Return why the padding of an answered request is not exact; ``None`` where it is."""
        if wrong := misfit(answer.tensors, bucket):
            return wrong
        try:
            async with asyncio.timeout(seconds_left(request.timeout, began)):
                return await self._requests.padding.obstacle(bucket, answer.lanes)
        except TimeoutError:
            why = f"Whether {self._package.name} may be padded in this browser was not known within its time."
            raise DeadlineExceeded(why, timeout=request.timeout) from None

    def _assemble(self, request: Request, bucket: Fit, answer: Answer) -> Result:
        outputs = answer.tensors
        if not bucket.exact:
            outputs = trim(outputs, bucket)
        if not self._allow_nan:
            _refuse_nan(outputs, self._package.name)
        package, choice, delivery = self._package, self._choice, self._sessions.delivery
        lane, stages = answer.lanes[-1], len(answer.lanes) > 1
        capabilities = lane.capabilities
        accuracy, doubts = self.checks.describe(answer.lanes)
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
            notes=(*delivery.notes, *answer.notes, *bucket.notes, *doubts),
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
            accuracy=accuracy,
            shape={} if bucket.exact else dict(bucket.padded),
            times=request.times,
            items=request.items,
            batch=request.together,
            attempts=request.attempts,
        )


def seconds_left(limit: float | None, began: float) -> float | None:
    """Return the seconds that are left of a limit; a little at least, so that what is late says so by a typed error.

    Args:
        limit: The limit in seconds; ``None`` for none.
        began: When it began, by ``time.perf_counter``.
    """
    return None if limit is None else max(0.001, limit - (time.perf_counter() - began))


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
