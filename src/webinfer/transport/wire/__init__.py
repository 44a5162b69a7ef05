"""The wire protocol, without I/O: bytes in, messages out. docs/reference/wire.md is its specification."""

from __future__ import annotations

from webinfer.transport.wire.codec import Message, decode, encode
from webinfer.transport.wire.conversation import Answer, Event, Failure, Notice, Session, Transfer

__all__ = ["Answer", "Event", "Failure", "Message", "Notice", "Session", "Transfer", "decode", "encode"]
