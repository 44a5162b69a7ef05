"""Workgroups of the audio shader are written as people write them."""

from __future__ import annotations

import pytest

from tests.tuning.test_tuning import place, result
from webinfer.inference.probes.audio import DEFAULT, SHAPES, Workgroup, chosen_workgroup, name, parse
from webinfer.inference.route import Choice
from webinfer.tuning.tuning import Standing


def test_shapes_are_written_as_people_write_them() -> None:
    assert name((256, 1)) == "256x1x1"
    assert [parse(name(shape)) for shape in SHAPES] == list(SHAPES)
    for bad in ("256x1", "0x1x1", "8x8x8", "wide"):
        with pytest.raises(ValueError, match="no workgroup"):
            parse(bad)


@pytest.mark.parametrize(
    ("taken", "is_wanted", "expected"),
    [
        ("256x1x1", False, (256, 1)),
        ("256x1x1", True, (256, 1)),
        (None, True, DEFAULT),
        (None, False, None),
        ("wide", True, DEFAULT),
    ],
    ids=["a shape won", "and is wanted", "wanted all the same", "numpy won", "damaged"],
)
def test_workgroup_is_what_a_contest_found(taken: str | None, is_wanted: bool, expected: Workgroup | None) -> None:
    standing = Standing(candidate=place("embedded", "webgpu", workgroup=taken), seconds=1.0)
    choice = Choice("auto", "webgpu", None, None, None, "tuned", result(winner=standing.candidate), standing)
    assert chosen_workgroup(choice, is_wanted=is_wanted) == expected
    assert chosen_workgroup(choice.elsewhere("webgpu"), is_wanted=is_wanted) == (DEFAULT if is_wanted else None)
    assert chosen_workgroup(choice.elsewhere("wasm"), is_wanted=True) is None
