"""Values become JSON, whatever they are."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webinfer.core.json import dumps, write_json, write_text


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


def test_file_is_written_whole_or_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "note.json"
    write_json(path, {"a": float("nan"), "b": Path("x")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": None, "b": "x"}

    def fail(self: Path, target: Path) -> Path:
        assert self.parent == target.parent  # on the same disk, so that renaming is one step
        assert self.read_text(encoding="utf-8") == "new"
        raise OSError("full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="full"):
        write_text(path, "new")
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": None, "b": "x"}
    assert [file.name for file in path.parent.iterdir()] == ["note.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_secrets_are_nobody_elses_to_read(tmp_path: Path) -> None:
    write_json(tmp_path / "secret.json", {}, mode=0o600)
    assert (tmp_path / "secret.json").stat().st_mode & 0o777 == 0o600


def test_writers_at_the_same_time_leave_one_of_their_files(tmp_path: Path) -> None:
    path, texts = tmp_path / "note.json", [str(number) * 50_000 for number in range(8)]

    def write(text: str) -> None:
        for _ in range(20):
            write_text(path, text)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, texts))
    assert path.read_text(encoding="utf-8") in texts
    assert list(tmp_path.iterdir()) == [path]
