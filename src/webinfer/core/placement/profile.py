"""Where the time of a run goes in a browser: the parts of the run, and its operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from webinfer.core.options import Backend

COMPILED = "compiled graph"
"""What stands for a graph that WebNN compiled, which is one node to the runtime."""
_PROVIDERS = {"CPUExecutionProvider": "wasm", "WebGpuExecutionProvider": "webgpu", "WebNNExecutionProvider": "webnn"}
_COPY = "Memcpy"  # how the runtime's nodes that copy between backends begin

Milliseconds = Annotated[float, msgspec.Meta(ge=-1e10, le=1e10)]
"""A duration by differences of clock readings, which may be a little below zero."""


class PhaseReport(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of one run as they cross the wire, in milliseconds; see ``Phases``."""

    upload: Milliseconds
    run: Milliseconds
    readback: Milliseconds
    total: Milliseconds


class OperatorReport(msgspec.Struct, frozen=True, kw_only=True):
    """All nodes of an operator that ran on one execution provider, as they cross the wire.

    Attributes:
        operator: Its name in the graph, as the runtime rewrote it.
        provider: The execution provider, by the runtime's name.
        nodes: How many ran in one run; a mean over the runs.
        ms: In their kernels, in one run; ``None`` where the runtime does not report it.
    """

    operator: str
    provider: str
    nodes: Annotated[float, msgspec.Meta(ge=0, le=1e10)]
    ms: Milliseconds | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """The parts of a run, in seconds.

    Attributes:
        upload: Making the input tensors, copying them into the runtime's memory and handing them to the device.
        run: From there until the outputs are computed. What a GPU takes in of the inputs in its own time is in it.
        readback: Taking the outputs from the device and out of the runtime's memory.
    """

    upload: float
    run: float
    readback: float

    @property
    def total(self) -> float:
        """The whole run."""
        return self.upload + self.run + self.readback

    def to_dict(self) -> dict[str, float]:
        """Return it ready for JSON."""
        return {"upload": self.upload, "run": self.run, "readback": self.readback}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """All nodes of an operator that ran on one backend.

    Attributes:
        name: Its name in the graph, as the runtime rewrote it.
        backend: Where its nodes ran; the runtime's own name where we have none.
        nodes: How many ran in one run.
        seconds: In their kernels, in one run: on WebGPU by the GPU's clock. ``None`` where that is not known.
    """

    name: str
    backend: str
    nodes: int
    seconds: float | None

    @property
    def copies(self) -> bool:
        """Whether the runtime added it to copy tensors between backends."""
        return self.name.startswith(_COPY)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"name": self.name, "backend": self.backend, "nodes": self.nodes, "seconds": self.seconds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a session that was made for measuring reported.

    Attributes:
        backend: Backend that was asked for.
        phases: The parts of the run of median length; ``None`` where the runtime did not report them.
        operators: The most time first, then those whose time is not known.
    """

    backend: Backend
    phases: Phases | None
    operators: tuple[Operator, ...]

    @classmethod
    def of(cls, backend: Backend, phases: Sequence[PhaseReport], operators: Sequence[OperatorReport]) -> Profile:
        """Read a lane's reports.

        Args:
            backend: Backend that was asked for.
            phases: The parts of each run.
            operators: The time of each operator.

        Returns:
            Seconds of each part and of each operator.
        """
        ranked = sorted(phases, key=attrgetter("total"))
        middle = ranked[len(ranked) // 2] if ranked else None
        parts = Phases(**{name: getattr(middle, name) / 1e3 for name in Phases.__slots__}) if middle else None
        return cls(backend=backend, phases=parts, operators=tuple(sorted(map(_operator, operators), key=_rank)))

    @property
    def timed(self) -> tuple[Operator, ...]:
        """The operators whose time is known."""
        return tuple(operator for operator in self.operators if operator.seconds is not None)

    @property
    def untold(self) -> str | None:
        """What the runtime does not report of the operators, in a sentence; ``None`` where it reports all."""
        if not self.operators:
            return f"The runtime tells of no operator on {self.backend}."
        graphs = sum(operator.nodes for operator in self.operators if operator.name == COMPILED)
        if graphs:
            what = "one graph" if graphs == 1 else f"{graphs} graphs"
            return f"WebNN compiles its nodes into {what}, and tells no time of what is inside."
        if any(operator.seconds is None and not operator.copies for operator in self.operators):
            return (
                f"The runtime does not tell how long operators take on {self.backend}: the device has no clock for it."
            )
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "phases": self.phases.to_dict() if self.phases else None,
            "operators": [operator.to_dict() for operator in self.operators],
            "untold": self.untold,
        }


def _operator(report: OperatorReport) -> Operator:
    return Operator(
        name=report.operator,
        backend=_PROVIDERS.get(report.provider, report.provider),
        nodes=round(report.nodes),
        seconds=None if report.ms is None else report.ms / 1e3,
    )


def _rank(operator: Operator) -> tuple[bool, float, str]:
    return (operator.seconds is None, -(operator.seconds or 0.0), operator.name)
