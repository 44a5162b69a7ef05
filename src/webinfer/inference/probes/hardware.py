"""Whether hardware computes, tried out by a timed kernel where an adapter's words do not tell."""

from __future__ import annotations

import logging
import os

from webinfer.browsers.lane import Lane
from webinfer.core.capabilities import Speeds, Verdict
from webinfer.core.errors import SoftwareAdapter, WebinferError
from webinfer.core.options import Backend
from webinfer.core.placement import LaneId, refuse_fallback
from webinfer.inference.route import Choice
from webinfer.pool.events import SessionLoaded
from webinfer.pool.pool import Pool

log = logging.getLogger("webinfer.proving")

SECONDS = 1.0
"""About what a measurement takes, once the lane has come to it."""
_PATIENCE = 30.0  # s for one, behind what the lane has to do before


async def prove(pool: Pool, id: LaneId, backend: Backend, *, always: bool = False) -> Verdict:
    """Return the verdict on a lane's backend, having timed its adapter where nothing else proves anything.

    An adapter is timed once in each browser's life. What fails leaves the verdict as it is, and is told in it.

    Args:
        pool: The lanes.
        id: The lane.
        backend: Its backend.
        always: Time it whatever its words say.
    """
    lane = pool.lanes.get(id)
    if lane is None:
        return Verdict("unproven", ("its lane is gone",))
    verdict = lane.verdict(backend)
    if backend != "webgpu" or lane.capabilities.speeds or not (always or verdict.kind == "unproven"):
        return verdict
    try:
        speeds = await _measure(lane)
    except (TimeoutError, WebinferError) as error:
        why = str(error) or f"no answer came within {_PATIENCE:g} s"
        return Verdict(verdict.kind, (*verdict.evidence, f"its speed could not be measured: {why}"))
    log.info("the adapter of lane %s: %s", id, speeds)
    if (browser := pool.browsers.get(id.browser)) is not None:
        browser.learn(speeds)
    return lane.verdict(backend)


async def require(pool: Pool, model: str, choice: Choice, loaded: SessionLoaded) -> None:
    """Refuse a session that is not what the caller insists on.

    Args:
        pool: The pool, whose option ``require_hardware`` counts.
        model: The model's name.
        choice: Where it runs, and what is required of that.
        loaded: How the session was created. Another model may have made it, without requiring the same.

    Raises:
        OperatorFallback: Nodes went to another backend, and ``require`` forbids that.
        SoftwareAdapter: It does not run in hardware, or nothing proves it, and the option asks for that.
        WebinferError: As the lane reported it.
    """
    if choice.require == "no-fallback":
        refuse_fallback(loaded.placement, choice.backend)
    if pool.options.require_hardware:
        await require_hardware(pool, model, choice.backend, loaded)


async def require_hardware(pool: Pool, model: str, backend: Backend, loaded: SessionLoaded) -> None:
    """Refuse a session that does not run in hardware.

    Args:
        pool: The pool.
        model: The model's name.
        backend: Backend that runs it.
        loaded: How its session was created.

    Raises:
        SoftwareAdapter: It does not, or nothing proves it.
    """
    verdict = (await prove(pool, loaded.lane, backend)).over(loaded.placement)
    if verdict.kind != "hardware":
        raise SoftwareAdapter(
            f"{model} runs in {verdict.kind} on {backend}: {'; '.join(verdict.evidence)}. "
            "Choose another backend or browser, or do without require_hardware.",
            verdict=verdict.kind,
            evidence=list(verdict.evidence),
            backend=backend,
        )


async def _measure(lane: Lane) -> Speeds:
    answer = await lane.measure(SECONDS, _PATIENCE)
    gpu, cpu = answer.gpu, answer.cpu
    return Speeds(
        gpu=(gpu.gflops, gpu.gbps),
        cpu=None if cpu is None else (cpu.gflops, cpu.gbps),
        cores=max(lane.capabilities.cores, os.cpu_count() or 1),  # pages may be told too few
    )
