"""Lanes come while requests wait and go when they are idle, without swinging."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webinfer.core.placement import LaneId
from webinfer.pool.plan.scaling import PATIENCE, BrowserLoad, LaneLoad, ScalingLimits, scale

LIMITS = ScalingLimits(least=1, most=3, idle=60)
ONE = BrowserLoad("b1", [LaneLoad(LaneId("b1", 1))])


def test_lane_is_added_once_requests_have_waited_long_enough() -> None:
    pressed = replace(ONE, pressed_since=10.0)
    early = scale([pressed], LIMITS, 10 + PATIENCE / 2)
    assert (early.grow, early.wake) == ([], 10 + PATIENCE)
    assert scale([pressed], LIMITS, 10 + PATIENCE).grow == ["b1"]


@pytest.mark.parametrize(
    "changes",
    [{"starting": 1}, {"full": True}, {"lanes": [LaneLoad(LaneId("b1", number)) for number in (1, 2, 3)]}],
    ids=["one is starting", "over its memory limit", "as many as may be"],
)
def test_no_lane_is_added(changes: dict[str, object]) -> None:
    made = scale([replace(ONE, pressed_since=0.0, **changes)], LIMITS, 100)  # type: ignore[arg-type]
    assert (made.grow, made.end, made.wake) == ([], [], None)


def test_idle_lanes_end_down_to_the_least_that_idle_longest_first() -> None:
    lanes = [LaneLoad(LaneId("b1", 1), 20.0), LaneLoad(LaneId("b1", 2), 0.0), LaneLoad(LaneId("b1", 3), 30.0)]
    assert scale([replace(ONE, lanes=lanes)], LIMITS, 59).wake == 60
    made = scale([replace(ONE, lanes=lanes)], LIMITS, 60)
    assert (made.end, made.wake) == ([LaneId("b1", 2)], 80)
    assert scale([replace(ONE, lanes=lanes)], LIMITS, 90).end == [lanes[1].id, lanes[0].id], "the one used last is kept"
    alike = [LaneLoad(LaneId("b1", 1), 0.0), LaneLoad(LaneId("b1", 2), 0.0)]
    assert scale([replace(ONE, lanes=alike)], LIMITS, 60).end == [LaneId("b1", 2)], "the youngest first"


def test_least_counts_over_all_browsers_and_may_be_none_at_all() -> None:
    both = [BrowserLoad(name, [LaneLoad(LaneId(name, 1), 0.0)]) for name in ("b1", "b2")]
    assert len(scale(both, LIMITS, 60).end) == 1
    assert len(scale(both, replace(LIMITS, least=0), 60).end) == 2


def test_lanes_stay_under_pressure_and_where_idleness_does_not_matter() -> None:
    lanes = [LaneLoad(LaneId("b1", 1), 0.0), LaneLoad(LaneId("b1", 2), 0.0)]
    assert not scale([replace(ONE, lanes=lanes, pressed_since=99.9)], LIMITS, 100).end
    assert not scale([replace(ONE, lanes=lanes, starting=1)], LIMITS, 100).end
    assert not scale([replace(ONE, lanes=lanes)], replace(LIMITS, idle=None), 100).end


@st.composite
def fleets(draw: st.DrawFn) -> list[BrowserLoad]:
    times = st.none() | st.floats(0, 100)
    return [
        BrowserLoad(
            f"b{number}",
            [LaneLoad(LaneId(f"b{number}", at), draw(times)) for at in range(draw(st.integers(0, 4)))],
            draw(st.integers(0, 2)),
            draw(times),
            draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 3)))
    ]


@given(fleets(), st.integers(0, 4), st.integers(1, 4), st.none() | st.floats(0, 50))
def test_scaling_keeps_its_promises(browsers: list[BrowserLoad], least: int, most: int, idle: float | None) -> None:
    made = scale(browsers, ScalingLimits(least, most, idle), 100)
    total = sum(len(browser.lanes) + browser.starting for browser in browsers)
    assert len(made.end) <= max(total - least, 0)
    assert made.wake is None or made.wake > 100
    by_id = {browser.id: browser for browser in browsers}
    assert all(len(by_id[name].lanes) + by_id[name].starting < most for name in made.grow)
    idle_lanes = {lane.id for browser in browsers for lane in browser.lanes if lane.idle_since is not None}
    assert set(made.end) <= idle_lanes
    shrunk = {lane.browser for lane in made.end}
    assert not shrunk & set(made.grow), "no browser grows and shrinks at once"
