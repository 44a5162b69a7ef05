"""One socket's conversation, without I/O and without a clock: ids, answers, heartbeats.

The shell around it feeds ``receive()`` with frames and ``tick()`` with the time, and sends what they return.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from webinfer.core.errors import WebinferError, from_wire
from webinfer.transport.wire.codec import Buffer, Message, Parts, Tensors, decode, encode, encode_parts
from webinfer.transport.wire.messages import check, check_hello

MISSED = 3
"""Heartbeats in a row without a sign of life after which the other side counts as lost."""


@dataclass(slots=True)
class Answer:
    """A request succeeded."""

    id: int
    message: Message


@dataclass(slots=True)
class Failure:
    """A request failed over there."""

    id: int
    error: WebinferError


@dataclass(slots=True)
class Transfer:
    """Bytes moved for a request that is still going on; ``total`` is ``None`` where it is not known."""

    id: int
    done: int
    total: int | None


@dataclass(slots=True)
class Notice:
    """A message that answers nothing: hello, capabilities, lost, lane_failed."""

    message: Message


Event = Answer | Failure | Transfer | Notice


class Session:
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
        self.pending: set[int] = set()  # ids sent and not yet answered
        self._last_id = 0
        self._pinged = False
        self._last_heard = self._last_tick = now
        self.stalled = 0.0  # by how many seconds the last tick was late
        self.missed = 0  # pings after which nothing was heard until the next one was due

    def __repr__(self) -> str:
        return f"<Session {self.role} greeted={self.greeted} pending={len(self.pending)}>"

    def request(self, kind: str, fields: dict[str, Any], tensors: Tensors | None = None) -> tuple[int, Parts]:
        """Make a request.

        Returns:
            Its id, and the frame to send, in pieces.

        Raises:
            FrameTooLarge: It is longer than ``max_bytes``. Nothing is pending then.
        """
        number = self._last_id + 1
        frame = encode_parts({"kind": kind, "id": number, **fields}, tensors, self.max_bytes)
        self._last_id = number
        self.pending.add(number)
        return number, frame

    def notify(self, kind: str, **fields: Any) -> bytes:
        """Make a message that wants no answer."""
        return encode({"kind": kind, **fields}, None, self.max_bytes)

    def forget(self, number: int) -> None:
        """Drop a request: an answer that comes late is ignored."""
        self.pending.discard(number)

    def receive(self, frame: Buffer, now: float) -> Event | None:
        """Take in a frame.

        Returns:
            What it means, or ``None`` where there is nothing to do (a pong, a late answer).

        Raises:
            ProtocolError: The other side broke the protocol; the socket should be closed.
        """
        self._last_heard = now
        message = decode(frame)
        if not self.greeted:
            check_hello(message, self.role)
            self.greeted = True
            self._last_tick = now
            return Notice(message)
        check(message, self.role)
        match message.kind:
            case "ok":
                return Answer(message.id, message) if self._settle(message.id) else None
            case "error":
                return Failure(message.id, from_wire(message.fields["error"])) if self._settle(message.id) else None
            case "progress":
                if message.id not in self.pending:
                    return None
                return Transfer(message.id, message.fields["done"], message.fields.get("total"))
            case "pong":
                return None
        return Notice(message)

    def _settle(self, number: int) -> bool:
        if number in self.pending:
            self.pending.remove(number)
            return True
        return False

    def tick(self, now: float) -> bytes | None:
        """Return the ping to send now, or ``None`` when the other side has been silent for too long.

        Call it every ``heartbeat`` seconds. What a tick is late by is time in which nobody here listened or pinged, and
        is not held against the other side.
        """
        assert self.heartbeat is not None
        self.stalled = max(0.0, now - self._last_tick - self.heartbeat)
        if self._pinged and self._last_heard < self._last_tick and self.stalled < self.heartbeat:
            self.missed += 1
        self._last_tick = now
        self._last_heard = min(now, self._last_heard + self.stalled)
        if now - self._last_heard > MISSED * self.heartbeat:
            return None
        self._pinged = True
        return self.notify("ping")
