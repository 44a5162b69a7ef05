"""The kinds of message that a browser may send, and the fields that each must have."""

from __future__ import annotations

from webinfer.core.errors import MalformedFrame, UnknownKind, VersionMismatch
from webinfer.transport.wire.codec import Message

PROTOCOL = 4

Fields = dict[str, type | tuple[type, ...]]

FROM_PAGE: dict[str, Fields] = {
    "hello": {"protocol": int, "role": str, "user_agent": str, "engine": str, "engine_version": str},
    "capabilities": {"capabilities": dict},
    "lane_failed": {"lane": str, "error": dict},
    "pong": {},
    "ok": {},
    "error": {"error": dict},
}
FROM_LANE: dict[str, Fields] = {
    "hello": {"protocol": int, "role": str, "lane": str, "runtime": dict},
    "progress": {"done": int},
    "lost": {"error": dict},
    "ok": {},
    "error": {"error": dict},
}
FROM_BROWSER = {"page": FROM_PAGE, "lane": FROM_LANE}


def check(message: Message, role: str) -> None:
    """Check a message from a browser.

    Args:
        message: What came.
        role: Who sent it: ``"page"`` or ``"lane"``.

    Raises:
        UnknownKind: A kind that this role does not send.
        MalformedFrame: A field is missing or of the wrong type.
    """
    required = FROM_BROWSER[role].get(message.kind)
    if required is None:
        raise UnknownKind(f"A {role} does not send {message.kind!r} messages.", kind=message.kind)
    for name, kind in required.items():
        if not isinstance(message.fields.get(name), kind):
            raise MalformedFrame(f"A {message.kind!r} message needs the field {name!r}.", field=name)
    timing = message.fields.get("timing")
    if timing is not None and not (
        isinstance(timing, dict) and all(type(ms) in (int, float) for ms in timing.values())
    ):
        raise MalformedFrame(f"The timing of a {message.kind!r} message must be numbers.", field="timing")


def check_hello(message: Message, role: str) -> None:
    """Check the first message of a socket.

    Raises:
        MalformedFrame: It is not a hello of this role.
        VersionMismatch: The page speaks another version of the protocol.
    """
    if message.kind == "hello":
        check(message, role)
    if message.kind != "hello" or message.fields["role"] != role:
        raise MalformedFrame(f"The first message of a {role} must be its hello, not {message.kind!r}.")
    if message.fields["protocol"] != PROTOCOL:
        raise VersionMismatch(
            f"The page speaks protocol {message.fields['protocol']}, this package {PROTOCOL}: "
            "build the page again (`make web`), or reload it.",
        )
