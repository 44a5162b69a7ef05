"""What is recorded of results, whatever becomes of single rows."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from webinfer.capabilities import Verdict
from webinfer.metrics import Aggregate
from webinfer.metrics.store import Store
from webinfer.models.accuracy import Accuracy
from webinfer.options import Options
from webinfer.policy.deciding import Decision
from webinfer.policy.learning import Arm
from webinfer.recording import Recorder
from webinfer.request import Times
from webinfer.result import Result


def result() -> Result:
    arm = Arm("embedded", "wasm")
    return Result(
        outputs={"y": np.zeros(1, np.float32)},
        model="m",
        model_sha256="a" * 64,
        model_cid="",
        weights="real",
        family="unknown",
        asked="wasm",
        backend="wasm",
        reason=None,
        precision="fp32",
        quantized={},
        rewritten={},
        warmed=False,
        browser="embedded",
        routing=None,
        engine="chromium",
        engine_version="1",
        runtime="",
        lane="b1.1",
        verdict=Verdict("unproven"),
        placement=None,
        accuracy=None,
        shape={},
        times=Times(0.0, 0.0, 0.0, 0.0, 0.0),
        items=1,
        batch=1,
        attempts=1,
        decision=Decision(taken=arm, source="override", reason="wasm was asked for", arms=[arm], records={}),
    )


def test_decision_is_recorded_though_the_first_row_of_its_session_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, store = Recorder(Aggregate()), Store(":memory:")
    recorder.open(store, Options.of())
    with monkeypatch.context() as full:
        full.setattr(store, "_limit", 0)
        recorder.answered(result())
    recorder.answered(result())
    assert store.status.dropped == 1
    (row,) = store.query("SELECT decision FROM sessions")
    assert json.loads(row["decision"])["taken"] == {"browser": "embedded", "backend": "wasm", "precision": "fp32"}
    store.close()


def recorded(results: list[Result]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of results and of their sessions."""
    recorder, store = Recorder(Aggregate()), Store(":memory:")
    recorder.open(store, Options.of())
    for each in results:
        recorder.answered(each)
    rows = store.query("SELECT i.*, lane FROM inferences i LEFT JOIN sessions s ON s.id = i.session ORDER BY i.id")
    sessions = store.query("SELECT * FROM sessions")
    store.close()
    return rows, sessions


def test_rows_are_what_results_say_to_the_last_bit_in_their_order_whatever_lanes_take_turns() -> None:
    draw = random.Random(6)
    given = [
        replace(
            result(),
            lane=f"b1.{number % 3}",
            times=Times(*(draw.random() * 10 ** draw.randint(-9, 3) for _ in range(5))),
            items=draw.randint(1, 2**31 - 1),
            batch=draw.randint(1, 64),
            attempts=draw.randint(1, 3),
        )
        for number in range(1000)
    ]
    rows, sessions = recorded(given)
    names = ("lane", "queue", "wait", "run_time", "transfer", "total", "items", "batch", "attempts")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (
            each.lane,
            *(each.times.queue, each.times.wait, each.times.run, each.times.transfer, each.times.total),
            *(each.items, each.batch, each.attempts),
        )
        for each in given
    ]
    assert len({row["id"] for row in rows}) == 1000
    assert len(sessions) == 3
    assert {(row["run"], row["error_code"]) for row in rows} == {(sessions[0]["run"], None)}
    moments = [row["timestamp"] for row in rows]
    assert moments == sorted(moments)


def test_session_is_one_whether_or_not_its_answers_were_compared_meanwhile() -> None:
    compared = replace(result(), accuracy=Accuracy(combination={"model": "m"}))
    _, sessions = recorded([result(), compared, result()])
    assert len(sessions) == 1
