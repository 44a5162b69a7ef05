"""Tensors of strings pass as they are, and what is none is refused."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from webinfer.core.errors import MalformedFrame
from webinfer.transport.wire.codec import decode, encode
from webinfer.transport.wire.commands import RunCommand
from webinfer.transport.wire.strings import pack_strings, packed_length, unpack_strings

TEXTS = ["one", "zwölf", "", '"\\/', "模型 🙂", "a\nb\tc", "\x7f\x01"]


def test_strings_are_the_same_after_the_way() -> None:
    arrays = {
        "s": np.array([TEXTS[:2], TEXTS[2:4]], object),
        "x": np.arange(3, dtype=np.uint8),
        "none": np.empty((0, 2), object),
        "scalar": np.array("one", object),
    }
    tensors = decode(encode(RunCommand(id=1, session="s", outputs=None), arrays)).tensors
    for name, array in arrays.items():
        np.testing.assert_array_equal(tensors[name], array, strict=True)
    packed = pack_strings(np.array(TEXTS, object))
    assert packed_length(packed, 0) == len(packed)
    assert unpack_strings(memoryview(packed), len(TEXTS)).tolist() == TEXTS


@pytest.mark.parametrize("text", [b"[1", b"[1]", b'["a","b"]', b'{"a":1}', b'["\xff"]', b"[" * 100_000])
def test_what_is_no_list_of_one_string_is_refused(text: bytes) -> None:
    packed: Any = memoryview(struct.pack("<Q", len(text)) + text)
    with pytest.raises(MalformedFrame, match="strings"):
        unpack_strings(packed, 1)
