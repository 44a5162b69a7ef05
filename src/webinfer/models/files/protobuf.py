"""The fields of a protobuf message, walked without a copy.

Of a memory-mapped file only what is asked for comes into memory, so a model of gigabytes is walked in milliseconds.
The encoding is https://protobuf.dev/programming-guides/encoding/; groups, which ONNX does not use, are refused.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from webinfer.core.errors import InvalidModel

VARINT, _FIXED64, BYTES, _FIXED32 = 0, 1, 2, 5  # the wire types


def fields(path: Path, data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield each field's number, wire type, and where its value begins and ends.

    Args:
        path: The file, for errors.
        data: Its bytes.
        start: Where the message begins.
        end: Where it ends.

    Raises:
        InvalidModel: The message is cut off, or has a wire type that protobuf does not know.
    """
    at = start
    while at < end:
        tag, at = varint(path, data, at, end)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            _, stop = varint(path, data, at, end)
        elif kind == BYTES:
            length, at = varint(path, data, at, end)
            stop = at + length
        elif kind in (_FIXED32, _FIXED64):
            stop = at + (4 if kind == _FIXED32 else 8)
        else:
            refuse(path, f"is not an ONNX model, or is corrupt at byte {at:,}: fetch or export it again")
        if number == 0:
            refuse(path, f"is not an ONNX model, or is corrupt at byte {at:,}: fetch or export it again")
        if stop > end:
            lacks = f"it has {len(data):,} bytes, and a part of it goes on to {stop:,}"
            refuse(path, f"is cut off, or not an ONNX model ({lacks}): fetch it again")
        yield number, kind, at, stop
        at = stop


def varint(path: Path, data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Return the number that begins at ``at``, and where it ends.

    Args:
        path: The file, for errors.
        data: Its bytes.
        at: Where the number begins.
        end: Where the message ends.

    Raises:
        InvalidModel: The number is cut off or too long.
    """
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    refuse(path, f"is not an ONNX model, or is cut off at byte {at:,}: fetch or export it again")


def refuse(path: Path, why: str) -> NoReturn:
    """Raise ``InvalidModel`` for a file.

    Args:
        path: The file.
        why: What is wrong with it, and what to do, to follow its name.

    Raises:
        InvalidModel: Always.
    """
    raise InvalidModel(f"{path} {why}.", path=str(path))
