"""What the host says: commands, which name the type of their answer, and messages that want none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar, get_args

import msgspec

from webinfer.core.capabilities import DeviceType
from webinfer.core.options import Backend
from webinfer.transport.wire.answers import (
    FeatureAnswer,
    LaneAnswer,
    LoadAnswer,
    MeasureAnswer,
    Ok,
    ProfileAnswer,
    RunAnswer,
)
from webinfer.transport.wire.messages import Message

A = TypeVar("A", bound=Ok)


class Welcome(Message, tag="welcome"):
    """The host's answer to a page's hello.

    Attributes:
        browser: The browser's id.
        heartbeat: Seconds between pings.
        patience: Seconds of silence after which the page takes the host for gone; ``None`` for never.
        max_message_bytes: Longest message to send.
    """

    browser: str
    heartbeat: float
    patience: float | None
    max_message_bytes: int


class Ping(Message, tag="ping"):
    """Ask a page for a sign of life."""


class Goodbye(Message, tag="goodbye"):
    """Have a page end its lanes and leave."""


class Command(Message, Generic[A], kw_only=True):
    """Base of what wants an answer of type ``A``. The conversation gives it its ``id`` when it is sent."""

    id: int = 0


class StartLaneCommand(Command[LaneAnswer], tag="start_lane", kw_only=True):
    """Have a page start a worker.

    Attributes:
        lane: The lane's id.
        token: Lets its socket in, once.
        access: Lets it read model files.
        threads: Threads that its WebAssembly sessions should use.
        max_message_bytes: Longest message to send.
    """

    lane: str
    token: str
    access: str
    threads: int
    max_message_bytes: int


class StopLaneCommand(Command[Ok], tag="stop_lane", kw_only=True):
    """Have a page terminate a worker."""

    lane: str


class FileSource(msgspec.Struct, frozen=True):
    """A file to fetch from the host."""

    url: str
    nbytes: int


class ExternalSource(msgspec.Struct, frozen=True):
    """A file of external data, which the graph calls ``path``."""

    path: str
    url: str
    nbytes: int


class LoadCommand(Command[LoadAnswer], tag="load", kw_only=True):
    """Have a lane create a session.

    Attributes:
        session: Its name.
        resident: Outputs that WebGPU leaves in its own memory.
        capture: Have the GPU record a run and replay it, if the runtime can.
        backend: Backend to create it for.
        model: The graph.
        external: Files of its external data.
        dimensions: Fixed sizes of symbolic dimensions, by name.
        device: WebNN's device type, where the backend is WebNN.
        store: Keep the files in the browser's own storage, and take them from there.
    """

    session: str
    resident: Sequence[str]
    capture: bool
    backend: Backend
    model: FileSource
    external: Sequence[ExternalSource]
    dimensions: Mapping[str, int]
    device: DeviceType | None
    store: bool


class RunCommand(Command[RunAnswer], tag="run", kw_only=True, omit_defaults=True):
    """Have a lane run a session on the tensors that come with the request.

    Attributes:
        session: Its name.
        outputs: Outputs to send; ``None`` for all.
        feeds: Handles of inputs that stayed on the lane, by input.
        keep: Handles to keep outputs or inputs under, by name.
        free: Handles to release once the run has succeeded.
        describe: Have the answer say what was kept.
    """

    session: str
    outputs: Sequence[str] | None
    feeds: Mapping[str, str] | None = None
    keep: Mapping[str, str] | None = None
    free: Sequence[str] | None = None
    describe: bool = False


class UnloadCommand(Command[Ok], tag="unload", kw_only=True):
    """Have a lane release a session."""

    session: str


class FreeCommand(Command[Ok], tag="free", kw_only=True):
    """Have a lane release tensors that stayed there."""

    handles: Sequence[str]


class ReadCommand(Command[Ok], tag="read", kw_only=True):
    """Have a lane send tensors that stay there, each named by its handle."""

    handles: Sequence[str]


class FeatureCommand(Command[FeatureAnswer], tag="features", kw_only=True):
    """Have a lane make a log-mel spectrogram of the tensors ``samples`` and ``filters``.

    Attributes:
        length: Samples that it covers.
        hop: Samples from one window to the next.
        workgroup: The shader's workgroup, across frames and down rows.
    """

    length: int
    hop: int
    workgroup: tuple[int, int]


class MeasureCommand(Command[MeasureAnswer], tag="measure", kw_only=True):
    """Have a lane time its GPU device and the CPU, in about ``limit`` ms."""

    limit: float


class ProfileCommand(Command[ProfileAnswer], tag="profile", kw_only=True):
    """Have a lane measure a model in a session of its own, with the tensors that come with the request.

    Attributes:
        backend: As in ``LoadCommand``, and so are all up to ``store``.
        operators: Measure each operator, and not the parts of a run.
        runs: Runs that count, at most.
        limit: ms after which no further run begins.
    """

    backend: Backend
    model: FileSource
    external: Sequence[ExternalSource]
    dimensions: Mapping[str, int]
    device: DeviceType | None
    store: bool
    operators: bool
    runs: int
    limit: float


HostToPage: TypeAlias = Welcome | Ping | Goodbye | StartLaneCommand | StopLaneCommand
HostToLane: TypeAlias = (
    LoadCommand
    | RunCommand
    | UnloadCommand
    | FreeCommand
    | ReadCommand
    | FeatureCommand
    | MeasureCommand
    | ProfileCommand
)


def answer_type(command: type[Command[A]]) -> type[A]:
    """Return the type of a command's answer.

    Args:
        command: A class of commands, such as ``LoadCommand``, which states it as ``Command[LoadAnswer]``.
    """
    base = vars(command)["__orig_bases__"][0]
    answer: type[A] = get_args(base)[0]
    return answer
