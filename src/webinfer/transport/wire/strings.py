"""Tensors of strings in frames: the length of a JSON text in bytes, as u64 little-endian, and the text."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import MalformedFrame

_LENGTH = struct.Struct("<Q")
_write_json = msgspec.json.Encoder().encode
_read_json = msgspec.json.Decoder(list[str]).decode


def pack_strings(array: NDArray[Any]) -> bytes:
    """Return strings as the bytes of their tensor in a frame.

    Args:
        array: An array of objects, all of them ``str``.

    Raises:
        UnicodeEncodeError: One holds half a character, which no text in UTF-8 does.
    """
    text = _write_json(array.ravel().tolist())
    return _LENGTH.pack(len(text)) + text


def packed_length(frame: bytes | bytearray | memoryview, offset: int) -> int:
    """Return how many bytes the tensor of strings takes that begins at ``offset`` of a frame.

    Args:
        frame: The frame.
        offset: Where the tensor begins; it may be beyond the frame's end.
    """
    if offset + _LENGTH.size > len(frame):
        return _LENGTH.size
    length: int = _LENGTH.unpack_from(frame, offset)[0]
    return _LENGTH.size + length


def unpack_strings(packed: memoryview, count: int) -> NDArray[Any]:
    """Return the strings of a tensor's bytes.

    Args:
        packed: The bytes.
        count: How many strings there are.

    Returns:
        An array of objects of one dimension.

    Raises:
        MalformedFrame: It holds something else.
    """
    try:
        strings = _read_json(packed[_LENGTH.size :])
    except (ValueError, RecursionError) as error:
        raise MalformedFrame(f"A tensor of strings holds something else: {str(error)[:300]}.") from error
    if len(strings) != count:
        raise MalformedFrame(f"A tensor of {count} strings holds {len(strings)}.")
    array = np.empty(count, object)
    array[:] = strings
    return array
