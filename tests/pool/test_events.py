"""What a log record has of an event is its fields by names that records allow."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import Any, get_args

import pytest

from webinfer.core.placement import LaneId
from webinfer.pool.events import BrowserEnded, Event, RunFailedEvent, log_fields
from webinfer.pool.plan.assignment import SessionKey


def test_key_is_spread_and_name_is_not_the_records() -> None:
    failed = RunFailedEvent(SessionKey("f" * 64, "wasm"), "lost.lane", 1, True, LaneId("b1", 1), "gone")
    assert log_fields(failed) == {
        "event": "run_failed",
        "model": "f" * 64,
        "backend": "wasm",
        "precision": "fp32",
        "code": "lost.lane",
        "attempts": 1,
        "retried": True,
        "lane": "b1.1",
        "reason": "gone",
    }
    ended = {"event": "browser_ended", "browser": "b1", "browser_name": "firefox", "cause": "x", "lost": True}
    assert log_fields(BrowserEnded("b1", "firefox", "x")) == ended


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: str(kind.__name__))
def test_every_event_can_be_logged(kind: Any) -> None:
    event = kind(**dict.fromkeys(field.name for field in fields(kind)))
    own = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
    assert not own & set(log_fields(event))
