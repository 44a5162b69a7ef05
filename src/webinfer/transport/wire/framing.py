"""WebSocket framing without I/O, for the side that accepts (RFC 6455, sections 5 and 7.4).

aiohttp makes the handshake. What follows it is the hot path of every inference, so it is done here. A payload is
unmasked from the buffer that the kernel filled, straight into the memory that the tensors will be views of.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED, TOO_BIG = 1000, 1001, 1002, 1003, 1009

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_TILE = 16384  # bytes of repeated mask: long enough for vector instructions, short enough for the nearest cache
_SHORT, _LONG = struct.Struct(">H"), struct.Struct(">Q")
_LENGTH_FOLLOWS = {126: _SHORT, 127: _LONG}
_LONGEST_CONTROL = 125


class FramingError(Exception):
    """The other side broke RFC 6455, or sent too much.

    Attributes:
        code: The status code to close the socket with.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Incoming(NamedTuple):
    """A whole message or a control frame; ``data`` is its unmasked payload, in memory of its own."""

    opcode: int
    data: memoryview


def accept_key(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` that answers a ``Sec-WebSocket-Key`` (RFC 6455, section 4.2.2).

    Args:
        key: The client's key.
    """
    return base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()


def frame_header(opcode: int, nbytes: int) -> bytes:
    """Return the header of an unmasked, unfragmented frame.

    Args:
        opcode: Opcode of RFC 6455, section 5.2.
        nbytes: Bytes of the payload.
    """
    if nbytes < 126:
        return bytes((0x80 | opcode, nbytes))
    if nbytes < 1 << 16:
        return bytes((0x80 | opcode, 126)) + _SHORT.pack(nbytes)
    return bytes((0x80 | opcode, 127)) + _LONG.pack(nbytes)


class FrameReader:
    """Puts together what a browser sends, however the network cut it.

    Args:
        max_bytes: Longest message to accept.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._head = b""  # of a frame whose header came in pieces
        self._payload: NDArray[np.uint8] | None = None  # of the frame that is coming in
        self._done = 0  # bytes of it that are there
        self._key = b""
        self._opcode = 0
        self._final = True
        self._message = 0  # opcode of the message whose fragments are coming in, or 0
        self._fragments: list[NDArray[np.uint8]] = []
        self._fragmented = 0  # bytes in them

    def feed(self, data: memoryview) -> Iterator[Incoming]:
        """Take in bytes, which may be overwritten once this has ended.

        Args:
            data: Bytes as they came, cut anywhere.

        Yields:
            What they completed, in order.

        Raises:
            FramingError: The socket must be closed; nothing can be read from it any more.
        """
        if self._head:
            data = memoryview(self._head + data)
            self._head = b""
        at, size = 0, len(data)
        while True:
            # Either a header is due, or the payload of the frame before is not all there yet.
            if self._payload is None:
                start = self._read_header(data, at)
                if start is None:
                    self._head = bytes(data[at:])
                    return
                at = start
            payload = self._payload
            assert payload is not None
            done = self._done
            taken = min(payload.size - done, size - at)
            if taken:  # an empty payload is complete without a byte
                _unmask(data[at : at + taken], self._key, done, payload[done : done + taken])
                at += taken
            if done + taken < payload.size:
                self._done = done + taken
                return
            self._payload = None
            if (message := self._complete(payload)) is not None:
                yield message

    def _read_header(self, data: memoryview, at: int) -> int | None:
        """Return where the payload starts, once the header at ``at`` is read; ``None`` where it is not whole.

        Raises:
            FramingError: The header breaks RFC 6455.
        """
        left = len(data) - at
        if left < 2:
            return None
        first, second = data[at], data[at + 1]
        length, follows = second & 0x7F, _LENGTH_FOLLOWS.get(second & 0x7F)
        key = at + 2 + (follows.size if follows else 0)
        if first & 0x70:
            raise FramingError(PROTOCOL_ERROR, "a reserved bit is set")
        if not second & 0x80:
            raise FramingError(PROTOCOL_ERROR, "a frame is not masked")
        if left < key + 4 - at:
            return None
        if follows:
            (length,) = follows.unpack_from(data, at + 2)
        self._open(first & 0x0F, bool(first & 0x80), length)
        self._key = bytes(data[key : key + 4])
        return key + 4

    def _open(self, opcode: int, final: bool, length: int) -> None:
        if opcode >= CLOSE:
            if opcode > PONG or not final or length > _LONGEST_CONTROL:
                raise FramingError(PROTOCOL_ERROR, "a control frame is unknown, fragmented or too long")
        elif opcode > BINARY or (opcode == CONTINUATION) != bool(self._message):
            raise FramingError(PROTOCOL_ERROR, "a frame does not follow the one before it")
        elif self._fragmented + length > self.max_bytes:  # before memory is taken for what a header only claims
            raise FramingError(TOO_BIG, "a message is over the limit of max_message_mb")
        self._opcode, self._final, self._done = opcode, final, 0
        self._payload = np.empty(length, np.uint8)

    def _complete(self, payload: NDArray[np.uint8]) -> Incoming | None:
        if self._opcode >= CLOSE:
            return Incoming(self._opcode, payload.data)
        if self._final and not self._message:
            return Incoming(self._opcode, payload.data)
        self._message = self._message or self._opcode
        self._fragments.append(payload)
        self._fragmented += payload.size
        if not self._final:
            return None
        whole = Incoming(self._message, np.concatenate(self._fragments).data)
        self._message, self._fragmented = 0, 0
        self._fragments = []
        return whole


def _unmask(data: memoryview, key: bytes, phase: int, out: NDArray[np.uint8]) -> None:
    """Write ``data`` XOR the key to ``out``, where ``data`` starts at byte ``phase`` of its payload."""
    if phase & 3:  # the key repeats every four bytes of the payload: turn it to where this piece begins
        key = key[phase & 3 :] + key[: phase & 3]
    source: NDArray[Any] = np.frombuffer(data, np.uint8)
    if source.size <= _TILE:
        tile = np.frombuffer(key * (source.size + 3 >> 2), np.uint8, source.size)
        np.bitwise_xor(source, tile, out)
        return
    # A tile is a multiple of four bytes, so every row of it begins at the same byte of the key.
    tile = np.frombuffer(key * (_TILE >> 2), np.uint8)
    rows, rest = divmod(source.size, _TILE)
    whole = rows * _TILE
    np.bitwise_xor(source[:whole].reshape(rows, _TILE), tile, out[:whole].reshape(rows, _TILE))
    np.bitwise_xor(source[whole:], tile[:rest], out[whole:])
