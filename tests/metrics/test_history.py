"""What was learned is kept between processes, for this machine, and never in anybody's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from webinfer.pool.learning.bandit import Arm, Record
from webinfer.pool.learning.lane_count import LaneTimes, Timed
from webinfer.telemetry.database.history import FileHistory

SHA = "a" * 64
A, B = Arm("embedded", "wasm"), Arm("firefox", "wasm", "fp16")
RECORD = Record("140.0", 7, -3.5, 0.04, 1.25)


def test_what_was_noted_is_read_by_the_next_process(tmp_path: Path) -> None:
    history = FileHistory("1 lane", tmp_path)
    history.note(SHA, A, Record("1"))
    history.note(SHA, A, RECORD)
    history.note("b" * 64, B, Record("2"))
    assert FileHistory("1 lane", tmp_path).read(SHA) == {}
    history.flush()
    assert FileHistory("1 lane", tmp_path).read(SHA) == {A: RECORD}


def test_what_lanes_do_is_kept_by_the_size_of_requests_and_beside_what_arms_do(tmp_path: Path) -> None:
    few, many = LaneTimes({1: Timed(RECORD, 12), 2: Timed(Record("140.1", 5), 17)}), LaneTimes({1: Timed(RECORD, 7)})
    history = FileHistory("1 lane", tmp_path)
    history.note(SHA, A, RECORD)
    history.note_lanes(SHA, A, 3, few)
    history.flush()
    history.note_lanes(SHA, A, 9, many)
    history.note_lanes(SHA, B, 3, many)
    history.flush()
    again = FileHistory("1 lane", tmp_path)
    assert again.scaling(SHA, A) == {3: few, 9: many}
    assert again.scaling(SHA, B) == {3: many}
    assert again.scaling("b" * 64, A) == FileHistory("2 lanes", tmp_path).scaling(SHA, A) == {}
    assert again.read(SHA) == {A: RECORD}


def test_other_settings_and_processes_keep_theirs(tmp_path: Path) -> None:
    one, other, setting = (
        FileHistory("1 lane", tmp_path),
        FileHistory("1 lane", tmp_path),
        FileHistory("2 lanes", tmp_path),
    )
    one.note(SHA, A, RECORD)
    other.note(SHA, B, RECORD)
    setting.note(SHA, A, Record("9"))
    for history in (one, other, setting):
        history.flush()
    assert one.read(SHA) == {A: RECORD, B: RECORD}
    assert setting.read(SHA) == {A: Record("9")}


@pytest.mark.parametrize(
    "damage",
    [
        *("", "{", "[]", '"text"', '{"format": 99}', '{"format": 1, "places": []}'),
        '{"format": 1, "places": {}, "lanes": []}',
    ],
)
def test_damaged_file_is_as_good_as_none_and_is_begun_anew(tmp_path: Path, damage: str) -> None:
    (tmp_path / f"{SHA}.json").write_text(damage)
    history = FileHistory("1 lane", tmp_path)
    assert history.read(SHA) == {}
    assert history.scaling(SHA, A) == {}
    history.note(SHA, A, RECORD)
    history.note_lanes(SHA, A, 3, LaneTimes({1: Timed(RECORD, 1)}))
    history.flush()
    assert history.read(SHA) == {A: RECORD}
    assert history.scaling(SHA, A) == {3: LaneTimes({1: Timed(RECORD, 1)})}


def test_place_that_cannot_be_written_costs_only_the_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = FileHistory("1 lane", tmp_path / "file")
    history.note(SHA, A, RECORD)
    history.flush()
    assert history.read(SHA) == {}
