"""As few lanes as are as fast as any, as far as that was measured."""

from __future__ import annotations

import pytest

from webinfer.policy.lanes import enough
from webinfer.policy.learning import ENOUGH, Record


def measured(seconds: float, runs: int = ENOUGH) -> Record:
    record = Record()
    for _ in range(runs):
        record = record.add(seconds, "1.0")
    return record


@pytest.mark.parametrize(
    ("milliseconds", "most", "lanes"),
    [
        ({1: 20, 2: 10, 3: 9.8, 4: 9.9}, 4, 2),
        ({1: 20, 2: 10, 3: 11}, 8, 2),
        ({1: 10, 2: 10.2}, 4, 1),
        ({1: 20, 2: 10}, 4, None),
        ({1: 20, 2: 10}, 2, None),
        ({1: 20, 2: 10, 3: 10}, 2, None),
        ({2: 10}, 4, None),
        ({}, 4, None),
    ],
    ids=[
        "more gain nothing",
        "more are slower",
        "one is enough",
        "more were not measured",
        "all are of use",
        "beyond what is allowed",
        "nothing to compare with",
        "nothing known",
    ],
)
def test_fewest_lanes_that_are_as_fast_as_any(milliseconds: dict[int, float], most: int, lanes: int | None) -> None:
    found = enough({count: measured(each / 1e3) for count, each in milliseconds.items()}, most)
    assert (found.lanes if found else None) == lanes
    assert found is None or found.why.startswith(f"{lanes} of {most} lanes are enough: ")


def test_too_few_measurements_are_none() -> None:
    assert enough({1: measured(0.01), 2: measured(0.01, ENOUGH - 1)}, 4) is None
