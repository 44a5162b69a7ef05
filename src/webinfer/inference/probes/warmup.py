"""Running a model once in each shape that is expected, so that no caller waits for what only the first run needs.

WebGPU compiles its shaders and WebNN makes a session when a shape comes for the first time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from webinfer.accuracy.samples.maker import sample
from webinfer.core.errors import WebinferError
from webinfer.core.placement import LaneId
from webinfer.core.tensors import SOUND
from webinfer.models.files.package import ModelPackage
from webinfer.pool.plan.buckets import MASK, Fit
from webinfer.pool.pool import Pool
from webinfer.pool.requests.request import Request

log = logging.getLogger("webinfer.warming")

_IMAGE = 224  # pixels each way, where a model takes every size

BuildRequest = Callable[[Mapping[str, NDArray[Any]]], Awaitable[tuple[Request, Fit]]]


class Warmup:
    """What was run on which lane before anybody asked for it.

    Args:
        pool: The pool.
        package: The model.
        build: Makes a request of inputs that counts nowhere.
        note: Is told of each shape that is warm.
    """

    def __init__(self, pool: Pool, package: ModelPackage, build: BuildRequest, note: Callable[[Fit], None]) -> None:
        self._pool = pool
        self._package = package
        self._build = build
        self._note = note
        self._warm: set[tuple[LaneId, tuple[tuple[str, int], ...]]] = set()  # lanes, and sizes that they ran

    def __repr__(self) -> str:
        return f"<Warmup {self._package.name} {len(self._warm)}>"

    def holds(self, lane: LaneId, bucket: Fit) -> bool:
        """Return whether a lane ran this shape already when it was warmed up.

        Args:
            lane: The lane's id.
            bucket: The shape.
        """
        return (lane, bucket.padded) in self._warm

    async def spread(self, lengths: Sequence[int]) -> int:
        """Run the model once in each shape, on each lane that is free for it.

        Args:
            lengths: Tokens of a sequence, for a model that takes one; others are run once, at their smallest size.

        Returns:
            How many lanes and shapes are warm now. One that fails is logged and left cold.
        """
        for size in self._sizes(lengths):
            try:
                lanes = max(1, len(self._pool.lanes))
                await asyncio.gather(*(self._run(size) for _ in range(lanes)))
            except WebinferError as error:
                log.warning("%s is not warmed up for size %d: %s", self._package.name, size, error)
        return len(self._warm)

    def _sizes(self, lengths: Sequence[int]) -> Sequence[int]:
        inputs = self._package.signature.inputs
        if any(spec.name in SOUND and isinstance(spec.shape[-1], str) for spec in inputs):
            log.warning("%s takes sound of any length: it is not warmed up", self._package.name)
            return ()
        return lengths if any(spec.name == MASK for spec in inputs) else (_IMAGE,)

    async def _run(self, size: int) -> None:
        request, bucket = await self._build(sample(self._package, size, purpose="check"))
        await self._pool.submit(request)
        if request.lane is not None:
            self._warm.add((request.lane.id, bucket.padded))
            self._note(bucket)
