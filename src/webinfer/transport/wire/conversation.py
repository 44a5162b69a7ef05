"""One socket's conversation, without I/O and without a clock: ids, answers, heartbeats.

The shell around it feeds ``receive()`` with frames and ``tick()`` with the time, and sends what they return.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeAlias

import msgspec
from numpy.typing import NDArray

from webinfer.core.errors import MalformedFrame, UnknownKind, VersionMismatch
from webinfer.transport.wire.answers import Ok
from webinfer.transport.wire.codec import Buffer, Frame, Parts, Tensors, decode, encode, encode_parts
from webinfer.transport.wire.commands import A, Command, Ping, answer_type
from webinfer.transport.wire.messages import HELLOS, NOTICES, PROTOCOL, Failure, Message, Notice, Transfer

MISSED = 3
"""Heartbeats in a row without a sign of life after which the other side counts as lost."""


@dataclass(slots=True)
class Reply(Generic[A]):
    """A request succeeded.

    Attributes:
        id: The request.
        answer: What it was answered.
        tensors: Arrays by name that came with the answer; they are views of the frame's bytes.
    """

    id: int
    answer: A
    tensors: dict[str, NDArray[Any]]


Received: TypeAlias = Reply[Any] | Failure | Transfer | Notice
"""What a frame may mean: the end of a request, news of one, or a message that answers nothing."""

AnswerDecoder: TypeAlias = "msgspec.json.Decoder[Any]"


class _Opening(msgspec.Struct):
    """The part of a hello that every version of the protocol has."""

    protocol: int
    role: str


_read_opening = msgspec.json.Decoder(_Opening)
_read_failure, _read_transfer = msgspec.json.Decoder(Failure), msgspec.json.Decoder(Transfer)
_hello_decoders = {role: msgspec.json.Decoder(hello) for role, hello in HELLOS.items()}
_notice_decoders: dict[str, dict[str, msgspec.json.Decoder[Any]]] = {
    role: {str(notice.__struct_config__.tag): msgspec.json.Decoder(notice) for notice in notices}
    for role, notices in NOTICES.items()
}


@cache
def _answer_decoder(request: type[Command[Ok]]) -> AnswerDecoder:
    return msgspec.json.Decoder(answer_type(request))


class Conversation:
    """The host's side of one socket.

    Args:
        role: Who is at the other end: ``"page"`` or ``"lane"``.
        max_bytes: Longest frame to send.
        heartbeat: Seconds between pings, or ``None`` for none. A lane gets none: it cannot answer while it
            computes, and its page answers for it.
        now: The time, in seconds.
    """

    def __init__(self, role: str, max_bytes: int, heartbeat: float | None, now: float) -> None:
        self.role = role
        self.max_bytes = max_bytes
        self.heartbeat = heartbeat
        self.greeted = False
        self.pending: dict[int, AnswerDecoder] = {}  # requests sent and not yet answered, and what reads their answer
        self._last_id = 0
        self._pinged = False
        self._last_received = self._last_tick = now
        self.stalled = 0.0  # by how many seconds the last tick was late
        self.missed = 0  # pings after which nothing came until the next one was due

    def __repr__(self) -> str:
        return f"<Conversation {self.role} greeted={self.greeted} pending={len(self.pending)}>"

    def request(self, request: Command[Any], tensors: Tensors | None = None) -> tuple[int, Parts]:
        """Make a request.

        Args:
            request: What to ask. It gets the id that it goes by.
            tensors: C-contiguous little-endian arrays that go with it, by name.

        Returns:
            Its id, and the frame to send, in pieces.

        Raises:
            FrameTooLarge: It is longer than ``max_bytes``. Nothing is pending then.
        """
        number = request.id = self._last_id + 1
        frame = encode_parts(request, tensors, self.max_bytes)
        self._last_id = number
        self.pending[number] = _answer_decoder(type(request))
        return number, frame

    def notify(self, message: Message) -> bytes:
        """Make a message that wants no answer.

        Args:
            message: What to say.

        Returns:
            A whole frame, ready to be sent.
        """
        return encode(message, None, self.max_bytes)

    def forget(self, number: int) -> None:
        """Drop a request: an answer that comes late is ignored.

        Args:
            number: Its id.
        """
        self.pending.pop(number, None)

    def receive(self, data: Buffer, now: float) -> Received | None:
        """Take in a frame.

        Args:
            data: Its bytes.
            now: The time, in seconds.

        Returns:
            What it means, or ``None`` where there is nothing to do: a pong, or news of a request that nobody waits for.

        Raises:
            UnknownKind: The message is of no known kind.
            ProtocolError: The other side broke the protocol; the socket should be closed.
        """
        self._last_received = now
        frame = decode(data)
        if not self.greeted:
            hello = self._read_hello(frame)
            self.greeted = True
            self._last_tick = now  # the first heartbeat is counted from the hello
            return hello
        match frame.kind:
            case "ok":
                decoder = self.pending.pop(frame.id, None)
                return Reply(frame.id, frame.read(decoder), frame.tensors) if decoder is not None else None
            case "error":
                return frame.read(_read_failure) if self.pending.pop(frame.id, None) is not None else None
            case "progress" if self.role == "lane":
                return frame.read(_read_transfer) if frame.id in self.pending else None
            case "pong" if self.role == "page":
                return None
        decoder = _notice_decoders[self.role].get(frame.kind)
        if decoder is None:
            kind = frame.kind[:40]
            raise UnknownKind(f"A {self.role} does not send {kind!r} messages after its hello.", kind=kind)
        notice: Notice = frame.read(decoder)
        return notice

    def _read_hello(self, frame: Frame) -> Notice:
        """Return the first message; another version's hello may have other fields, so the version is read first.

        Raises:
            MalformedFrame: It is no hello of this role.
            VersionMismatch: It is of another version.
        """
        opening = frame.read(_read_opening) if frame.kind == "hello" else None
        if opening is None or opening.role != self.role:
            raise MalformedFrame(f"The first message of a {self.role} must be its hello, not {frame.kind[:40]!r}.")
        if opening.protocol != PROTOCOL:
            raise VersionMismatch(
                f"The page speaks protocol {opening.protocol}, this package {PROTOCOL}: "
                "build the page again (`make web`), or reload it.",
            )
        return frame.read(_hello_decoders[self.role])

    def tick(self, now: float) -> bytes | None:
        """Return the ping to send now, or ``None`` when the other side has been silent for too long.

        Call it every ``heartbeat`` seconds. While a tick is late, this side neither listens nor pings, so that time
        is not counted against the other side.

        Args:
            now: Now, on the steady clock, in seconds.
        """
        assert self.heartbeat is not None
        self.stalled = max(0.0, now - self._last_tick - self.heartbeat)
        if self._pinged and self._last_received < self._last_tick and self.stalled < self.heartbeat:
            self.missed += 1
        self._last_tick = now
        # What the tick is late by is added, as if the last frame had come that much later.
        self._last_received = min(now, self._last_received + self.stalled)
        if now - self._last_received > MISSED * self.heartbeat:
            return None
        self._pinged = True
        return self.notify(Ping())
