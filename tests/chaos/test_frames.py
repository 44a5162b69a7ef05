"""A hundred thousand damaged frames: each is read or refused as a breach of the protocol, and nothing else happens."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.frames import ADAPTER, CAPABILITIES, LANE_HELLO, PAGE_HELLO, TIMING, frame
from webinfer.core.errors import MalformedFrame, ProtocolError
from webinfer.transport.wire.codec import decode
from webinfer.transport.wire.commands import RunCommand, StopLaneCommand
from webinfer.transport.wire.conversation import Conversation

FRAMES = 100_000
SEED = 7
GOLDEN = Path(__file__).parents[2] / "fixtures" / "wire" / "golden.json"
HELLOS = {"page": PAGE_HELLO, "lane": LANE_HELLO}
HEADERS: list[dict[str, Any]] = [
    {"kind": "ok", "id": 1, "timing": TIMING, "tensors": [["y", "float32", [2, 3]]]},
    {"kind": "ok", "id": 1, "timing": TIMING, "tensors": [["y", "int64", []], ["z", "bool", [0, 4]]]},
    {"kind": "error", "id": 1, "error": {"code": "backend.run", "message": "no", "stack": "at", "data": {"name": "x"}}},
    {"kind": "progress", "id": 1, "done": 3, "total": None},
    {"kind": "lost", "error": {"code": "lost.device", "message": "gone"}},
    {"kind": "lane_failed", "lane": "b1.1", "error": {"code": "lost.lane", "message": "gone"}},
    {"kind": "capabilities", "capabilities": CAPABILITIES},
    {
        "kind": "capabilities",
        "capabilities": {**CAPABILITIES, "webgpu": {**CAPABILITIES["webgpu"], "available": True, "adapter": ADAPTER}},
    },
    {"kind": "pong"},
]
JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    2**31,
    2**63,
    2**70,
    1e308,
    "",
    "ok",
    "message",
    "\ud7ff",
    [],
    [[]],
    {},
    {"self": 1},
]


def golden() -> list[bytes]:
    return [bytes.fromhex(case["hex"]) for case in json.loads(GOLDEN.read_text()) if "error" not in case]


def damage_bytes(data: bytes, chance: random.Random) -> bytes:
    """Change, cut or double some bytes."""
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(damaged) + 1)
        match chance.randrange(4):
            case 0:
                damaged[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del damaged[at : at + chance.randint(1, 9)]
            case 2:
                damaged[at:at] = damaged[at : at + chance.randint(1, 9)]
            case _:
                damaged[:4] = struct.pack("<I", chance.choice([0, 4, 12, len(data) - 4, 2**31, 2**32 - 1]))
    return bytes(damaged)


def damage_meaning(header: Any, chance: random.Random) -> Any:
    """Put junk in the place of one value, however deep, or for a whole header."""
    if isinstance(header, dict) and header and chance.random() < 0.9:
        key = chance.choice(sorted(header))
        return {**header, key: damage_meaning(header[key], chance)}
    if isinstance(header, list) and header and chance.random() < 0.8:
        at = chance.randrange(len(header))
        return [*header[:at], damage_meaning(header[at], chance), *header[at + 1 :]]
    return chance.choice(JUNK)


def with_body(header: Any, chance: random.Random) -> bytes:
    """Make a frame of any header, with some bytes behind it."""
    head = json.dumps(header).encode()
    head += b" " * (-(4 + len(head)) & 7)
    return struct.pack("<I", len(head)) + head + bytes(chance.choice([0, 0, 8, 24, 32]))


def conversations() -> dict[str, Callable[[], Conversation]]:
    def make(role: str) -> Conversation:
        conversation = Conversation(role, 1 << 20, None, 0.0)
        conversation.receive(frame(HELLOS[role]), 0.0)
        if role == "page":
            conversation.request(StopLaneCommand(lane="b1.1"))
        else:
            conversation.request(RunCommand(session="s1", outputs=None), {"x": np.zeros(2, np.float32)})
        return conversation

    return {role: lambda role=role: make(role) for role in HELLOS}  # type: ignore[misc]


def test_damaged_bytes_are_read_or_refused() -> None:
    chance, frames = random.Random(SEED), golden()
    refused = 0
    for _ in range(FRAMES // 2):
        try:
            decode(damage_bytes(chance.choice(frames), chance))
        except ProtocolError:
            refused += 1
    assert FRAMES // 4 < refused < FRAMES // 2


def test_damaged_messages_are_taken_in_or_refused() -> None:
    chance, make = random.Random(SEED), conversations()
    refused = 0
    for _ in range(FRAMES // 2):
        conversation = make[chance.choice(sorted(make))]()
        try:
            conversation.receive(with_body(damage_meaning(chance.choice(HEADERS), chance), chance), 1.0)
        except ProtocolError:
            refused += 1
        assert conversation.pending.keys() <= {1}
    assert FRAMES // 4 < refused < FRAMES // 2


@pytest.mark.parametrize(
    "shape", [[0, 2**70], [1] * 100, [0, 2**31, 2**31, 2**31], [2**63]], ids=["large", "many", "product", "one"]
)
def test_shape_that_no_array_can_have_is_refused(shape: list[int]) -> None:
    size = 4 if shape == [1] * 100 else 0
    head = json.dumps({"kind": "ok", "id": 1, "tensors": [["y", "float32", shape]]}).encode()
    head += b" " * (-(4 + len(head)) & 7)
    with pytest.raises(MalformedFrame):
        decode(struct.pack("<I", len(head)) + head + bytes(size))


@pytest.mark.parametrize("data", [{}, {"message": "x"}, {"self": "x"}, {"stack": 5}], ids=str)
def test_error_with_strange_data_is_an_error_all_the_same(data: Any) -> None:
    conversation = conversations()["lane"]()
    error = {"code": "backend.run", "message": "it failed", "data": data}
    event = conversation.receive(frame({"kind": "error", "id": 1, "error": error}), 1.0)
    assert str(event.error.to_exception()) == "it failed"  # type: ignore[union-attr]


@pytest.mark.parametrize("timing", [5, {"run": "long"}, {"wait": None}], ids=str)
def test_timing_that_is_no_number_is_refused(timing: Any) -> None:
    with pytest.raises(MalformedFrame, match="timing"):
        conversations()["lane"]().receive(frame({"kind": "ok", "id": 1, "timing": timing}), 1.0)
