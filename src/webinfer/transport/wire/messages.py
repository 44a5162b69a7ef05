"""What pages and lanes say of their own accord, and the base of every message, as docs/reference/wire.md specifies.

A message is a struct whose tag is its ``kind``. What comes in is decoded into these structs, which checks every field:
nothing behind this boundary looks into JSON. ``web/src/wire/messages.ts`` has the same types: a test compares the two.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from webinfer.core.capabilities import CapabilityReport, Engine
from webinfer.core.errors import WebinferError, from_wire

PROTOCOL = 4
"""Version of the protocol, which a hello carries."""

LARGEST = 2**53 - 1
"""The largest whole number that JavaScript holds exactly."""

Count = Annotated[int, Meta(ge=0, le=LARGEST)]
"""A whole number, of bytes or of things."""

Bundle = Literal["jspi", "asyncify", "wasm"]
"""The builds of ONNX Runtime Web: with JSPI, with Asyncify, and without either."""


class Message(msgspec.Struct, tag_field="kind", kw_only=True):
    """Base of all messages."""

    @property
    def kind(self) -> str:
        """What it says."""
        return str(type(self).__struct_config__.tag)


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """An error as it crosses the wire.

    Attributes:
        code: A code of docs/reference/errors.md; newer pages may have others.
        message: What happened, and what to do.
        name: The JavaScript error's class.
        stack: The JavaScript error's stack.
        data: Names of the culprits, for programs.
    """

    code: str
    message: str
    name: str | None = None
    stack: str | None = None
    data: dict[str, Any] | None = None

    def to_exception(self) -> WebinferError:
        """Return the exception that it stands for."""
        data = dict(self.data or {})
        if self.name:
            data["name"] = self.name
        if self.stack:
            data["stack"] = self.stack
        return from_wire(self.code, self.message, data)


class RuntimeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A lane's runtime.

    Attributes:
        name: ``onnxruntime-web``.
        version: Its version.
        bundle: Which of its builds.
        threads: Threads that a WebAssembly session uses.
    """

    name: str
    version: str
    bundle: Bundle
    threads: Count

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.bundle}"


class PageHello(Message, tag="hello"):
    """The first message of a page."""

    protocol: int
    role: Literal["page"]
    user_agent: str
    engine: Engine
    engine_version: str


class LaneHello(Message, tag="hello"):
    """The first message of a lane."""

    protocol: int
    role: Literal["lane"]
    lane: str
    runtime: RuntimeInfo


class CapabilityNotice(Message, tag="capabilities"):
    """A page reports once what its browser can do."""

    capabilities: CapabilityReport


class LaneFailure(Message, tag="lane_failed"):
    """A worker of a page broke after its start."""

    lane: str
    error: ErrorBody


class Pong(Message, tag="pong"):
    """A page answers a ping."""


class DeviceFailure(Message, tag="lost"):
    """A lane lost its GPU device, or its runtime."""

    error: ErrorBody


class Failure(Message, tag="error"):
    """A request failed over there."""

    id: Count
    error: ErrorBody


class Transfer(Message, tag="progress"):
    """Bytes of a model were fetched for a load that is still going on; ``total`` is ``None`` where it is not known."""

    id: Count
    done: Count
    total: Count | None


PageNotice: TypeAlias = PageHello | CapabilityNotice | LaneFailure | Pong
LaneNotice: TypeAlias = LaneHello | DeviceFailure
Notice: TypeAlias = PageNotice | LaneNotice
"""A message that answers nothing."""

HELLOS: dict[str, type[PageHello] | type[LaneHello]] = {"page": PageHello, "lane": LaneHello}
NOTICES: dict[str, tuple[type[Message], ...]] = {
    "page": (CapabilityNotice, LaneFailure, Pong),
    "lane": (DeviceFailure,),
}
"""What a page or a lane sends of its own accord after its hello."""
