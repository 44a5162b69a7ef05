"""A lane is spare only where nothing that it does would have to be done anew elsewhere."""

from __future__ import annotations

import pytest

from webinfer.pool.maintenance.autoscaler import _is_spare
from webinfer.pool.plan.assignment import LaneState, SessionKey

ONE, OTHER = SessionKey("a" * 64, "wasm"), SessionKey("b" * 64, "wasm")


@pytest.mark.parametrize(
    ("held", "loading", "others", "spare"),
    [
        ([ONE], None, [[ONE]], True),
        ([ONE, OTHER], None, [[ONE], [OTHER]], True),
        ([ONE, OTHER], None, [[ONE]], False),
        ([ONE], OTHER, [[ONE]], False),
        ([ONE], None, [], False),
        ([], None, [[ONE]], False),
    ],
    ids=["another holds it", "others hold it", "none holds the other", "it loads", "it is alone", "it is new"],
)
def test_lane_is_spare_where_others_hold_all_that_it_does(
    held: list[SessionKey], loading: SessionKey | None, others: list[list[SessionKey]], spare: bool
) -> None:
    lane, *rest = (
        LaneState(f"b1.{number}", frozenset({"wasm"}), dict.fromkeys(keys, 1), None, 1, "embedded")
        for number, keys in enumerate((held, *others), 1)
    )
    lane.loading = loading
    assert _is_spare(lane, [lane, *rest]) == spare
