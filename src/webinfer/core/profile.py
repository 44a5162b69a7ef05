"""Where the time of a run goes in a browser: the parts of the run, and its operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webinfer.core.options import Backend

COMPILED = "compiled graph"
"""What stands for a graph that WebNN compiled, which is one node to the runtime."""
_PROVIDERS = {"CPUExecutionProvider": "wasm", "WebGpuExecutionProvider": "webgpu", "WebNNExecutionProvider": "webnn"}
_COPY = "Memcpy"  # how the runtime's nodes that copy between backends begin


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
        seconds: In their kernels, in one run: on WebGPU by the GPU's clock. ``None`` where the runtime does not tell.
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
    """What a session made for measuring told.

    Attributes:
        backend: Backend that was asked for.
        phases: The parts of the run in the middle, by its length; ``None`` where the runtime did not tell.
        operators: The most time first, then those whose time is not told.
    """

    backend: Backend
    phases: Phases | None
    operators: tuple[Operator, ...]

    @classmethod
    def of(
        cls, backend: Backend, phases: Sequence[Mapping[str, Any]], operators: Sequence[Mapping[str, Any]]
    ) -> Profile:
        """Read a lane's reports, of which each run's parts are in milliseconds.

        Raises:
            KeyError, TypeError, ValueError: They are something else.
        """
        ranked = sorted(phases, key=lambda each: float(each["total"]))
        middle = ranked[len(ranked) // 2] if ranked else None
        parts = Phases(**{name: float(middle[name]) / 1e3 for name in Phases.__slots__}) if middle else None
        found = [_read(each) for each in operators]
        return cls(backend=backend, phases=parts, operators=tuple(sorted(found, key=_rank)))

    @property
    def timed(self) -> tuple[Operator, ...]:
        """The operators whose time is told."""
        return tuple(each for each in self.operators if each.seconds is not None)

    @property
    def untold(self) -> str | None:
        """What the runtime does not tell of the operators, in a sentence; ``None`` where it tells all."""
        if not self.operators:
            return f"The runtime tells of no operator on {self.backend}."
        graphs = sum(each.nodes for each in self.operators if each.name == COMPILED)
        if graphs:
            what = "one graph" if graphs == 1 else f"{graphs} graphs"
            return f"WebNN compiles its nodes into {what}, and tells no time of what is inside."
        if any(each.seconds is None and not each.copies for each in self.operators):
            return (
                f"The runtime does not tell how long operators take on {self.backend}: the device has no clock for it."
            )
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "phases": self.phases.to_dict() if self.phases else None,
            "operators": [each.to_dict() for each in self.operators],
            "untold": self.untold,
        }


def _read(told: Mapping[str, Any]) -> Operator:
    provider, nodes, ms = str(told["provider"]), float(told["nodes"]), told["ms"]
    backend = _PROVIDERS.get(provider, provider)
    seconds = None if ms is None else float(ms) / 1e3
    return Operator(name=str(told["operator"]), backend=backend, nodes=round(nodes), seconds=seconds)


def _rank(operator: Operator) -> tuple[bool, float, str]:
    return (operator.seconds is None, -(operator.seconds or 0.0), operator.name)
