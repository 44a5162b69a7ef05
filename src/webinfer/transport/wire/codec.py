"""Frames to headers and tensors, and messages to frames.

A frame is a u32 little-endian header length, a JSON header padded with spaces to 8 bytes, and the tensors' bytes. Each
tensor starts at a multiple of 8, so that both sides make typed-array views without a copy. Offsets follow from the
dtypes and shapes; nothing in a frame can contradict them but its length, which is checked.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from webinfer.core.errors import FrameTooLarge, MalformedFrame
from webinfer.core.tensors import DTYPES
from webinfer.transport.wire.messages import Count, Message
from webinfer.transport.wire.strings import pack_strings, packed_length, unpack_strings

Tensors = Mapping[str, NDArray[Any]]
Buffer = bytes | bytearray | memoryview
Parts = list[bytes | memoryview]
T = TypeVar("T", bound=msgspec.Struct)

_LENGTH = struct.Struct("<I")
_PADDING = tuple(b"\0" * n for n in range(8))
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_WHOLE = 1 << 16  # bytes of tensors up to which a frame is put together before it is sent
_LONGEST = 300  # characters of an error's message
_to_json = msgspec.json.Encoder().encode

Shape = Annotated[list[Count], Meta(max_length=64)]  # numpy has no more dimensions, and multiplying them takes time


class Header(msgspec.Struct, gc=False):
    """What every header has; the fields of its kind are read later, by who knows the kind."""

    kind: str
    id: Count = 0
    tensors: list[tuple[str, str, Shape]] | None = None


_read_header = msgspec.json.Decoder(Header).decode


@dataclass(slots=True)
class Frame:
    """One frame, whose layout and tensors are checked and whose message is not decoded yet.

    Attributes:
        kind: What it says.
        id: The request that it belongs to, or 0.
        header: The whole header as JSON.
        tensors: Arrays by name, which are views of the frame's bytes.
    """

    kind: str
    id: int
    header: memoryview
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)

    def read(self, decoder: msgspec.json.Decoder[T]) -> T:
        """Decode its message.

        Args:
            decoder: Decodes the type of message that is expected.

        Returns:
            The message.

        Raises:
            MalformedFrame: A field is missing or of the wrong type.
        """
        try:
            return decoder.decode(self.header)
        except (ValueError, RecursionError) as error:
            raise _malformed(f"There is a wrong field in the message {self.kind[:40]!r}", error) from error


def encode(message: Message, tensors: Tensors | None = None, max_bytes: int | None = None) -> bytes:
    """Make a frame in one piece; ``encode_parts`` says how.

    Args:
        message: What to say.
        tensors: C-contiguous little-endian arrays by name.
        max_bytes: Refuse to make a longer frame than this.

    Returns:
        The frame. The tensors' bytes are copied once.

    Raises:
        FrameTooLarge: The frame would be longer than ``max_bytes``.
        MalformedFrame: The message holds what JSON cannot.
    """
    return b"".join(encode_parts(message, tensors, max_bytes))


def encode_parts(message: Message, tensors: Tensors | None = None, max_bytes: int | None = None) -> Parts:
    """Make a frame in pieces to be sent one after another.

    Args:
        message: What to say.
        tensors: C-contiguous little-endian arrays by name.
        max_bytes: Refuse to make a longer frame than this.

    Returns:
        The pieces. Where the tensors are large, these are views of the arrays' own memory; else there is one piece.

    Raises:
        FrameTooLarge: The frame would be longer than ``max_bytes``.
        MalformedFrame: The message holds what JSON cannot.
    """
    body: Parts = []
    size = 0
    try:
        head = _to_json(message)
        if tensors:
            table = []
            for name, array in tensors.items():
                if gap := -size & 7:  # bytes up to the next multiple of 8
                    body.append(_PADDING[gap])
                dtype = _NAMES[array.dtype]
                table.append((name, dtype, array.shape))
                data = pack_strings(array) if dtype == "string" else array.data
                body.append(data)
                size += gap + (len(data) if dtype == "string" else array.nbytes)
            head = b'%b,"tensors":%b}' % (head[:-1], _to_json(table))  # the table is the header's last field
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _malformed(f"The header of a {message.kind!r} message is not JSON", error) from error
    pad = -(4 + len(head)) & 7
    total = 4 + len(head) + pad + size
    if max_bytes is not None and total > max_bytes:
        raise FrameTooLarge(
            f"A {message.kind!r} message of {total:,} bytes is over the limit of {max_bytes:,}: "
            "send less at once, or raise max_message_mb.",
            nbytes=total,
            limit=max_bytes,
        )
    start = _LENGTH.pack(len(head) + pad) + head + b" " * pad
    if size <= _WHOLE:
        return [b"".join((start, *body))]
    return [start, *(part if isinstance(part, bytes) else _flat(part) for part in body)]


def _flat(data: memoryview) -> memoryview:
    """Return a view of the same bytes without dimensions."""
    return np.frombuffer(data, np.uint8).data if data.nbytes else memoryview(b"")


def decode(data: Buffer) -> Frame:
    """Read a frame.

    Args:
        data: The frame's bytes, which its tensors become views of.

    Returns:
        The frame.

    Raises:
        MalformedFrame: The frame is not of the form that this module's docstring states.
    """
    if len(data) < 4:
        raise MalformedFrame(f"A frame of {len(data)} bytes is too short for its header's length.")
    (length,) = _LENGTH.unpack_from(data)
    start = 4 + length
    if start > len(data) or start & 7:  # tensors begin there, and views of them need aligned memory
        raise MalformedFrame(f"A header of {length} bytes does not fit a frame of {len(data)}.")
    text = memoryview(data)[4:start]
    try:
        header = _read_header(text)
    except (ValueError, RecursionError) as error:
        raise _malformed("A frame's header cannot be read", error) from error
    if header.tensors is not None:
        return Frame(header.kind, header.id, text, _read_tensors(data, start, header.tensors))
    if len(data) != start:
        raise MalformedFrame(f"{len(data) - start} bytes follow a {header.kind[:40]!r} message without tensors.")
    return Frame(header.kind, header.id, text)


def _read_tensors(frame: Buffer, offset: int, table: list[tuple[str, str, list[int]]]) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    for name, word, shape in table:
        dtype = DTYPES.get(word)
        if dtype is None:
            raise MalformedFrame(f"Tensor {name[:80]!r} has an unknown dtype, {word[:40]!r}.")
        if name in tensors:
            raise MalformedFrame(f"Tensor {name[:80]!r} occurs twice.")
        count = math.prod(shape)  # Python's numbers: no shape makes this overflow and pass the check below
        offset += -offset & 7
        nbytes = packed_length(frame, offset) if word == "string" else count * dtype.itemsize
        if offset + nbytes > len(frame):
            raise MalformedFrame(f"Tensor {name[:80]!r} of shape {shape} runs past the frame's end.")
        try:
            if word == "string":
                array = unpack_strings(memoryview(frame)[offset : offset + nbytes], count)
            else:  # an empty tensor may lie at the very end, which frombuffer() refuses as an offset
                array = np.frombuffer(frame, dtype, count, offset if count else 0)
            tensors[name] = array.reshape(shape)
        except (ValueError, OverflowError) as error:  # too many dimensions, or, beside a 0, too large ones
            raise _malformed(f"Tensor {name[:80]!r} cannot have its {len(shape)} dimensions", error) from error
        offset += nbytes
    if offset != len(frame):
        raise MalformedFrame(f"{len(frame) - offset} bytes follow the last tensor.")
    return tensors


def _malformed(what: str, error: Exception) -> MalformedFrame:
    return MalformedFrame(f"{what}: {str(error)[:_LONGEST]}.")
