from __future__ import annotations

from webinfer.core.placement import LaneId


def test_lane_is_shown_as_its_browser_and_number() -> None:
    lane = LaneId("b1", 2)
    assert (str(lane), f"{lane}", "%s" % (lane,)) == ("b1.2", "b1.2", "b1.2")  # noqa: UP031  # as loggers do


def test_lanes_are_compared_by_number_and_not_by_text() -> None:
    assert sorted([LaneId("b1", 10), LaneId("b1", 9)]) == [LaneId("b1", 9), LaneId("b1", 10)]
    assert len({LaneId("b1", 1), LaneId("b1", 1), LaneId("b11", 1)}) == 2
