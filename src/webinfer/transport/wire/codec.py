"""Frames to messages and back.

A frame is a u32 little-endian header length, a JSON header padded with spaces to 8 bytes, and the tensors'
bytes, each starting at a multiple of 8, so that both sides make typed-array views without a copy. Offsets
follow from the dtypes and shapes; nothing in a frame can contradict them but its length, which is checked.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import FrameTooLarge, MalformedFrame
from webinfer.core.tensors import DTYPES

Tensors = Mapping[str, NDArray[Any]]
Buffer = bytes | bytearray | memoryview
Parts = list[bytes | memoryview]

_LENGTH = struct.Struct("<I")
_PADDING = tuple(b"\0" * n for n in range(8))
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_WHOLE = 1 << 16  # bytes of tensors up to which a frame is put together before it is sent
_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Message:
    """One decoded frame.

    Attributes:
        kind: What it says.
        id: The request that it belongs to, or 0.
        fields: The other header fields.
        tensors: Arrays by name, which are views of the frame's bytes.
    """

    kind: str
    id: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)


def encode(header: dict[str, Any], tensors: Tensors | None = None, max_bytes: int | None = None) -> bytes:
    """Make a frame in one piece; ``encode_parts`` says how.

    Returns:
        The frame. The tensors' bytes are copied once.
    """
    return b"".join(encode_parts(header, tensors, max_bytes))


def encode_parts(header: dict[str, Any], tensors: Tensors | None = None, max_bytes: int | None = None) -> Parts:
    """Make a frame in pieces to be sent one after another.

    Args:
        header: JSON-serializable fields, with ``kind``.
        tensors: C-contiguous little-endian arrays by name.
        max_bytes: Refuse to make a longer frame than this.

    Returns:
        The pieces. Where the tensors are large, these are views of the arrays' own memory; else there is one piece.

    Raises:
        FrameTooLarge: The frame would be longer than ``max_bytes``.
        MalformedFrame: The header holds what JSON cannot.
    """
    body: Parts = []
    size = 0
    if tensors:
        table = []
        for name, array in tensors.items():
            if gap := -size & 7:
                body.append(_PADDING[gap])
            table.append((name, _NAMES[array.dtype], array.shape))
            body.append(array.data)
            size += gap + array.nbytes
        header = {**header, "tensors": table}
    try:
        head = _to_json(header)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedFrame(f"The header of a {header.get('kind')!r} message is not JSON: {error}.") from error
    pad = -(4 + len(head)) & 7
    total = 4 + len(head) + pad + size
    if max_bytes is not None and total > max_bytes:
        raise FrameTooLarge(
            f"A {header['kind']!r} message of {total:,} bytes is over the limit of {max_bytes:,}: "
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


def decode(frame: Buffer) -> Message:
    """Read a frame.

    Raises:
        MalformedFrame: The frame is not of the form that this module's docstring states.
    """
    header, start = _read_header(frame)
    kind, number = header.pop("kind", None), header.pop("id", 0)
    if not isinstance(kind, str):
        raise MalformedFrame("The header has no kind.")
    if type(number) is not int or number < 0:
        raise MalformedFrame(f"The id of a {kind!r} message must be a whole number, not {number!r}.")
    table = header.pop("tensors", None)
    if table is None:
        if len(frame) != start:
            raise MalformedFrame(f"{len(frame) - start} bytes follow a {kind!r} message without tensors.")
        return Message(kind, number, header)
    return Message(kind, number, header, _read_tensors(frame, start, table))


def _read_header(frame: Buffer) -> tuple[dict[str, Any], int]:
    if len(frame) < 4:
        raise MalformedFrame(f"A frame of {len(frame)} bytes is too short for its header's length.")
    (length,) = _LENGTH.unpack_from(frame)
    start = 4 + length
    if start > len(frame) or start & 7:
        raise MalformedFrame(f"A header of {length} bytes does not fit a frame of {len(frame)}.")
    try:
        header = _from_json(memoryview(frame)[4:start])
    except (ValueError, RecursionError) as error:
        raise MalformedFrame(f"The header is not JSON: {error}.") from error
    if not isinstance(header, dict):
        raise MalformedFrame("The header is not a JSON object.")
    return header, start


def _read_tensors(frame: Buffer, offset: int, table: object) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    if not isinstance(table, list):
        raise MalformedFrame("The header's tensors are not a list.")
    for entry in table:
        name, dtype, shape = _read_entry(entry)
        if name in tensors:
            raise MalformedFrame(f"Tensor {name!r} occurs twice.")
        count = math.prod(shape)
        offset += -offset & 7
        if offset + count * dtype.itemsize > len(frame):
            raise MalformedFrame(f"Tensor {name!r} of shape {shape} runs past the frame's end.")
        try:
            tensors[name] = np.frombuffer(frame, dtype, count, offset if count else 0).reshape(shape)
        except (ValueError, OverflowError) as error:  # too many dimensions, or, beside a 0, too large ones
            raise MalformedFrame(f"Tensor {name!r} cannot have its {len(shape)} dimensions: {error}.") from error
        offset += count * dtype.itemsize
    if offset != len(frame):
        raise MalformedFrame(f"{len(frame) - offset} bytes follow the last tensor.")
    return tensors


def _read_entry(entry: object) -> tuple[str, np.dtype[Any], list[int]]:
    if type(entry) is list and len(entry) == 3:
        name, dtype, shape = entry
        known = DTYPES.get(dtype) if type(dtype) is str else None
        if type(name) is str and known and type(shape) is list and all(type(d) is int and d >= 0 for d in shape):
            return name, known, shape
    raise MalformedFrame(f"A tensor is [name, dtype, dimensions], not {str(entry)[:80]}.")
