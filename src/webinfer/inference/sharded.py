"""A model in stages, each of which is a model of its own, on a browser or lane of its own where there are enough."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from webinfer.core.errors import DeadlineExceeded
from webinfer.core.placement import Placement
from webinfer.core.progress import ProgressCallback
from webinfer.deployment.sharding import Stage
from webinfer.inference.model import AsyncModel
from webinfer.inference.observer import RunObserver
from webinfer.inference.result import Result
from webinfer.inference.route import Choice
from webinfer.models.files.package import ModelPackage
from webinfer.pool.events import SessionLoaded
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.buckets import Fit
from webinfer.pool.pool import Pool
from webinfer.pool.requests.request import Request, Times
from webinfer.transport.wire import Message


class ShardedModel(AsyncModel):
    """A model whose stages run one after another; what they pass on goes through Python.

    Requests of several callers overlap: while one is in the second stage, the next is in the first.
    """

    def __init__(
        self,
        pool: Pool,
        package: ModelPackage,
        stages: Sequence[Stage],
        choice: Choice,
        recorder: RunObserver,
        forget: Callable[[AsyncModel], None],
    ) -> None:
        whole = replace(stages[0].delivery, model=package.model, external=package.external)
        super().__init__(pool, package, whole, choice, recorder, forget)
        self._stages = [
            AsyncModel(pool, stage.package, stage.delivery, _turned(choice, number), recorder, lambda _: None)
            for number, stage in enumerate(stages)
        ]
        for each in (self, *self._stages):
            each._sessions.captures.give_up("the model runs in stages")

    @property
    def stages(self) -> list[str]:
        """Hashes of the stages, which lanes hold in its stead."""
        return [stage.package.sha256 for stage in self._stages]

    async def load(self, progress: ProgressCallback | None = None) -> SessionLoaded:
        """Have every stage's session created, side by side. Sums of their times and sizes are returned."""
        self._check_open()
        loads = await asyncio.gather(*(stage.load(progress) for stage in self._stages))
        self.loaded = replace(
            loads[0],
            lane=" + ".join(load.lane for load in loads),
            **{name: sum(getattr(load, name) for load in loads) for name in ("nbytes", "fetch", "create", "stored")},
            seconds=max(load.seconds for load in loads),
            placement=_joined([load.placement for load in loads]),
        )
        return self.loaded

    async def set_max_batch_size(self, size: int) -> str | None:
        """Refuse: stages of different requests overlap, but do not run together."""
        return "the model runs in stages" if size > 1 else None

    async def warm_up(self, lengths: Sequence[int] | None = None) -> int:
        """Leave the stages cold: what passes between them is not known before a request comes."""
        return 0

    async def close(self) -> None:
        """Release every stage. Later runs raise ``PoolClosed``."""
        await asyncio.gather(*(stage.close() for stage in self._stages))
        await super().close()

    def _open(self, how: Fit) -> SessionKey:
        return SessionKey(self.package.sha256, self.backend, self.precision, how.padded)

    async def _complete(self, request: Request, how: Fit) -> Result:
        began = time.perf_counter()
        known: dict[str, Any] = dict(request.tensors)
        steps: list[Request] = []
        for stage in self._stages:
            left = request.timeout and request.timeout - (time.perf_counter() - began)
            if left is not None and left <= 0:
                raise DeadlineExceeded(
                    f"{self.name} did not get to {stage.name} within {request.timeout:g} s.", timeout=request.timeout
                )
            inputs = {spec.name: known[spec.name] for spec in stage.package.signature.inputs}
            step = Request(stage._open(how), inputs, None, left, request.items, request.priority)
            step.nobodys = request.nobodys
            try:
                known |= (await stage._answer(step)).tensors
            finally:
                request.place = step.place  # of one that fails, too
            steps.append(step)
        names = request.outputs or [spec.name for spec in self.package.signature.outputs]
        request.placement = _joined([step.placement for step in steps])
        request.lane, request.attempts = steps[-1].lane, max(step.attempts for step in steps)
        request.times = _sum([step.times for step in steps], time.perf_counter() - began)
        result = self._result(request, how, Message("ok", 0, {}, {name: known[name] for name in names}))
        lanes = [step.lane for step in steps if step.lane is not None]
        result.lane = " + ".join(lane.id for lane in lanes)
        result.browser = " + ".join(dict.fromkeys(lane.browser_name for lane in lanes))
        return result


def _turned(choice: Choice, number: int) -> Choice:
    """Have each stage prefer another browser."""
    if choice.route is None:
        return choice
    names = choice.route.names
    at = number % len(names)
    return replace(choice, route=replace(choice.route, wish=None, names=names[at:] + names[:at]))


def _joined(placements: Sequence[Placement | None]) -> Placement | None:
    """Add up where the nodes of each stage went; ``None`` where it is not known of one."""
    known = [placement for placement in placements if placement is not None]
    if len(known) < len(placements):
        return None
    nodes, fallen = (
        dict(sum((Counter(getattr(each, part)) for each in known), Counter())) for part in ("nodes", "fallen")
    )
    return Placement(
        backend=known[0].backend,
        nodes=nodes,
        fallen=fallen,
        copies=sum(each.copies for each in known),
        graphs=sum(each.graphs for each in known),
    )


def _sum(times: Sequence[Times], total: float) -> Times:
    parts = {name: sum(getattr(each, name) for each in times) for name in ("queue", "wait", "run", "transfer")}
    return Times(**parts, total=total)
