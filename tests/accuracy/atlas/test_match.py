"""Which rows fit a node, and what they say of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from onnx import ModelProto

from tests.accuracy.atlas.graphs import GROUND, facts, resize, saved
from webinfer.accuracy.atlas import steering
from webinfer.accuracy.atlas.advice import advice
from webinfer.accuracy.atlas.match import AtlasPlace, Chart, NodeFinding
from webinfer.accuracy.atlas.rows import Atlas, Case, Ground, OperatorVerdict, Outcome
from webinfer.models.files.package import describe

PLACE = AtlasPlace("chromium", "153.0.1", GROUND.runtime, "webnn")


def _atlas(*rows: tuple[str, ModelProto, Outcome], ground: Ground = GROUND) -> Atlas:
    atlas = Atlas()
    for name, model, outcome in rows:
        atlas.add(
            ground, Case(name, facts(model)), OperatorVerdict(outcome, "off by 0.2" if outcome == "wrong" else "")
        )
    return atlas


def _look_up(atlas: Atlas, model: ModelProto, place: AtlasPlace = PLACE) -> NodeFinding:
    return Chart(atlas, place).look_up("node", facts(model))


ALIGNED = resize(coordinate_transformation_mode="align_corners")
ROWS = _atlas(("aligned", ALIGNED, "wrong"), ("plain", resize(), "right"))


def test_only_the_like_of_a_wrong_node_is_wrong() -> None:
    finding = _look_up(ROWS, resize(shape=(2, 7, 32, 16), coordinate_transformation_mode="align_corners"))
    assert (finding.standing, finding.bad) == ("wrong", True)
    assert "Resize 'node': the atlas says that aligned of Resize-18" in finding.quote()
    assert "is wrong on webnn in chromium 153.0.1" in finding.quote()
    assert finding.quote().endswith("off by 0.2")
    assert _look_up(ROWS, resize()).standing == "right"
    assert _look_up(ROWS, resize(1.5)).standing == "unknown"


def test_rows_of_another_version_of_the_operator_hold_where_there_are_none_of_its_own() -> None:
    older = resize(opset=13, coordinate_transformation_mode="align_corners")
    assert _look_up(ROWS, older).standing == "wrong"
    both = _atlas(("aligned", ALIGNED, "wrong"), ("older", older, "right"))
    assert _look_up(both, older).standing == "right"


def test_rows_that_disagree_bar_nothing() -> None:
    rows = _atlas(("one", resize(1.5), "wrong"), ("two", resize(1.3), "right"))
    finding = _look_up(rows, resize(1.5, shape=("n", 3, "h", "w")))
    assert (finding.standing, finding.bad, len(finding.rows)) == ("mixed", False, 2)


def test_where_values_decide_a_node_is_wrong() -> None:
    rows = _atlas(("ties", ALIGNED, "wrong"), ("plain", ALIGNED, "right"), ("other", resize(), "right"))
    assert _look_up(rows, ALIGNED).standing == "wrong"
    assert _look_up(rows, resize()).standing == "right"


def test_rows_of_special_values_say_nothing_of_models() -> None:
    atlas = Atlas()
    special = facts(resize())
    atlas.add(
        GROUND, Case("nan", replace(special, traits={**special.traits, "values": "special"})), OperatorVerdict("wrong")
    )
    assert _look_up(atlas, resize()).standing == "unknown"


@pytest.mark.parametrize(
    ("place", "standing"),
    [
        (replace(PLACE, engine_version="153.9"), "wrong"),
        (replace(PLACE, engine_version="154.0.1"), "unknown"),
        (replace(PLACE, backend="wasm"), "unknown"),
        (replace(PLACE, engine="firefox"), "unknown"),
        (replace(PLACE, runtime="onnxruntime-web 1.31.0 jspi"), "unknown"),
    ],
)
def test_rows_hold_for_their_release_runtime_and_backend(place: AtlasPlace, standing: str) -> None:
    assert _look_up(ROWS, ALIGNED, place).standing == standing


def test_the_nearest_survey_wins() -> None:
    atlas = _atlas(("aligned", ALIGNED, "wrong"))
    later = replace(GROUND, engine_version="153.0.2", at="2026-02-01T00:00:00Z")
    atlas.merge(_atlas(("aligned", ALIGNED, "right"), ground=later))
    assert _look_up(atlas, ALIGNED).standing == "wrong"
    assert _look_up(atlas, ALIGNED, replace(PLACE, engine_version="153.0.2")).standing == "right"


def test_advice_names_what_is_right_there() -> None:
    chart = Chart(_atlas(("aligned", ALIGNED, "wrong"), ("halves", resize(coordinate_transformation_mode="half_pixel"),
                                                         "right")), PLACE)  # fmt: skip
    words = advice(chart, chart.look_up("node", facts(ALIGNED)))
    assert words == "Resize is right there with coordinate_transformation_mode=half_pixel (halves)."
    assert advice(Chart(_atlas(("aligned", ALIGNED, "wrong")), PLACE), chart.look_up("n", facts(ALIGNED))) is None


def test_faults_are_the_bad_nodes_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "known", lambda: ROWS)
    bad = describe(saved(ALIGNED, tmp_path / "bad.onnx"), "bad").model
    good = describe(saved(resize(), tmp_path / "good.onnx"), "good").model
    assert [finding.node for finding in steering.faults(bad, PLACE)] == ["y"]
    assert steering.faults(good, PLACE) == ()
    assert steering.faults(bad, replace(PLACE, backend="wasm")) == ()
