"""Results for tests of what takes note of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from webinfer.accuracy.outcome import Accuracy
from webinfer.core.capabilities import Verdict
from webinfer.inference.result import Result
from webinfer.pool.requests.request import Times

MODEL = "a" * 64

_PLAIN = Result(
    outputs={"y": np.zeros(1, np.float32)},
    model="m",
    model_sha256=MODEL,
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
    accuracy=Accuracy(combination={}, reason="not compared"),
    shape={},
    times=Times(0.0, 0.0, 0.0, 0.0, 0.0),
    items=1,
    batch=1,
    attempts=1,
)


def result(seconds: float = 0.0, **fields: Any) -> Result:
    """Return a result whose request spent all of its time in the run.

    Args:
        seconds: How long.
        fields: Fields of the result that differ.
    """
    return replace(_PLAIN, **{"times": Times(0.0, 0.0, seconds, 0.0, seconds), **fields})
