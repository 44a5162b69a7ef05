"""What the atlas says of a model before it is loaded: ``auto`` passes over its backend, or a caller is warned."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from webinfer.accuracy.atlas.match import AtlasPlace, NodeFinding
from webinfer.accuracy.atlas.steering import faults
from webinfer.browsers.lane import Lane
from webinfer.core.errors import WebinferError
from webinfer.core.options import Backend
from webinfer.models.files.package import ModelFile

log = logging.getLogger("webinfer.atlas")

_QUOTED = 3  # nodes that a note quotes; a model may have hundreds of a kind


async def forecast(graph: ModelFile, lanes: Sequence[Lane], backend: Backend) -> tuple[NodeFinding, ...]:
    """Return the nodes that a backend is known to get wrong, or that end its lane, wherever a model may go.

    Args:
        graph: The graph as it goes to a lane.
        lanes: The lanes that it may go to.
        backend: The backend.

    Returns:
        The findings of the first place; empty where one of the places is not known to be bad, or no lane is up.
    """
    found: tuple[NodeFinding, ...] = ()
    for place in dict.fromkeys(place_of(lane, backend) for lane in lanes):
        try:
            here = await asyncio.to_thread(faults, graph, place)
        except WebinferError as error:  # without the atlas a model loads as before, and the gate holds
            log.warning("the atlas was not asked about %s: %s", graph.name, error)
            return ()
        if not here:
            return ()
        found = found or here
    return found


def place_of(lane: Lane, backend: Backend) -> AtlasPlace:
    """Return where a model runs on a lane.

    Args:
        lane: The lane.
        backend: The backend.
    """
    capabilities = lane.capabilities
    adapter = capabilities.adapter if backend == "webgpu" else None
    return AtlasPlace(
        capabilities.engine,
        capabilities.engine_version,
        lane.runtime,
        backend,
        str(adapter) if adapter else "",
    )


def reason(findings: Sequence[NodeFinding]) -> str:
    """Return why a backend is passed over, with the first row that says so.

    Args:
        findings: Nodes that the backend gets wrong; at least one.
    """
    more = f", and {len(findings) - 1} nodes more" if len(findings) > 1 else ""
    return f"{findings[0].quote()}{more}"


def warnings(model: str, findings: Sequence[NodeFinding]) -> tuple[str, ...]:
    """Log what the atlas says against a backend that the caller named, and return it as notes for results.

    Args:
        model: The model's name.
        findings: Nodes that the backend gets wrong.

    Returns:
        A note for each of the first nodes, quoting a row, and one for the rest; empty where there are no findings.
    """
    notes = [finding.quote() for finding in findings[:_QUOTED]]
    more = len(findings) - _QUOTED
    if more > 0:
        notes.append(f"the atlas speaks against {more} nodes more: see `webinfer check`")
    for note in notes:
        log.warning("%s: %s", model, note)
    return tuple(notes)
