from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from webinfer.core.errors import FrameTooLarge, MalformedFrame, ProtocolError
from webinfer.core.tensors import DTYPES
from webinfer.transport.wire import decode, encode

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parents[3] / "fixtures" / "wire" / "golden.json").read_text())
VALID = [case for case in GOLDEN if "error" not in case]
BROKEN = [case for case in GOLDEN if "error" in case]


def values(entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    flat = (
        [int(value) for value in entry["values"]]
        if entry["dtype"].endswith("64") and "int" in entry["dtype"]
        else entry["values"]
    )
    return np.array(flat, DTYPES[entry["dtype"]]).reshape(entry["shape"])


@pytest.mark.parametrize("case", VALID, ids=lambda case: case["name"])
def test_decode_reads_golden_frame(case: dict[str, Any]) -> None:
    message = decode(bytes.fromhex(case["hex"]))
    header = dict(case["header"])
    assert message.kind == header.pop("kind")
    assert message.id == header.pop("id", 0)
    assert message.fields == header
    assert list(message.tensors) == [entry["name"] for entry in case["tensors"]]
    for entry in case["tensors"]:
        np.testing.assert_array_equal(message.tensors[entry["name"]], values(entry), strict=True)


@pytest.mark.parametrize("case", VALID, ids=lambda case: case["name"])
def test_encode_writes_golden_frame(case: dict[str, Any]) -> None:
    tensors = {entry["name"]: values(entry) for entry in case["tensors"]}
    assert encode(case["header"], tensors).hex() == case["hex"]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case["name"])
def test_decode_refuses_broken_golden_frame(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedFrame):
        decode(bytes.fromhex(case["hex"]))


@given(
    st.dictionaries(
        st.text(min_size=1),
        st.sampled_from(sorted(DTYPES)).flatmap(
            lambda name: arrays.arrays(DTYPES[name], arrays.array_shapes(min_dims=0, min_side=0, max_side=4))
        ),
        max_size=4,
    ),
    st.dictionaries(
        st.sampled_from(["session", "note", "flag"]), st.text() | st.integers() | st.booleans() | st.none()
    ),
)
def test_every_frame_reads_back_as_it_was(tensors: dict[str, Any], fields: dict[str, Any]) -> None:
    frame = encode({"kind": "run", "id": 9, **fields}, tensors)
    message = decode(frame)
    assert (message.kind, message.id, message.fields) == ("run", 9, fields)
    assert list(message.tensors) == list(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(message.tensors[name], array, strict=True)


@settings(max_examples=2000)
@given(st.data())
def test_mutated_frames_are_refused_or_read_never_worse(data: st.DataObject) -> None:
    frame = bytearray(bytes.fromhex(data.draw(st.sampled_from(VALID))["hex"]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del frame[data.draw(st.integers(0, len(frame))) :]
    with contextlib.suppress(ProtocolError):
        decode(bytes(frame))


def test_tensors_are_views_of_the_frame() -> None:
    frame = encode({"kind": "run"}, {"x": np.arange(4, dtype=np.float32)})
    array = decode(frame).tensors["x"]
    assert np.shares_memory(array, np.frombuffer(frame, np.uint8))
    assert array.ctypes.data % 4 == 0


def test_encode_refuses_frame_over_the_limit() -> None:
    with pytest.raises(FrameTooLarge, match="max_message_mb") as caught:
        encode({"kind": "run"}, {"x": np.zeros(1000, np.float32)}, max_bytes=1000)
    assert caught.value.data["limit"] == 1000


def test_encode_refuses_header_that_is_not_json() -> None:
    with pytest.raises(MalformedFrame, match="not JSON"):
        encode({"kind": "run", "session": object()})
