"""Values become JSON, whatever they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webinfer.core.json import dumps


@dataclass(frozen=True)
class Point:
    x: int
    y: Any


class Mute:
    """Cannot be told."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param(
            [float("nan"), float("inf"), 1.5, 2**70, True, None], [None, None, 1.5, 2**70, True, None], id="numbers"
        ),
        pytest.param({("a", 1): (Path("/c"), {3})}, {"('a', 1)": ["/c", [3]]}, id="containers"),
        pytest.param({"a\udcff": "b\ud800ä🙂"}, {"a?": "b?ä🙂"}, id="halves of characters"),
        pytest.param(
            [np.int64(3), np.float32(0.5), np.float64("nan"), np.str_("x")], ["3", "0.5", None, "x"], id="numpy"
        ),
        pytest.param(
            [datetime(2026, 1, 2, 3), datetime(2026, 1, 2, 3, tzinfo=UTC), date(2026, 1, 2)],
            ["2026-01-02T03:00:00Z", "2026-01-02T03:00:00+00:00", "2026-01-02"],
            id="times",
        ),
        pytest.param(Point(1, (Point(2, None),)), {"x": 1, "y": [{"x": 2, "y": None}]}, id="data"),
        pytest.param({Mute(): Mute()}, {"<Mute>": "<Mute>"}, id="mute"),
    ],
)
def test_everything_has_a_word_in_json(value: Any, written: Any) -> None:
    text = dumps(value)
    assert json.loads(text.encode()) == written
    assert "NaN" not in text
