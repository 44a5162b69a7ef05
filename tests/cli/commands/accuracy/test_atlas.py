"""The commands atlas and check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.accuracy.atlas.graphs import GROUND, facts, resize, saved
from tests.cli.conftest import Call
from webinfer.accuracy.atlas import store
from webinfer.accuracy.atlas.rows import Atlas, Case, Ground, OperatorVerdict, Outcome

ALIGNED = resize(
    shape=(1, 3, "height", 8), coordinate_transformation_mode="align_corners"
)  # of known sizes it is rewritten


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, so that no test sees this user's rows."""
    monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _file(path: Path, outcome: Outcome, ground: Ground = GROUND) -> str:
    atlas = Atlas()
    atlas.add(ground, Case("aligned", facts(ALIGNED)), OperatorVerdict(outcome, "off by 0.2"))
    store.write(path, atlas)
    return str(path)


def test_atlas_shows_surveys_rows_and_a_page(call: Call, tmp_path: Path) -> None:
    listed = call("atlas", "--json").object
    assert {"embedded-153/wasm", "embedded-153/webnn"} <= {survey["name"] for survey in listed["surveys"]}
    assert "embedded-153/webnn" in call("atlas").out
    rows = call("atlas", "--operator", "resize", "--json").object["rows"]
    assert {row["operator"] for row in rows} == {"Resize"}
    assert "wrong" in call("atlas", "--operator", "Resize", "--of", "embedded-153/webnn").out
    assert call("atlas", "--html", str(tmp_path / "a.html")).code == 0
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert call("atlas", "--operator", "Nothing").code == 2
    assert call("atlas", "--of", "nothing").code == 2


def test_diff_says_what_broke_and_fails_then(call: Call, tmp_path: Path) -> None:
    before = _file(tmp_path / "a.gz", "right")
    after = _file(tmp_path / "b.gz", "wrong", replace(GROUND, engine_version="154.0"))
    broke = call("atlas", "diff", before, after)
    assert (broke.code, "1 broke" in broke.out, "off by 0.2" in broke.out) == (1, True, True)
    assert call("atlas", "diff", after, before).code == 0
    (one,) = call("atlas", "diff", before, after, "--json").object["differences"]
    assert [change["direction"] for change in one["changes"]] == ["broke"]
    assert call("atlas", "diff", before, str(tmp_path / "none")).code == 2


def test_merge_takes_rows_and_keeps_where_they_are_from(call: Call, tmp_path: Path) -> None:
    theirs = _file(tmp_path / "theirs.gz", "wrong", replace(GROUND, machine="another"))
    assert call("atlas", "merge", theirs, "--json").object["changed"] == 1
    assert call("atlas", "merge", theirs, "--json").object["changed"] == 0
    assert [row.ground.machine for row in store.read_user().rows()] == ["another"]
    assert call("atlas", "merge", theirs, "--output", str(tmp_path / "all.gz")).code == 0
    assert (tmp_path / "all.gz").exists()
    (tmp_path / "bad").write_text("{}", encoding="utf-8")
    assert call("atlas", "merge", str(tmp_path / "bad")).code == 2


def test_run_refuses_what_it_cannot_run(call: Call) -> None:
    assert call("atlas", "run", "--only", "no such case").code == 2
    assert call("atlas", "run", "--platform", "cuda", "--only", "test_abs").code == 2


def test_check_names_the_node_the_row_and_the_change(call: Call, tmp_path: Path) -> None:
    wrong = str(saved(ALIGNED, tmp_path / "m.onnx"))
    answer = call("check", wrong, "--browser", "embedded", "--platform", "webnn")
    assert answer.code == 1
    assert "sweep_resize_linear_align_corners_2.0_18" in answer.out
    assert "coordinate_transformation_mode=half_pixel" in answer.out
    checks = call("check", wrong, "--browser", "embedded", "--json").object["checks"]
    verdicts = {one["backend"]: one["verdict"] for one in checks}
    assert (verdicts["webnn"], verdicts["wasm"]) == ("wrong", "right")
    assert call("check", wrong, "--browser", "none").code == 2


def test_check_names_what_is_rewritten(call: Call, tmp_path: Path) -> None:
    path = str(saved(resize(coordinate_transformation_mode="align_corners"), tmp_path / "m.onnx"))
    answer = call("check", path, "--browser", "embedded")
    assert answer.out.count("rewritten for this backend, with the same answers: 1 of Resize") == 1
    rewritten = {one["backend"]: one["rewritten"] for one in call("check", path, "--json").object["checks"]}
    assert rewritten["webnn"] == {"Resize": 1}
    assert rewritten["wasm"] == {}
