"""What ``webinfer locate`` shows: the first wrong node, both values, and the files that show it."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from webinfer.api.services.locate import LocatedFault
from webinfer.cli.output.layout import heading, pairs


def view(name: str, backend: str, fault: LocatedFault | None) -> RenderableType:
    """Lay out where a model goes wrong.

    Args:
        name: The model's name.
        backend: The backend.
        fault: The place; ``None`` where nothing is wrong.

    Returns:
        Tables and sentences, to be printed.
    """
    if fault is None:
        return Text(f"{name} on {backend}: every value is what native onnxruntime computes.")
    place = fault.location
    rows = [
        ("node", Text(f"{place.node}, number {place.number + 1:,} of {place.nodes:,}")),
        ("operator", Text(f"{place.domain + '.' if place.domain else ''}{place.operator}")),
        ("attributes", Text(json.dumps(place.attributes) if place.attributes else "none")),
        ("fault", Text(place.fault)),
    ]
    if (worst := place.difference) is not None:
        where = ", ".join(map(str, worst.index))
        rows += [
            ("worst value", Text(f"{worst.output}[{where}] is {worst.browser:.7g}, and natively {worst.native:.7g}")),
            ("wrong values", Text(f"{worst.wrong:,} of {worst.size:,}")),
        ]
    nodes = "the node alone" if place.excerpt_nodes == 1 else f"{place.excerpt_nodes:,} nodes"
    files = [
        ("model", Text(f"{fault.model} ({nodes})")),
        ("inputs, outputs", Text(str(fault.arrays))),
        ("page", Text(f"{fault.page}: open it in a browser, or attach it to a report")),
    ]
    return Group(heading(f"{name} goes wrong on {backend}"), pairs(rows), heading("Files that show it"), pairs(files))


def to_dict(name: str, backend: str, fault: LocatedFault | None) -> dict[str, Any]:
    """Return the same, ready for JSON.

    Args:
        name: The model's name.
        backend: The backend.
        fault: The place; ``None`` where nothing is wrong.
    """
    if fault is None:
        return {"model": name, "backend": backend, "fault": None}
    place, worst = fault.location, fault.location.difference
    return {
        "model": name,
        "backend": backend,
        "fault": place.fault,
        "node": place.node,
        "number": place.number,
        "nodes": place.nodes,
        "operator": place.operator,
        "domain": place.domain,
        "attributes": dict(place.attributes),
        "difference": None
        if worst is None
        else {
            "output": worst.output,
            "index": list(worst.index),
            "native": worst.native,
            "browser": worst.browser,
            "wrong": worst.wrong,
            "size": worst.size,
        },
        "excerpt_nodes": place.excerpt_nodes,
        "files": {"model": fault.model, "arrays": fault.arrays, "page": fault.page},
        "runs": place.runs,
    }
