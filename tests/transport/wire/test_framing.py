"""WebSocket framing: RFC 6455's own examples, and any cutting of any conversation."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webinfer.transport.wire.framing import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    FrameReader,
    FramingError,
    Incoming,
    accept_key,
    frame_header,
)


def masked(opcode: int, payload: bytes, final: bool = True, key: bytes = b"\x37\xfa\x21\x3d") -> bytes:
    """Make a client's frame, byte by byte as section 5.3 says."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    body = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    return bytes([(0x80 if final else 0) | opcode]) + length + key + body


def read(data: bytes, cuts: tuple[int, ...] = (), max_bytes: int = 1 << 20) -> list[tuple[int, bytes]]:
    """Feed a reader from one buffer that is overwritten each time, as a socket's is."""
    reader, inbox = FrameReader(max_bytes), bytearray(len(data))
    incoming: list[Incoming] = []
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        inbox[: end - start] = data[start:end]
        incoming += reader.feed(memoryview(inbox)[: end - start])
        inbox[:] = b"\xaa" * len(inbox)
    return [(opcode, bytes(payload)) for opcode, payload in incoming]


def test_accept_key_is_the_rfcs_example() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_masked_hello_is_the_rfcs_example() -> None:
    assert read(bytes.fromhex("818537fa213d7f9f4d5158")) == [(TEXT, b"Hello")]


@pytest.mark.parametrize(
    ("nbytes", "header"),
    [
        (5, "8205"),
        (125, "827d"),
        (126, "827e007e"),
        (256, "827e0100"),
        (65535, "827effff"),
        (65536, "827f0000000000010000"),
    ],
)
def test_frame_header_has_the_shortest_length(nbytes: int, header: str) -> None:
    assert frame_header(BINARY, nbytes).hex() == header


@pytest.mark.parametrize("nbytes", [0, 1, 125, 126, 65535, 65536, 16384 * 3 + 5])
def test_message_of_every_length_form(nbytes: int) -> None:
    payload = os.urandom(nbytes)
    frame = masked(BINARY, payload)
    assert read(frame) == [(BINARY, payload)]
    assert read(frame, (1, 3, len(frame) // 2, len(frame) - 1 if nbytes > 8 else len(frame) // 2)) == [
        (BINARY, payload)
    ]


_message = st.lists(st.binary(max_size=300), min_size=1, max_size=4)


@settings(deadline=None)
@given(messages=st.lists(_message, min_size=1, max_size=5), data=st.data(), key=st.binary(min_size=4, max_size=4))
def test_conversation_is_the_same_however_it_is_cut(
    messages: list[list[bytes]], data: st.DataObject, key: bytes
) -> None:
    stream, expected = b"", []
    for fragments in messages:
        for at, fragment in enumerate(fragments):
            stream += masked(CONTINUATION if at else BINARY, fragment, at == len(fragments) - 1, key)
            stream += masked(PING, b"between", key=key)
            expected.append((PING, b"between"))
        expected.insert(len(expected) - 1, (BINARY, b"".join(fragments)))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    assert read(stream, tuple(sorted(cuts))) == expected


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x82\x05hello", PROTOCOL_ERROR),  # not masked
        (masked(BINARY | 0x40, b"x"), PROTOCOL_ERROR),  # compressed, which nobody agreed to
        (masked(3, b"x"), PROTOCOL_ERROR),
        (masked(11, b"x"), PROTOCOL_ERROR),
        (masked(CONTINUATION, b"x"), PROTOCOL_ERROR),
        (masked(BINARY, b"x", final=False) + masked(BINARY, b"y"), PROTOCOL_ERROR),
        (masked(PING, b"x", final=False), PROTOCOL_ERROR),
        (masked(CLOSE, b"x" * 126), PROTOCOL_ERROR),
        (masked(BINARY, b"x" * 2001), TOO_BIG),
        (masked(BINARY, b"x" * 1500, final=False) + masked(CONTINUATION, b"x" * 501), TOO_BIG),
        (b"\x82\xff" + b"\xff" * 12, TOO_BIG),  # as many bytes as can be said
    ],
)
def test_breach_names_its_close_code(frame: bytes, code: int) -> None:
    with pytest.raises(FramingError) as caught:
        read(frame, max_bytes=2000)
    assert caught.value.code == code


def test_what_came_whole_before_a_breach_is_delivered() -> None:
    incoming = FrameReader(100).feed(memoryview(masked(BINARY, b"good") + b"\x00\x00"))
    assert bytes(next(incoming).data) == b"good"
    with pytest.raises(FramingError):
        next(incoming)


@settings(max_examples=2000, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_messages_or_a_breach(data: bytes) -> None:
    with contextlib.suppress(FramingError):
        read(data, max_bytes=1000)
