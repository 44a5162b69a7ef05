from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.frames import LANE_HELLO, PAGE_HELLO, TIMING, frame
from webinfer.core.errors import BackendUnavailable, MalformedFrame, RunFailed, UnknownKind, VersionMismatch
from webinfer.transport.wire.codec import decode
from webinfer.transport.wire.commands import FileSource, LoadCommand, RunCommand
from webinfer.transport.wire.conversation import Conversation, Reply
from webinfer.transport.wire.messages import PROTOCOL, DeviceFailure, Failure, LaneHello, Transfer

LOAD = LoadCommand(
    session="s1",
    resident=[],
    capture=False,
    backend="wasm",
    model=FileSource("/models/a", 3),
    external=[],
    dimensions={},
    device=None,
    store=False,
)
RUN = RunCommand(session="s1", outputs=None)


def lane(**changes: Any) -> Conversation:
    conversation = Conversation("lane", 1 << 20, None, now=0.0)
    conversation.receive(frame({**LANE_HELLO, **changes}), now=0.0)
    return conversation


def test_first_message_must_be_the_hello() -> None:
    with pytest.raises(MalformedFrame, match="hello"):
        Conversation("lane", 1 << 20, None, now=0.0).receive(frame({"kind": "ok", "id": 1}), now=0.0)


def test_hello_of_another_role_is_refused() -> None:
    with pytest.raises(MalformedFrame):
        lane(role="page")


def test_hello_is_the_first_message_and_no_later_one() -> None:
    conversation = Conversation("lane", 1 << 20, None, now=0.0)
    hello = conversation.receive(frame(LANE_HELLO), now=0.0)
    assert isinstance(hello, LaneHello)
    assert str(hello.runtime) == "onnxruntime-web 1.30.0 jspi"
    with pytest.raises(UnknownKind, match="after its hello"):
        conversation.receive(frame(LANE_HELLO), now=1.0)


def test_hello_of_another_protocol_with_other_fields_is_told_apart() -> None:
    later = {"kind": "hello", "protocol": PROTOCOL + 1, "role": "lane", "name": 5}
    with pytest.raises(VersionMismatch):
        Conversation("lane", 1 << 20, None, now=0.0).receive(frame(later), now=0.0)


def test_hello_of_another_protocol_is_refused_with_the_remedy() -> None:
    with pytest.raises(VersionMismatch, match="make web"):
        lane(protocol=PROTOCOL + 1)


def test_answer_settles_its_request_once() -> None:
    conversation = lane()
    number, parts = conversation.request(RUN, {"x": np.zeros(2, np.float32)})
    assert decode(b"".join(parts)).id == number
    answer = frame({"kind": "ok", "id": number, "timing": TIMING})
    assert isinstance(conversation.receive(answer, now=1.0), Reply)
    assert conversation.receive(answer, now=1.0) is None


def test_late_answer_to_a_forgotten_request_is_dropped() -> None:
    conversation = lane()
    number, _ = conversation.request(RUN)
    conversation.forget(number)
    assert conversation.receive(frame({"kind": "ok", "id": number}), now=1.0) is None
    assert conversation.receive(frame({"kind": "progress", "id": number, "done": 1}), now=1.0) is None


def test_remote_error_becomes_its_own_type_with_the_page_s_stack() -> None:
    conversation = lane()
    number, _ = conversation.request(LOAD)
    error = {"code": BackendUnavailable.code, "message": "no adapter", "stack": "at lane.js:1"}
    event = conversation.receive(frame({"kind": "error", "id": number, "error": error}), now=1.0)
    assert isinstance(event, Failure)
    raised = event.error.to_exception()
    assert type(raised) is BackendUnavailable
    assert raised.data == {"stack": "at lane.js:1"}


def test_remote_error_of_unknown_code_is_a_failed_run() -> None:
    conversation = lane()
    number, _ = conversation.request(RUN)
    event = conversation.receive(
        frame({"kind": "error", "id": number, "error": {"code": "new", "message": "?"}}), now=1.0
    )
    assert isinstance(event, Failure)
    assert type(event.error.to_exception()) is RunFailed


def test_progress_and_notices_are_told_apart() -> None:
    conversation = lane()
    number, _ = conversation.request(LOAD)
    event = conversation.receive(frame({"kind": "progress", "id": number, "done": 5, "total": None}), now=1.0)
    assert event == Transfer(id=number, done=5, total=None)
    notice = conversation.receive(frame({"kind": "lost", "error": {"code": "lost.device", "message": "gone"}}), now=1.0)
    assert isinstance(notice, DeviceFailure)
    assert notice.kind == "lost"


def test_kind_that_this_role_does_not_send_is_refused() -> None:
    with pytest.raises(UnknownKind, match="capabilities"):
        lane().receive(frame({"kind": "capabilities", "capabilities": {}}), now=1.0)


def test_missing_field_is_refused_by_name() -> None:
    with pytest.raises(MalformedFrame, match="`error`"):
        lane().receive(frame({"kind": "lost"}), now=1.0)


def test_unknown_field_is_ignored() -> None:
    conversation = lane()
    number, _ = conversation.request(RUN)
    assert isinstance(
        conversation.receive(frame({"kind": "ok", "id": number, "timing": TIMING, "later": 1}), now=1.0), Reply
    )


def test_tick_pings_until_three_heartbeats_were_missed() -> None:
    conversation = Conversation("page", 1 << 20, 5.0, now=0.0)
    assert [conversation.tick(now=now) is not None for now in (5.0, 10.0, 15.0, 20.0)] == [True, True, True, False]
    assert conversation.missed == 3


def test_time_in_which_nobody_ticked_is_not_held_against_the_other_side() -> None:
    conversation = Conversation("page", 1 << 20, 5.0, now=0.0)
    assert conversation.tick(now=5.0) is not None
    assert conversation.stalled == 0
    assert conversation.tick(now=1000.0) is not None
    assert conversation.stalled == 990.0
    assert conversation.missed == 0
    assert [conversation.tick(now=now) is not None for now in (1005.0, 1010.0)] == [True, False]


def test_anything_heard_counts_as_a_sign_of_life() -> None:
    conversation = Conversation("page", 1 << 20, 5.0, now=0.0)
    conversation.receive(frame(PAGE_HELLO), now=10.0)
    conversation.receive(frame({"kind": "pong"}), now=14.0)
    assert conversation.missed == 0
    assert [conversation.tick(now=now) is not None for now in (15.0, 20.0, 25.0, 30.0)] == [True, True, True, False]
