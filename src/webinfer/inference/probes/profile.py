"""Where a model's time goes in a browser, measured in sessions of their own, beside the one that answers requests."""

from __future__ import annotations

from webinfer.browsers.recipe import Recipe
from webinfer.core.errors import LaneLost
from webinfer.core.placement import LaneId, Profile
from webinfer.pool.pool import Pool
from webinfer.transport.wire.codec import Tensors

_SECONDS = 5.0  # after which no further run begins


async def measure(pool: Pool, id: LaneId, recipe: Recipe, tensors: Tensors, runs: int) -> Profile:
    """Measure a model on a lane, first the parts of a run, then its operators.

    Both need a session that is made otherwise: for the parts, outputs stay on the device, so that computing can be told
    from reading; for the operators, the runtime's profiler is on, which costs time of its own.

    Args:
        pool: The lanes.
        id: The lane.
        recipe: How the model's session is created.
        tensors: A run's inputs.
        runs: Runs that count, at most.

    Returns:
        Seconds of each part of a run, and of each operator.

    Raises:
        LaneLost: The lane was lost on the way.
        DeadlineExceeded: It took longer than loading and running may.
        WebinferError: As the lane reported it.
    """
    options = pool.options
    timeout = options.load_timeout + (options.run_timeout or options.load_timeout)
    answers = []
    for of_operators in (False, True):
        lane = pool.lanes.get(id)
        if lane is None:
            raise LaneLost(f"Lane {id} is gone: load the model again.")
        profiling = lane.profile(recipe, tensors, operators=of_operators, runs=runs, seconds=_SECONDS, timeout=timeout)
        answers.append(await profiling)
    parts, operators = answers
    return Profile.of(recipe.backend, parts.phases, operators.operators)
