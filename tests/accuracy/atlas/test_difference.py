"""What a new browser broke or mended."""

from __future__ import annotations

from dataclasses import replace

from tests.accuracy.atlas.graphs import GROUND, facts, resize
from webinfer.accuracy.atlas.difference import differences
from webinfer.accuracy.atlas.rows import Atlas, Case, Ground, OperatorVerdict, Outcome


def _atlas(ground: Ground, *outcomes: Outcome) -> Atlas:
    atlas = Atlas()
    for number, outcome in enumerate(outcomes):
        atlas.add(ground, Case(f"case{number}", facts(resize())), OperatorVerdict(outcome))
    return atlas


def test_changes_are_what_broke_and_what_was_mended() -> None:
    newer = replace(GROUND, engine_version="154.0")
    (found,) = differences(
        _atlas(GROUND, "right", "wrong", "right", "kills"), _atlas(newer, "wrong", "right", "right", "refused", "right")
    )
    assert found.both == 4
    assert [(change.case.name, change.direction) for change in found.changes] == [
        ("case0", "broke"),
        ("case1", "mended"),
        ("case3", "mended"),
    ]
    assert found.to_dict()["changes"][0]["after"]["outcome"] == "wrong"


def test_surveys_meet_by_browser_and_backend_the_newest_of_each() -> None:
    first, second = _atlas(GROUND, "right"), _atlas(GROUND, "right")
    second.merge(_atlas(replace(GROUND, engine_version="154.0", at="2026-03-01T00:00:00Z"), "wrong"))
    second.merge(_atlas(replace(GROUND, browser="chromium"), "wrong"))
    (found,) = differences(first, second)
    assert (found.after.engine_version, len(found.changes)) == ("154.0", 1)
    both = _atlas(GROUND, "right")
    both.merge(_atlas(replace(GROUND, backend="wasm"), "right"))
    assert differences(both, _atlas(replace(GROUND, browser="firefox"), "right")) == []
