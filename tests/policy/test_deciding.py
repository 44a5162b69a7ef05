"""A decision says what was taken, what else there was, and why not that."""

from __future__ import annotations

import json

import pytest

from webinfer.pool.learning.bandit import Arm, Learning, Record
from webinfer.pool.learning.decision import Decision

A, B, C, D = (Arm(name, "wasm") for name in ("embedded", "chromium", "firefox", "edge"))


def measured(*seconds: float) -> Record:
    record = Record()
    for each in seconds:
        record = record.add(each, "1.0")
    return record


RECORDS = {A: measured(*[0.010] * 20), B: measured(*[0.013] * 8), C: measured(0.009, 0.0095)}


def test_candidates_come_with_what_they_take_how_often_that_was_seen_and_why_they_were_not_taken() -> None:
    decision = Decision(
        taken=A,
        source="learned",
        reason="measured",
        arms=[D, B, A, C],
        records=RECORDS,
        barred={D: "it fails"},
        tried={C},
    )
    first, second, third, last = decision.candidates
    assert (first.arm, first.runs, first.source, first.why_not) == (A, 20, "learned", None)
    assert first.seconds == pytest.approx(0.010)
    assert (second.arm, second.source) == (C, "explored")
    assert str(second.why_not).startswith("1.08 times as fast, which is not worth a change")
    assert (third.arm, third.runs, third.why_not) == (B, 8, "1.30 times as slow")
    assert (last.arm, last.seconds, last.runs, last.source, last.why_not) == (D, None, 0, "table", "it fails")


def test_what_is_faster_by_chance_alone_is_told_with_the_range() -> None:
    noisy = {A: measured(0.010, 0.012, 0.009, 0.011, 0.010), B: measured(0.006, 0.013, 0.007, 0.012, 0.006)}
    _, other = Decision(taken=A, source="table", reason="", arms=[A, B], records=noisy).candidates
    assert "which may be chance: 0." in str(other.why_not)


def test_trial_says_that_another_place_serves() -> None:
    decision = Decision(taken=B, source="explored", reason="a trial", serving=A, arms=[A, B, C, D], records=RECORDS)
    reasons = {each.arm: each.why_not for each in decision.candidates}
    assert reasons[A] == "it serves, and this request was a trial"
    assert reasons[B] is None
    assert reasons[D] == "it was not measured yet"


def test_caller_overrides_whatever_is_known() -> None:
    decision = Decision(taken=B, source="override", reason="wasm was asked for", arms=[A, B], records=RECORDS)
    first, other = decision.candidates
    assert (first.source, other.why_not) == ("override", "the caller asked for chromium wasm")


def test_decision_is_ready_for_json() -> None:
    told = json.loads(json.dumps(Decision(taken=A, source="table", reason="r", arms=[A, B], records=RECORDS).to_dict()))
    assert told["taken"] == {"browser": "embedded", "backend": "wasm", "precision": "fp32"}
    assert [each["browser"] for each in told["candidates"]] == ["embedded", "chromium"]
    assert told["candidates"][1]["why_not"] == "1.30 times as slow"


def test_place_is_explored_until_it_serves() -> None:
    learning = Learning(A, [A, B])
    learning.ready |= {A, B}
    for _ in range(20):
        learning.observe(A, 0.010, "1.0")
    learning.observe(B, 0.001, "1.0")
    assert learning.tried == {B}
    while learning.serving == A:
        learning.observe(B, 0.001, "1.0")
    learning.observe(B, 0.001, "1.0")
    assert learning.tried == set()
