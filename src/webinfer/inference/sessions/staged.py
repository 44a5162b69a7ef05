"""The sessions of a model in stages, each on a browser or lane of its own where there are enough."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

from webinfer.browsers.lane import Lane
from webinfer.core.errors import BackendUnavailable, DeadlineExceeded
from webinfer.core.placement import Placement
from webinfer.core.progress import ProgressCallback
from webinfer.deployment.sharding import Stage
from webinfer.inference.route import Choice
from webinfer.inference.sessions.base import Answer
from webinfer.inference.sessions.capture import GraphCapture
from webinfer.inference.sessions.whole import Sessions
from webinfer.models.files.package import ModelPackage
from webinfer.pool.events import SessionLoaded
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.buckets import Fit
from webinfer.pool.pool import Pool
from webinfer.pool.requests.request import Request, Times


class StagedSessions:
    """The sessions of a model whose stages run one after another; what they pass on goes through Python.

    Requests of several callers overlap: while one is in the second stage, the next is in the first.

    Args:
        pool: The pool.
        package: The whole model.
        stages: Its stages, in order.
        choice: Where it runs. Each stage prefers another one of its browsers.

    Attributes:
        whole: False.
        delivery: What lanes are given of it, but with the files of the whole model.
        capture: Says that no run is recorded.
    """

    whole = False

    def __init__(self, pool: Pool, package: ModelPackage, stages: Sequence[Stage], choice: Choice) -> None:
        self.delivery = replace(stages[0].delivery, model=package.model, external=package.external)
        self.capture = GraphCapture(package.signature, choice.backend, pool.options.graph_capture)
        self._package = package
        self._choice = choice
        self._stages = [
            (stage.package, Sessions(pool, stage.package, stage.delivery, _rotate(choice, number)))
            for number, stage in enumerate(stages)
        ]
        for capture in (self.capture, *(sessions.capture for _, sessions in self._stages)):
            capture.stop("the model runs in stages")

    def __repr__(self) -> str:
        return f"<StagedSessions {self._package.name} {len(self._stages)} stages>"

    @property
    def hashes(self) -> tuple[str, ...]:
        """Hashes of the stages."""
        return tuple(package.sha256 for package, _ in self._stages)

    def open(self, bucket: Fit, *, stays: bool = False) -> SessionKey:  # noqa: ARG002  # as the protocol has it
        """Return the key that describes a request; no lane has such a session. See ``ModelSessions.open``.

        Args:
            bucket: The shape.
            stays: Has no meaning here: no tensor stays on a lane.
        """
        return SessionKey(self._package.sha256, self._choice.backend, self._package.precision, bucket.padded)

    def release(self, bucket: Fit) -> None:
        """Release the session of a shape in every stage; see ``ModelSessions.release``.

        Args:
            bucket: The shape.
        """
        for _, sessions in self._stages:
            sessions.release(bucket)

    def loaded(self, bucket: Fit) -> tuple[bool, ...]:
        """Return for each stage whether a lane holds its session for a shape already.

        Args:
            bucket: The shape.
        """
        return tuple(loaded for _, sessions in self._stages for loaded in sessions.loaded(bucket))

    async def load(self, bucket: Fit, progress: ProgressCallback | None = None) -> tuple[SessionLoaded, ...]:
        """Have the session of every stage created, side by side; see ``ModelSessions.load``.

        Args:
            bucket: The shape.
            progress: Called with the bytes fetched so far, by stage.

        Returns:
            The event of each creation.
        """
        loads = await asyncio.gather(*(sessions.load(bucket, progress) for _, sessions in self._stages))
        return tuple(event for events in loads for event in events)

    async def answer(self, request: Request, bucket: Fit) -> Answer:
        """Have a request computed stage by stage; see ``ModelSessions.answer``.

        Args:
            request: The request.
            bucket: The shape that its tensors are brought to.

        Returns:
            The outputs, and the lanes that computed them.

        Raises:
            DeadlineExceeded: The stages before took all the time that the request has.
            WebinferError: As the runtime or the pool reported it.
        """
        began = time.perf_counter()
        known: dict[str, Any] = dict(request.tensors)
        steps: list[Request] = []
        lanes: list[Lane] = []
        for package, sessions in self._stages:
            # All stages share the caller's limit: each one has what those before it left.
            left = request.timeout and request.timeout - (time.perf_counter() - began)
            if left is not None and left <= 0:
                raise DeadlineExceeded(
                    f"{self._package.name} did not get to {package.name} within {request.timeout:g} s.",
                    timeout=request.timeout,
                )
            inputs = {spec.name: known[spec.name] for spec in package.signature.inputs}
            step = Request(sessions.open(bucket), inputs, None, left, request.items, request.priority)
            step.internal = request.internal
            try:
                answer = await sessions.answer(step, bucket)
            finally:
                request.place = step.place  # of one that fails, too
            known |= answer.tensors
            lanes += answer.lanes
            steps.append(step)
        names = request.outputs or [spec.name for spec in self._package.signature.outputs]
        request.placement = _join_placements([step.placement for step in steps])
        request.lane, request.attempts = steps[-1].lane, max(step.attempts for step in steps)
        request.times = _add_times([step.times for step in steps], time.perf_counter() - began)
        return Answer({name: known[name] for name in names}, tuple(lanes))

    def recipe(self, key: SessionKey) -> NoReturn:  # noqa: ARG002  # as the protocol has it
        """Refuse: each stage has a recipe of its own.

        Args:
            key: Ignored.

        Raises:
            BackendUnavailable: Always.
        """
        raise BackendUnavailable(
            f"{self._package.name} runs in stages, and only a model on one lane can be measured: raise "
            "lane_capacity_mb, or switch shard_models off.",
            backend=self._choice.backend,
        )

    def end_capture(self, reason: str) -> None:
        """Have no run recorded, which none is anyway; see ``ModelSessions.end_capture``.

        Args:
            reason: Why, in words.
        """
        self.capture.stop(reason)

    def withdraw(self) -> None:
        """Release every stage until it is opened again; see ``ModelSessions.withdraw``."""
        for _, sessions in self._stages:
            sessions.withdraw()

    def close(self) -> None:
        """Release every stage."""
        for _, sessions in self._stages:
            sessions.close()


def join_loads(loads: Sequence[SessionLoaded]) -> SessionLoaded:
    """Return the loads of all stages as one.

    It has the first stage's lane, sums of times and sizes, and the seconds of the slowest stage.

    Args:
        loads: The load of each stage, in order.
    """
    if len(loads) == 1:
        return loads[0]
    sums = {name: sum(getattr(load, name) for load in loads) for name in ("nbytes", "fetch", "create", "stored")}
    return replace(
        loads[0],
        seconds=max(load.seconds for load in loads),
        placement=_join_placements([load.placement for load in loads]),
        **sums,
    )


def _rotate(choice: Choice, number: int) -> Choice:
    """Return the choice for a stage: each one prefers another browser."""
    if choice.route is None:
        return choice
    names = choice.route.names
    at = number % len(names)
    return replace(choice, route=replace(choice.route, wish=None, names=names[at:] + names[:at]))


def _join_placements(placements: Sequence[Placement | None]) -> Placement | None:
    """Return the sum of where the nodes of each stage went; ``None`` where that is unknown for one."""
    known = [placement for placement in placements if placement is not None]
    if len(known) < len(placements):
        return None
    nodes, fallen = (
        dict(sum((Counter(getattr(placement, part)) for placement in known), Counter())) for part in ("nodes", "fallen")
    )
    return Placement(
        backend=known[0].backend,
        nodes=nodes,
        fallen=fallen,
        copies=sum(placement.copies for placement in known),
        graphs=sum(placement.graphs for placement in known),
    )


def _add_times(times: Sequence[Times], total: float) -> Times:
    parts = {name: sum(getattr(stage, name) for stage in times) for name in ("queue", "wait", "run", "transfer")}
    return Times(**parts, total=total)
