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
    ("taken", "others", "is_wanted", "expected"),
    [
        ("256x1x1", [None], False, (256, 1)),
        ("256x1x1", [None], True, (256, 1)),
        (None, ["256x1x1"], True, None),
        (None, [None], True, DEFAULT),
        (None, [None], False, None),
        ("wide", [], True, DEFAULT),
    ],
    ids=["a shape won", "and is wanted", "numpy won", "no shape took part", "none is wanted", "damaged"],
)
def test_workgroup_is_what_a_contest_found(
    taken: str | None, others: list[str | None], is_wanted: bool, expected: Workgroup | None
) -> None:
    standings = tuple(
        Standing(candidate=place("embedded", "webgpu", workgroup=shape), seconds=1.0) for shape in (taken, *others)
    )
    tuning = result(winner=standings[0].candidate, standings=standings)
    choice = Choice("auto", "webgpu", None, None, None, "tuned", tuning, standings[0])
    assert chosen_workgroup(choice, is_wanted=is_wanted) == expected
    assert chosen_workgroup(choice.elsewhere("webgpu"), is_wanted=is_wanted) == (DEFAULT if is_wanted else None)
    assert chosen_workgroup(choice.elsewhere("wasm"), is_wanted=True) is None
