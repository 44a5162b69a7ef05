"""What the atlas says of a model at a place: the nodes that a backend gets wrong, or that end its lane."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from onnx import GraphProto, ModelProto

from webinfer.accuracy.atlas.match import AtlasPlace, Chart, NodeFinding
from webinfer.accuracy.atlas.rows import Atlas
from webinfer.accuracy.atlas.store import known
from webinfer.accuracy.atlas.traits import facts_of
from webinfer.models.files.package import ModelFile
from webinfer.models.graphs.outline import outline

_CHARTS = 16  # places whose rows stay at hand: each browser here has three
_MODELS = 64


def faults(model: ModelFile, place: AtlasPlace) -> tuple[NodeFinding, ...]:
    """Return the nodes of a graph that the atlas knows to be wrong at a place, or to end their lane.

    Args:
        model: The graph as it goes to the lane.
        place: Where it is to run.

    Returns:
        A finding for each such node; empty where there is none, or nothing is known of the place.

    Raises:
        InvalidModel: The file is not ONNX, or is cut off.
    """
    return _faults(model.path, model.sha256, _chart(known(), place))


def findings(model: ModelProto, chart: Chart) -> list[NodeFinding]:
    """Return what is known of each node of a graph.

    Args:
        model: The graph, or its outline.
        chart: The rows of a place.

    Returns:
        A finding for each node in the graph's order, but for constants.
    """
    return [
        chart.look_up(node.name or next(iter(node.output), ""), facts)
        for node, facts in facts_of(model)
        if node.op_type != "Constant"
    ]


@lru_cache(maxsize=_CHARTS)
def _chart(atlas: Atlas, place: AtlasPlace) -> Chart:
    return Chart(atlas, place)


@lru_cache(maxsize=_MODELS)
def _faults(path: Path, sha256: str, chart: Chart) -> tuple[NodeFinding, ...]:
    suspects = chart.suspects()
    if not suspects:
        return ()
    model = outline(path, sha256)
    if not suspects & _operators(model.graph):  # most models: no shapes need be inferred
        return ()
    return tuple(finding for finding in findings(model, chart) if finding.bad)


def _operators(graph: GraphProto) -> set[tuple[str, str]]:
    """Return the operators of a graph and its subgraphs, by domain and name."""
    operators = set()
    for node in graph.node:
        operators.add(("" if node.domain == "ai.onnx" else node.domain, node.op_type))
        for attribute in node.attribute:
            if attribute.HasField("g"):
                operators |= _operators(attribute.g)
    return operators
