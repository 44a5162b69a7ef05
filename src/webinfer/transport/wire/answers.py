"""What pages and lanes answer, by the request that was made. Times are in milliseconds of the lane's clock."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from webinfer.core.placement import OperatorReport, PhaseReport, PlacementReport
from webinfer.transport.wire.messages import Bundle, Count, Message

Milliseconds = Annotated[float, Meta(ge=0, le=1e10)]
"""A duration; the bound is about a hundred days."""

Speed = Annotated[float, Meta(gt=0, le=1e12)]
"""In 10^9 a second."""


class Ok(Message, tag="ok"):
    """Base of what answers a request, and the whole answer to one that only wants it done."""


class LaneAnswer(Ok, tag="ok"):
    """The answer to ``start_lane``: the worker's script runs."""

    lane: str


class LoadTiming(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the time of a load went."""

    fetch: Milliseconds
    create: Milliseconds


class LoadAnswer(Ok, tag="ok"):
    """The answer to ``load``.

    Attributes:
        inputs: Names of the session's inputs.
        outputs: Names of its outputs.
        timing: Where the time went.
        nbytes: Size of its files.
        stored: How many of these bytes came from the browser's own storage.
        placement: Where its nodes went, if the runtime reports it.
        captured: Whether the session's last run was replayed, or why none will be; only where capture was asked for.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    timing: LoadTiming
    nbytes: Count
    stored: Count
    placement: PlacementReport | None
    captured: bool | str | None = None


class RunTiming(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the time of a run went.

    Attributes:
        wait: From receipt to start.
        run: In the runtime.
        encode: Making the answer's frame, if it was measured.
    """

    wait: Milliseconds
    run: Milliseconds
    encode: Milliseconds | None = None


class KeptTensor(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor that stays on the lane.

    Attributes:
        dtype: Its type, by the name that tensors have on the wire.
        dims: Its shape.
    """

    dtype: str
    dims: tuple[Count, ...]


class RunAnswer(Ok, tag="ok"):
    """The answer to ``run``, whose tensors come with it; ``captured`` is as in a ``LoadAnswer``.

    Attributes:
        timing: Where the time went.
        kept: What was kept, by handle, where that was asked for.
        captured: As in a ``LoadAnswer``.
        bundle: The build of the runtime that ran it, where it is another than the lane's own.
    """

    timing: RunTiming
    kept: dict[str, KeptTensor] | None = None
    captured: bool | str | None = None
    bundle: Bundle | None = None


class FeatureAnswer(Ok, tag="ok"):
    """The answer to ``features``, whose tensor comes with it."""

    timing: RunTiming


class SpeedReport(msgspec.Struct, frozen=True, kw_only=True):
    """How fast something computes and moves memory.

    Attributes:
        gflops: Additions and multiplications, in 10^9 a second.
        gbps: Memory moved, in GB/s.
    """

    gflops: Speed
    gbps: Speed


class MeasureAnswer(Ok, tag="ok"):
    """The answer to ``measure``; ``cpu`` is ``None`` where WebAssembly has no vectors."""

    gpu: SpeedReport
    cpu: SpeedReport | None


class ProfileAnswer(Ok, tag="ok"):
    """The answer to ``profile``: the parts of each run, or each operator's time."""

    phases: tuple[PhaseReport, ...]
    operators: tuple[OperatorReport, ...]
