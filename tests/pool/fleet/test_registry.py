from __future__ import annotations

import pytest

from tests.pool.standins import NAME, Yard
from webinfer.core.placement import LaneId


async def test_lane_works_then_retires_then_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=2)
    browser = await yard.start()
    registry = yard.registry
    first, second = registry.lanes.values()
    assert (first.id, second.id) == (LaneId("b1", 1), LaneId("b1", 2))
    assert set(registry.states) == set(registry.lanes)
    state = registry.retire_lane(first, "It is worn.")
    assert state is not None
    assert state.id == first.id
    assert registry.retire_lane(first, "It is worn.") is None, "it retires once"
    assert (list(registry.lanes), list(registry.states)) == ([second.id], [second.id])
    assert registry.lane(first.id) is first
    assert {lane.id for lane in registry.lanes_of(yard.fleet.registry.browsers[browser.id])} == {first.id, second.id}
    assert registry.remove_lane(second)
    assert not registry.remove_lane(second)
    assert registry.lane(second.id) is None


async def test_browser_is_known_by_name_until_it_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=1)
    await yard.start()
    registry = yard.registry
    browser = registry.named(NAME)
    assert browser is not None
    registry.browser_states[NAME].up = True
    registry.lost_gpu.add(browser.id)
    assert registry.remove_browser(browser)
    assert not registry.remove_browser(browser)
    assert registry.named(NAME) is None
    assert not registry.browser_states[NAME].up
    assert registry.browser_states[NAME].capabilities is browser.capabilities, "what it can run is still known"
    assert (registry.ending, registry.lost_gpu) == ({browser}, set())
