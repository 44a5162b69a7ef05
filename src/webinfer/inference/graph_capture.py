"""Graph capture: which runs a GPU may replay from what it recorded, and in plain words why others are not.

A recorded run is a list of shaders over fixed buffers. So it needs sizes that stay the same, which a session for each
shape gives it, and a graph that WebGPU runs whole, which the runtime looks at itself when the session is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webinfer.core.options import Backend
from webinfer.core.tensors import Signature
from webinfer.pool.plan.buckets import Fit


class Captures:
    """The runs of one model, as far as they may be recorded.

    Args:
        signature: The model's.
        backend: Backend that runs it.
        wanted: Whether that was asked for.
    """

    def __init__(self, signature: Signature, backend: Backend, wanted: bool) -> None:
        self._signature = signature
        self._refusal: str | None = None
        self.wanted = wanted
        if wanted and backend != "webgpu":
            self.give_up(f"that is WebGPU's, and this runs on {backend}")

    def __repr__(self) -> str:
        return f"<Captures {self._refusal or ('wanted' if self.wanted else 'not wanted')}>"

    @property
    def open(self) -> bool:
        """Whether runs of some shape may still be recorded."""
        return self.wanted and self._refusal is None

    def fits(self, how: Fit) -> bool:
        """Say whether runs of this shape may be recorded: every size of every input is known."""
        if not self.open:
            return False
        sizes = dict(how.padded)
        return all(isinstance(size, int) or size in sizes for spec in self._signature.inputs for size in spec.shape)

    def give_up(self, reason: str) -> None:
        """Have no run recorded from now on."""
        self._refusal = self._refusal or reason

    def refused(self, reason: str) -> None:
        """Give up for what the runtime said."""
        self.give_up(f"the runtime refused it ({reason})")

    def note(self, told: Mapping[str, Any], captured: bool) -> tuple[str, ...]:
        """Say why a run was not recorded, where that was asked for.

        Args:
            told: What its lane answered.
            captured: Whether its session was to be.
        """
        said = told.get("captured")
        if not self.wanted or isinstance(said, bool):
            return ()
        if captured and said:
            self.refused(said)
        why = self._refusal or "sizes of its inputs are open, or its state stays on the lane between runs"
        return (f"no graph was captured: {why}",)
