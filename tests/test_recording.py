"""What is recorded of results, whatever becomes of single rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from webinfer.capabilities import Verdict
from webinfer.metrics import Aggregate
from webinfer.metrics.store import Store
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
