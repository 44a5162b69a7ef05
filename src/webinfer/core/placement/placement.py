"""Which backend each node of a session's graph went to, as the runtime itself reported it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from webinfer.core.errors import OperatorFallback
from webinfer.core.options import Backend

Nodes = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A count of nodes."""


class PlacementReport(msgspec.Struct, frozen=True, kw_only=True):
    """Where the nodes of a session went, as it crosses the wire; the attributes are those of ``Placement``."""

    nodes: dict[str, Nodes]
    fallen: dict[str, Nodes]
    copies: Nodes
    graphs: Nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the nodes of a session went, after the runtime's own rewriting of the graph.

    Attributes:
        backend: Backend that was asked for.
        nodes: Nodes by backend.
        fallen: Nodes that did not go to the backend asked for, by operator.
        copies: Nodes that the runtime added to copy tensors between backends; they are not among ``nodes``.
        graphs: Graphs that WebNN compiled: one for each run of nodes that it can take, so 1 is best; 0 elsewhere.
    """

    backend: Backend
    nodes: Mapping[str, int]
    fallen: Mapping[str, int]
    copies: int = 0
    graphs: int = 0

    @classmethod
    def of(cls, backend: Backend, report: PlacementReport) -> Placement:
        """Read a lane's report.

        Args:
            backend: Backend that was asked for.
            report: What the runtime reported.

        Returns:
            How many nodes went where.
        """
        return cls(
            backend=backend,
            nodes=report.nodes,
            fallen=report.fallen,
            copies=report.copies,
            graphs=report.graphs,
        )

    @property
    def total(self) -> int:
        """All nodes."""
        return sum(self.nodes.values())

    @property
    def whole(self) -> bool:
        """Whether every node went to the backend asked for."""
        return self.nodes.get(self.backend, 0) == self.total

    @property
    def share(self) -> float:
        """The part of the nodes that went to the backend asked for."""
        return self.nodes.get(self.backend, 0) / self.total if self.total else 0.0

    def __str__(self) -> str:
        graphs = f", in {self.graphs} graphs" if self.graphs > 1 else ""
        if self.whole:
            return f"all {self.total} nodes on {self.backend}{graphs}"
        others = [f"{count} on {name}" for name, count in self.nodes.items() if name != self.backend and count]
        named = f" ({operators(self.fallen)})" if self.fallen else ""
        own = f"{self.nodes.get(self.backend, 0)} of {self.total} nodes on {self.backend}{graphs}"
        return f"{own}, {', '.join(others)}{named}"

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "nodes": dict(self.nodes),
            "fallen": dict(self.fallen),
            "copies": self.copies,
            "graphs": self.graphs,
        }


def operators(counts: Mapping[str, int]) -> str:
    """Return which operators, and how many of each, the most first.

    Args:
        counts: Counts by operator.
    """
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in ranked)


def refuse_fallback(placement: Placement | None, backend: Backend) -> None:
    """Refuse a session some of whose nodes went to another backend than the one asked for.

    Args:
        placement: Where the nodes went; ``None`` where that is not known.
        backend: The backend that was asked for.

    Raises:
        OperatorFallback: Some did, or the runtime does not report it.
    """
    if placement is None:
        why = "The runtime did not tell where its nodes went, so that none fell back is not proven."
        raise OperatorFallback(why, backend=backend)
    if not placement.whole:
        raise OperatorFallback(
            f"{placement}: choose another backend or export without these operators, or do without require.",
            backend=backend,
            operators=dict(placement.fallen),
            nodes=dict(placement.nodes),
        )
