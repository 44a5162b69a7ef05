"""A model made ready for the place that was chosen for it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace

from webinfer.core.options import Options
from webinfer.deployment.prepare import deliver
from webinfer.deployment.sharding import split
from webinfer.inference.model import AsyncModel
from webinfer.inference.route import Choice
from webinfer.inference.sessions import ModelSessions, Sessions
from webinfer.inference.sharded import StagedSessions
from webinfer.models.files.package import ModelPackage
from webinfer.pool.pool import Pool
from webinfer.telemetry.recorder import Recorder


class Builder:
    """Makes models.

    Args:
        options: Options of the accelerator.
        recorder: Told of every result.
        forget: Called with each model that is closed.
    """

    def __init__(self, options: Options, recorder: Recorder, forget: Callable[[AsyncModel], None]) -> None:
        self._options = options
        self._recorder = recorder
        self._forget = forget

    async def build(self, pool: Pool, package: ModelPackage, chosen: Choice) -> AsyncModel:
        """Make a model's graph ready for its backend; in stages, where it is too large and may be cut.

        Args:
            pool: The pool.
            package: The model.
            chosen: Where it is to run.
        """
        options = self._options
        capacity = options.lane_capacity_mb
        if options.shard_models and capacity and package.nbytes > capacity * 1e6:
            count = math.ceil(package.nbytes / (capacity * 1e6))
            stages = await asyncio.to_thread(split, package, chosen.backend, count)
            sessions: ModelSessions = StagedSessions(pool, package, stages, chosen)
        else:
            wanted = {"optimize": options.optimize_graphs, "integers": options.integer_matmul}
            delivery = await asyncio.to_thread(deliver, package, chosen.backend, **wanted)
            if delivery.rounded:
                package = replace(package, precision="int8")
            sessions = Sessions(pool, package, delivery, chosen)
        return AsyncModel(pool, package, chosen, sessions, self._recorder, self._forget)
