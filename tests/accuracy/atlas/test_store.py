"""Files of rows: compact, merged, and refused where they are something else."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from tests.accuracy.atlas.graphs import GROUND, facts, resize
from webinfer.accuracy.atlas import store
from webinfer.accuracy.atlas.rows import OUTCOMES, Atlas, Case, OperatorVerdict
from webinfer.core.errors import OptionError

MOST = 1_000_000  # bytes that the shipped rows may take


def _atlas(outcome: str = "wrong", at: str = "2026-01-01T00:00:00Z") -> Atlas:
    atlas = Atlas()
    atlas.add(replace(GROUND, at=at), Case("one", facts(resize())), OperatorVerdict(outcome, "off"))  # type: ignore[arg-type]
    atlas.add(replace(GROUND, at=at), Case("two", facts(resize(1.5))), OperatorVerdict("right"))
    return atlas


def test_rows_come_back_from_a_file_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "atlas.json.gz"
    store.write(path, _atlas())
    again = store.read(path)
    assert {str(row) for row in again.rows()} == {str(row) for row in _atlas().rows()}
    assert again.cases == _atlas().cases
    assert store.encode(again) == store.encode(_atlas()) == path.read_bytes()


def test_shipped_rows_are_compact_and_of_every_backend_of_the_embedded_browser() -> None:
    atlas = store.shipped()
    grounds = [survey.ground for survey in atlas.surveys.values()]
    assert {ground.backend for ground in grounds if ground.browser == "embedded"} == {"wasm", "webnn", "webgpu"}
    assert all(ground.engine_version and ground.runtime and ground.machine and ground.at for ground in grounds)
    assert len(store.encode(atlas)) < MOST
    for survey in atlas.surveys.values():
        counts = survey.counts()
        assert tuple(counts) == OUTCOMES
        assert sum(counts.values()) == len(survey.verdicts)


def test_of_two_runs_the_later_row_stays_and_says_where_it_is_from() -> None:
    earlier, later = _atlas(), _atlas("right", "2026-02-01T00:00:00Z")
    assert earlier.merge(later) == 1
    assert {row.verdict.outcome for row in earlier.rows()} == {"right"}
    assert {row.ground.at for row in earlier.rows()} == {"2026-02-01T00:00:00Z"}
    assert earlier.merge(_atlas()) == 0
    other = Atlas()
    other.add(replace(GROUND, machine="another"), Case("one", facts(resize())), OperatorVerdict("kills"))
    assert earlier.merge(other) == 1
    assert len(earlier.surveys) == 2


def test_known_rows_are_those_shipped_and_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "cache_dir", lambda: tmp_path)
    assert store.read_user().surveys == {}
    before = store.known()
    store.write(store.user_path(), _atlas())
    assert len(store.known().surveys) == len(before.surveys) + 1
    assert store.known() is store.known()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\x1f\x8b\x00",
        b'{"format": 9, "cases": [], "surveys": []}',
        b'{"format": 1, "cases": [], "surveys": [{"ground": {"backend": "cpu"}, "verdicts": "", "notes": {}}]}',
        b'{"format": 1, "cases": [], "surveys": [{"ground": {}, "verdicts": "", "notes": {}}]}',
        gzip.compress(b"no"),
    ],
)
def test_what_is_no_file_of_rows_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(OptionError, match="no file of `webinfer atlas`"):
        store.read(path)


def test_a_file_that_unpacks_to_fill_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_LARGEST", 1000)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(b" " * 100_000))
    with pytest.raises(OptionError, match="holds more than"):
        store.read(path)
    with pytest.raises(OptionError, match="cannot be read"):
        store.read(tmp_path / "none")
