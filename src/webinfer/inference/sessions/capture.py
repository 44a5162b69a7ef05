"""Recorded runs: which ones a GPU may record and replay."""

from __future__ import annotations

from webinfer.core.options import Backend
from webinfer.core.tensors import Signature
from webinfer.pool.plan.buckets import Fit


class GraphCapture:
    """Which runs of a model a GPU may record and replay, and in plain words why others are not recorded.

    A recorded run is a list of shaders over fixed buffers. It needs sizes that stay the same, so there is a session for
    each shape. It also needs a graph that WebGPU runs whole, which the runtime checks when it makes the session.

    Args:
        signature: The model's.
        backend: Backend that runs it.
        wanted: Whether that was asked for.
    """

    def __init__(self, signature: Signature, backend: Backend, wanted: bool) -> None:
        self.wanted = wanted
        self._signature = signature
        self._refusal: str | None = None
        if wanted and backend != "webgpu":
            self.stop(f"that is WebGPU's, and this runs on {backend}")

    def __repr__(self) -> str:
        return f"<GraphCapture {self._refusal or ('wanted' if self.wanted else 'not wanted')}>"

    @property
    def open(self) -> bool:
        """Whether runs of some shape may still be recorded."""
        return self.wanted and self._refusal is None

    def fits(self, bucket: Fit) -> bool:
        """Return whether runs of this shape may be recorded: every size of every input is known.

        Args:
            bucket: The shape.
        """
        if not self.open:
            return False
        sizes = dict(bucket.padded)
        return all(isinstance(size, int) or size in sizes for spec in self._signature.inputs for size in spec.shape)

    def stop(self, reason: str) -> None:
        """Have no run recorded from now on.

        Args:
            reason: Why, in words.
        """
        self._refusal = self._refusal or reason

    def refuse(self, reason: str) -> None:
        """Stop because the runtime refused it, for a reason in its words.

        Args:
            reason: The runtime's words.
        """
        self.stop(f"the runtime refused it ({reason})")

    def note(self, outcome: bool | str | None, captured: bool) -> tuple[str, ...]:
        """Say why a run was not recorded, where that was asked for.

        Args:
            outcome: What its lane says: whether the run was recorded, or why it was not; ``None`` for nothing.
            captured: Whether its session was to be recorded.

        Returns:
            One note, or none.
        """
        if not self.wanted or isinstance(outcome, bool):
            return ()
        if captured and outcome:
            self.refuse(outcome)
        why = self._refusal or "sizes of its inputs are open, or its state stays on the lane between runs"
        return (f"no graph was captured: {why}",)
