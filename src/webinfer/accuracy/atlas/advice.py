"""What to change in an export, so that a backend computes a node rightly: the nearest row that is right there."""

from __future__ import annotations

from webinfer.accuracy.atlas.match import Chart, NodeFinding
from webinfer.accuracy.atlas.rows import AtlasRow, NodeFacts

_MOST = 2  # differences that an advice may name; beyond that it is another node


def advice(chart: Chart, finding: NodeFinding) -> str | None:
    """Return what to change of a node, in a sentence; ``None`` where no row that is right comes near.

    Args:
        chart: The rows of the place.
        finding: A node that the backend gets wrong there.
    """
    facts = finding.facts
    if not facts.traits:
        return None
    rows = [(changes, row) for row in chart.right(facts) if (changes := _changes(row, facts)) is not None]
    if not rows:
        return None
    changes, row = min(rows, key=lambda pair: len(pair[0]))
    words = " and ".join(f"{name}={value}" for name, value in changes.items())
    return f"{facts.operator} is right there with {words} ({row.case.name})."


def _changes(row: AtlasRow, facts: NodeFacts) -> dict[str, str] | None:
    """Return the attributes and traits of a right row that a node has otherwise; ``None`` where there are too many."""
    right = row.case.facts
    names = sorted(right.traits.keys() | facts.traits.keys())
    other = [name for name in names if name in facts.traits and right.traits.get(name) != facts.traits[name]]
    if right.dtypes != facts.dtypes or not other or len(other) > _MOST:
        return None
    changes = {}
    for name in other:
        plain = name.removeprefix("@")
        value = right.attributes.get(plain) or right.traits.get(name)
        if value is None:
            return None
        changes[_NAMES.get(plain, plain)] = value
    return changes


_NAMES = {"inputs": "inputs (d of the request, c constant)"}
