from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from webinfer.core.errors import BackendUnavailable, MalformedFrame, RunFailed, UnknownKind, VersionMismatch
from webinfer.transport.wire import Answer, Failure, Notice, Session, Transfer, decode, encode
from webinfer.transport.wire.messages import PROTOCOL

HELLO = {"kind": "hello", "protocol": PROTOCOL, "role": "lane", "lane": "b1.1", "runtime": {}}


def lane(**changes: Any) -> Session:
    session = Session("lane", 1 << 20, None, now=0.0)
    session.receive(encode({**HELLO, **changes}), now=0.0)
    return session


def test_first_message_must_be_the_hello() -> None:
    with pytest.raises(MalformedFrame, match="hello"):
        Session("lane", 1 << 20, None, now=0.0).receive(encode({"kind": "ok", "id": 1}), now=0.0)


def test_hello_of_another_role_is_refused() -> None:
    with pytest.raises(MalformedFrame):
        lane(role="page")


def test_hello_of_another_protocol_is_refused_with_the_remedy() -> None:
    with pytest.raises(VersionMismatch, match="make web"):
        lane(protocol=PROTOCOL + 1)


def test_answer_settles_its_request_once() -> None:
    session = lane()
    number, parts = session.request("run", {"session": "s1"}, {"x": np.zeros(2, np.float32)})
    assert decode(b"".join(parts)).id == number
    answer = encode({"kind": "ok", "id": number})
    assert isinstance(session.receive(answer, now=1.0), Answer)
    assert session.receive(answer, now=1.0) is None


def test_late_answer_to_a_forgotten_request_is_dropped() -> None:
    session = lane()
    number, _ = session.request("run", {})
    session.forget(number)
    assert session.receive(encode({"kind": "ok", "id": number}), now=1.0) is None
    assert session.receive(encode({"kind": "progress", "id": number, "done": 1}), now=1.0) is None


def test_remote_error_becomes_its_own_type_with_the_page_s_stack() -> None:
    session = lane()
    number, _ = session.request("load", {})
    error = {"code": BackendUnavailable.code, "message": "no adapter", "stack": "at lane.js:1"}
    event = session.receive(encode({"kind": "error", "id": number, "error": error}), now=1.0)
    assert isinstance(event, Failure)
    assert type(event.error) is BackendUnavailable
    assert event.error.data["stack"] == "at lane.js:1"


def test_remote_error_of_unknown_code_is_a_failed_run() -> None:
    session = lane()
    number, _ = session.request("run", {})
    event = session.receive(encode({"kind": "error", "id": number, "error": {"code": "new", "message": "?"}}), now=1.0)
    assert isinstance(event, Failure)
    assert type(event.error) is RunFailed


def test_progress_and_notices_are_told_apart() -> None:
    session = lane()
    number, _ = session.request("load", {})
    event = session.receive(encode({"kind": "progress", "id": number, "done": 5, "total": None}), now=1.0)
    assert event == Transfer(number, 5, None)
    notice = session.receive(encode({"kind": "lost", "error": {"code": "lost.device"}}), now=1.0)
    assert isinstance(notice, Notice)
    assert notice.message.kind == "lost"


def test_kind_that_this_role_does_not_send_is_refused() -> None:
    with pytest.raises(UnknownKind, match="capabilities"):
        lane().receive(encode({"kind": "capabilities", "capabilities": {}}), now=1.0)


def test_missing_field_is_refused_by_name() -> None:
    with pytest.raises(MalformedFrame, match="'error'"):
        lane().receive(encode({"kind": "lost"}), now=1.0)


def test_unknown_field_is_ignored() -> None:
    session = lane()
    number, _ = session.request("run", {})
    assert isinstance(session.receive(encode({"kind": "ok", "id": number, "later": 1}), now=1.0), Answer)


def test_tick_pings_until_three_heartbeats_were_missed() -> None:
    session = Session("page", 1 << 20, 5.0, now=0.0)
    assert [session.tick(now=now) is not None for now in (5.0, 10.0, 15.0, 20.0)] == [True, True, True, False]
    assert session.missed == 3


def test_time_in_which_nobody_ticked_is_not_held_against_the_other_side() -> None:
    session = Session("page", 1 << 20, 5.0, now=0.0)
    assert session.tick(now=5.0) is not None
    assert session.stalled == 0
    assert session.tick(now=1000.0) is not None
    assert session.stalled == 990.0
    assert session.missed == 0
    assert [session.tick(now=now) is not None for now in (1005.0, 1010.0)] == [True, False]


def test_anything_heard_counts_as_a_sign_of_life() -> None:
    session = Session("page", 1 << 20, 5.0, now=0.0)
    hello = {**HELLO, "role": "page", "user_agent": "", "engine": "chromium", "engine_version": ""}
    session.receive(encode(hello), now=10.0)
    session.receive(encode({"kind": "pong"}), now=14.0)
    assert session.missed == 0
    assert [session.tick(now=now) is not None for now in (15.0, 20.0, 25.0, 30.0)] == [True, True, True, False]
