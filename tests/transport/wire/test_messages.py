"""Every field of every message is checked at the boundary, and both sides have the same ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.frames import ADAPTER, CAPABILITIES, LANE_HELLO, LOADED, PAGE_HELLO, TIMING, frame
from tests.transport.wire.description import FILE, describe
from webinfer.core.errors import MalformedFrame, WebinferError
from webinfer.transport.wire.commands import (
    Command,
    FeatureCommand,
    FileSource,
    LoadCommand,
    MeasureCommand,
    ProfileCommand,
    RunCommand,
    StartLaneCommand,
    StopLaneCommand,
)
from webinfer.transport.wire.conversation import Conversation, Received

_FILES: dict[str, Any] = {
    "backend": "wasm",
    "model": FileSource("/models/a", 3),
    "external": [],
    "dimensions": {},
    "device": None,
    "store": False,
}
REQUESTS: dict[str, tuple[str, Command[Any]]] = {
    "start_lane": ("page", StartLaneCommand(lane="b1.1", token="t", access="a", threads=1, max_message_bytes=9)),
    "stop_lane": ("page", StopLaneCommand(lane="b1.1")),
    "load": ("lane", LoadCommand(session="s1", resident=[], capture=False, **_FILES)),
    "run": ("lane", RunCommand(session="s1", outputs=None)),
    "features": ("lane", FeatureCommand(length=400, hop=160, workgroup=(64, 1))),
    "measure": ("lane", MeasureCommand(limit=1000)),
    "profile": ("lane", ProfileCommand(operators=True, runs=3, limit=1000, **_FILES)),
}
ANSWERS: dict[str, dict[str, Any]] = {
    "start_lane": {"lane": "b1.1"},
    "stop_lane": {},
    "load": LOADED,
    "run": {"timing": TIMING, "captured": "no"},
    "features": {"timing": {"wait": 0, "run": 1}},
    "measure": {"gpu": {"gflops": 12.5, "gbps": 3.25}, "cpu": {"gflops": 20.25, "gbps": 9.5}},
    "profile": {
        "phases": [{"upload": 0.1, "run": 1, "readback": 0.2, "total": 1.3}],
        "operators": [{"operator": "Add", "provider": "CPUExecutionProvider", "nodes": 1.5, "ms": None}],
    },
}
ERROR: dict[str, Any] = {"code": "backend.run", "message": "no", "name": "Error", "stack": "at", "data": {"name": "x"}}
WEBGPU: dict[str, Any] = {
    "available": True,
    "error": None,
    "adapter": ADAPTER,
    "features": ["shader-f16"],
    "limits": {"maxBufferSize": 2**32},
}
NOTICES: dict[str, tuple[str, dict[str, Any]]] = {
    "capabilities": ("page", {"kind": "capabilities", "capabilities": {**CAPABILITIES, "webgpu": WEBGPU}}),
    "lane_failed": ("page", {"kind": "lane_failed", "lane": "b1.1", "error": ERROR}),
    "error": ("page", {"kind": "error", "id": 1, "error": ERROR}),
    "lost": ("lane", {"kind": "lost", "error": ERROR}),
    "progress": ("lane", {"kind": "progress", "id": 1, "done": 1, "total": None}),
    "page_hello": ("page", PAGE_HELLO),
    "lane_hello": ("lane", LANE_HELLO),
}
CASES: dict[str, dict[str, Any]] = {
    **{name: {"kind": "ok", "id": 1, **answer} for name, answer in ANSWERS.items()},
    **{name: header for name, (_, header) in NOTICES.items()},
}
OPTIONAL = {"captured", "encode", "name", "stack", "data"}  # and the id and the total that were not told


def receive(case: str, header: dict[str, Any]) -> Received | None:
    """Have a conversation in which everything was asked take in one frame."""
    role = REQUESTS[case][0] if case in REQUESTS else NOTICES[case][0]
    conversation = Conversation(role, 1 << 20, None, 0.0)
    if not case.endswith("_hello"):
        conversation.receive(frame(PAGE_HELLO if role == "page" else LANE_HELLO), 0.0)
        conversation.request(REQUESTS[case][1] if case in REQUESTS else StopLaneCommand(lane="b1.1"))
    return conversation.receive(frame(header), 1.0)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where each value inside a value stands; what an error tells for programs is anything."""
    if place and place[-1] in ("kind", "id"):
        return
    if place:
        yield place
    if isinstance(value, dict) and place[-1:] != ("data",):
        for key, inner in value.items():
            yield from places(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*place, index))


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """Return a copy with something else in a place, or with nothing there."""
    if not place:
        return new
    copy = value.copy()
    if len(place) == 1 and new is ...:
        del copy[place[0]]
    else:
        copy[place[0]] = changed(value[place[0]], place[1:], new)
    return copy


PLACES = [(case, place) for case, header in CASES.items() for place in places(header)]


def is_table(case: str, place: tuple[Any, ...]) -> bool:
    """Whether it stands in a list or in a table with names of any kind, where nothing has to be."""
    return isinstance(place[-1], int) or place[-2:-1] in (("nodes",), ("limits",), ("contexts",))


@pytest.mark.parametrize("case", CASES)
def test_message_with_every_field_is_taken_in(case: str) -> None:
    assert receive(case, CASES[case]) is not None


@pytest.mark.parametrize("case", CASES)
def test_field_of_a_newer_page_is_ignored(case: str) -> None:
    assert receive(case, {**CASES[case], "later": {"a": [1]}}) is not None


@pytest.mark.parametrize(("case", "place"), PLACES, ids=str)
def test_field_of_another_type_is_refused(case: str, place: tuple[Any, ...]) -> None:
    value: Any = CASES[case]
    for step in place:
        value = value[step]
    wrong: Any = [5] if isinstance(value, (dict, str, bool, int, float)) or value is None else {"a": 1}
    with pytest.raises(MalformedFrame):
        receive(case, changed(CASES[case], place, wrong))


@pytest.mark.parametrize(("case", "place"), [each for each in PLACES if not is_table(*each)], ids=str)
def test_field_that_is_missing_is_refused(case: str, place: tuple[Any, ...]) -> None:
    header = changed(CASES[case], place, ...)
    if place[-1] in OPTIONAL and place[-2:-1] != ("runtime",):
        assert receive(case, header) is not None
    else:
        with pytest.raises(MalformedFrame):
            receive(case, header)


@pytest.mark.parametrize("number", [10**400, -1, True, "1", None, [], 1e300], ids=lambda number: str(number)[:9])
@pytest.mark.parametrize("field", ["wait", "run"])
def test_time_that_is_none_is_refused(field: str, number: Any) -> None:
    with pytest.raises(MalformedFrame, match="timing") as caught:
        receive("run", {"kind": "ok", "id": 1, "timing": {**TIMING, field: number}})
    assert len(str(caught.value)) < 500


def test_speed_of_nothing_is_refused() -> None:
    for wrong in (0, -1, 10**400):
        with pytest.raises(MalformedFrame, match="gflops"):
            receive("measure", changed(CASES["measure"], ("gpu", "gflops"), wrong))
    assert receive("measure", changed(CASES["measure"], ("cpu",), None)) is not None


def test_remote_error_without_details_is_an_error() -> None:
    received = receive("error", {"kind": "error", "id": 1, "error": {"code": "new", "message": "?"}})
    error = received.error.to_exception()  # type: ignore[union-attr]
    assert isinstance(error, WebinferError)
    assert error.data == {}


def test_both_sides_have_the_same_messages() -> None:
    """The other half is ``web/test/wire/protocol.test.ts``."""
    assert describe() == json.loads(FILE.read_text())
