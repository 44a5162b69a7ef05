from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.frames import frame
from webinfer.core.errors import FrameTooLarge, MalformedFrame, ProtocolError
from webinfer.core.tensors import DTYPES
from webinfer.transport.wire.codec import decode, encode
from webinfer.transport.wire.commands import MeasureCommand, Ping, RunCommand
from webinfer.transport.wire.messages import Message

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parents[3] / "fixtures" / "wire" / "golden.json").read_text())
VALID = [case for case in GOLDEN if "error" not in case]
BROKEN = [case for case in GOLDEN if "error" in case]


def values(entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    flat = (
        [int(value) for value in entry["values"]]
        if entry["dtype"].endswith("64") and "int" in entry["dtype"]
        else entry["values"]
    )
    if entry["dtype"] == "string":
        return np.array(flat, object).reshape(entry["shape"])
    return np.array(flat, DTYPES[entry["dtype"]]).reshape(entry["shape"])


def fields(header: memoryview) -> dict[str, Any]:
    """Return a header's fields without the tensors."""
    return {name: value for name, value in json.loads(bytes(header)).items() if name != "tensors"}


@pytest.mark.parametrize("case", VALID, ids=lambda case: case["name"])
def test_decode_reads_golden_frame(case: dict[str, Any]) -> None:
    message = decode(bytes.fromhex(case["hex"]))
    header = case["header"]
    assert message.kind == header["kind"]
    assert message.id == header.get("id", 0)
    assert fields(message.header) == header
    assert list(message.tensors) == [entry["name"] for entry in case["tensors"]]
    for entry in case["tensors"]:
        np.testing.assert_array_equal(message.tensors[entry["name"]], values(entry), strict=True)


@pytest.mark.parametrize("case", VALID, ids=lambda case: case["name"])
def test_encode_writes_golden_frame(case: dict[str, Any]) -> None:
    tensors = {entry["name"]: values(entry) for entry in case["tensors"]}
    assert frame(case["header"], tensors).hex() == case["hex"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no tensors", Ping()),
        ("one tensor", RunCommand(id=7, session="s1", outputs=None)),
        (
            "tensors that stay",
            RunCommand(
                id=7, session="s1", outputs=["logits"], feeds={"past.0": "h1"}, keep={"present.0": "h2"}, free=["h1"]
            ),
        ),
        ("a measurement", MeasureCommand(id=8, limit=1000)),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_messages_are_written_as_golden_frames(name: str, message: Message) -> None:
    (case,) = (case for case in GOLDEN if case["name"] == name)
    tensors = {entry["name"]: values(entry) for entry in case["tensors"]}
    assert encode(message, tensors).hex() == case["hex"]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case["name"])
def test_decode_refuses_broken_golden_frame(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedFrame):
        decode(bytes.fromhex(case["hex"]))


@given(
    st.dictionaries(
        st.text(min_size=1),
        st.sampled_from(sorted({*DTYPES} - {"string"})).flatmap(
            lambda name: arrays.arrays(DTYPES[name], arrays.array_shapes(min_dims=0, min_side=0, max_side=4))
        ),
        max_size=4,
    ),
    st.dictionaries(
        st.sampled_from(["session", "note", "flag"]), st.text() | st.integers() | st.booleans() | st.none()
    ),
)
def test_every_frame_reads_back_as_it_was(tensors: dict[str, Any], header: dict[str, Any]) -> None:
    header = {"kind": "run", "id": 9, **header}
    message = decode(frame(header, tensors))
    assert (message.kind, message.id, fields(message.header)) == ("run", 9, header)
    assert list(message.tensors) == list(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(message.tensors[name], array, strict=True)


@settings(max_examples=2000)
@given(st.data())
def test_mutated_frames_are_refused_or_read_never_worse(data: st.DataObject) -> None:
    damaged = bytearray(bytes.fromhex(data.draw(st.sampled_from(VALID))["hex"]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    with contextlib.suppress(ProtocolError):
        decode(bytes(damaged))


def test_tensors_are_views_of_the_frame() -> None:
    data = frame({"kind": "run"}, {"x": np.arange(4, dtype=np.float32)})
    array = decode(data).tensors["x"]
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    assert array.ctypes.data % 4 == 0


def test_encode_refuses_frame_over_the_limit() -> None:
    with pytest.raises(FrameTooLarge, match="max_message_mb") as caught:
        encode(Ping(), {"x": np.zeros(1000, np.float32)}, max_bytes=1000)
    assert caught.value.data["limit"] == 1000


def test_encode_refuses_header_that_is_not_json() -> None:
    with pytest.raises(MalformedFrame, match="not JSON"):
        frame({"kind": "run", "session": object()})


def test_frame_of_many_dimensions_is_refused_before_they_are_multiplied() -> None:
    shape = [2**53 - 1] * 200_000
    head = json.dumps({"kind": "ok", "id": 1, "tensors": [["y", "float32", shape]]}).encode()
    head += b" " * (-(4 + len(head)) & 7)
    began = time.perf_counter()
    with pytest.raises(MalformedFrame) as caught:
        decode(len(head).to_bytes(4, "little") + head)
    assert time.perf_counter() - began < 1.0
    assert len(str(caught.value)) < 500
