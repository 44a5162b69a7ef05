"""Whatever is lost comes in once, and what follows is begun once."""

from __future__ import annotations

import pytest

from tests.pool.standins import Yard
from webinfer.core.errors import BackendUnavailable, BrowserLost, DeviceLost, LaneLost, SocketLost
from webinfer.core.placement import LaneId
from webinfer.pool.events import BrowserEnded, BrowserStarted, HeartbeatMissed, LaneEnded, LaneStarted


def ids(yard: Yard) -> list[str]:
    return [str(id) for id in yard.registry.lanes]


async def test_lost_lane_takes_no_more_at_once_and_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=2)
    browser = await yard.start()
    lane = yard.registry.lanes[LaneId("b1", 1)]
    lane.lose(SocketLost("It closed."))
    assert ids(yard) == ["b1.2"], "before anything else happens"
    yard.fleet.lane_failed(lane.id, LaneLost("Its worker ended."))  # the page says so as well
    lane.lose(LaneLost("It is slow."))
    await yard.settle()
    (ended,) = yard.of(LaneEnded)
    assert (ended.lane, ended.code, ended.lost) == (lane.id, SocketLost.code, True)
    assert ids(yard) == ["b1.2", "b1.3"]
    assert browser.stopped == [lane.id], "whose worker may still compute"


async def test_worker_that_its_page_says_has_failed_is_a_lost_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=1)
    await yard.start()
    yard.fleet.lane_failed(LaneId("b1", 1), LaneLost("Its worker threw."))
    yard.fleet.lane_failed(LaneId("b1", 9), LaneLost("There is none."))
    await yard.settle()
    assert [event.lane for event in yard.of(LaneEnded)] == [LaneId("b1", 1)]
    assert ids(yard) == ["b1.2"]


async def test_lost_browser_takes_its_lanes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=2)
    browser = await yard.start()
    lanes = list(yard.registry.lanes.values())
    reason = BrowserLost("Browser b1 was lost.", browser="b1")
    browser.lose(reason)
    assert not yard.registry.lanes
    assert not yard.registry.browsers
    assert {lane.lost.result() for lane in lanes} == {reason}
    await yard.settle()
    assert [event.code for event in yard.of(LaneEnded)] == [BrowserLost.code] * 2
    (ended,) = yard.of(BrowserEnded)
    assert (ended.browser, ended.lost) == ("b1", True)
    assert browser.closed
    assert not yard.registry.ending
    assert len(yard.of(LaneStarted)) == 2, "none is started in it any more"
    assert yard.advances, "its successor is the next plan's"


async def test_gpu_that_hangs_ends_the_browser_and_a_cpu_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=2)
    browser = await yard.start()
    first, second = yard.registry.lanes.values()
    yard.fleet.stop_run(first, "wasm", LaneLost("Lane b1.1 was ended: a run took over 1 s."))
    await yard.settle()
    assert ids(yard) == ["b1.2", "b1.3"]
    yard.fleet.stop_run(second, "webgpu", LaneLost("Lane b1.2 was ended: a run took over 1 s."))
    assert not yard.registry.lanes
    assert isinstance(second.lost.result(), BrowserLost)
    await yard.settle()
    assert browser.closed
    assert len(yard.of(BrowserEnded)) == 1


async def test_gpu_is_refused_for_good_only_after_a_device_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=1)
    browser = await yard.start()
    (lane,) = yard.registry.lanes.values()
    refusal = BackendUnavailable("No adapter.", backend="webgpu", available=[])
    assert not yard.fleet.refuse_gpu(lane, refusal)
    lane.lose(DeviceLost("The GPU process crashed."))
    await yard.settle()
    (lane,) = yard.registry.lanes.values()
    assert yard.fleet.refuse_gpu(lane, refusal)
    await yard.settle()
    assert browser.closed
    assert not yard.registry.lost_gpu


async def test_browser_that_starts_no_lane_any_more_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=2)
    browser = await yard.start()
    yard.failures.append(LaneLost("Lane b1.3 did not start within 60 s."))
    yard.registry.lanes[LaneId("b1", 1)].lose(SocketLost("It closed."))
    await yard.settle()
    (ended,) = yard.of(BrowserEnded)
    assert ended.cause == "It starts no lane any more: Lane b1.3 did not start within 60 s."
    assert browser.closed
    assert [str(event.lane) for event in yard.of(LaneEnded)] == ["b1.1", "b1.2"]


async def test_start_fails_where_no_lane_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=2)
    yard.failures += [LaneLost("One."), LaneLost("Two.")]
    with pytest.raises(LaneLost):
        await yard.start()
    assert not yard.registry.browsers
    assert yard.started[0].closed
    assert [type(event) for event in yard.events] == [BrowserStarted, BrowserEnded]


async def test_retired_lane_ends_after_its_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=2)
    browser = await yard.start()
    lane = yard.registry.lanes[LaneId("b1", 1)]
    state = yard.registry.states[lane.id]
    state.running = 1
    yard.fleet.retire(lane, "It is worn.")
    await yard.settle()
    assert ids(yard) == ["b1.2"]
    assert not browser.stopped, "it answers what it has"
    state.running = 0
    yard.fleet.drained(lane)
    yard.fleet.drained(lane)
    await yard.settle()
    (ended,) = yard.of(LaneEnded)
    assert (ended.lane, ended.code, ended.cause, ended.lost) == (lane.id, "", "It is worn.", False)
    assert not browser.closed


async def test_retired_lane_that_is_lost_is_no_fault_and_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=2)
    browser = await yard.start()
    lane = yard.registry.lanes[LaneId("b1", 1)]
    yard.registry.states[lane.id].running = 1
    yard.fleet.retire(lane, "It is worn.")
    lane.lose(SocketLost("It closed."))
    await yard.settle()
    assert browser.stopped == [lane.id], "which fails what it still has"
    yard.fleet.drained(lane)
    await yard.settle()
    assert [event.lost for event in yard.of(LaneEnded)] == [False]
    assert ids(yard) == ["b1.2"]


async def test_browser_ends_with_its_last_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=1)
    browser = await yard.start()
    (lane,) = yard.registry.lanes.values()
    yard.fleet.retire(lane, "It was idle.")
    await yard.settle()
    (ended,) = yard.of(BrowserEnded)
    assert (ended.cause, ended.lost, browser.closed) == ("It was idle.", False, True)


async def test_browser_with_a_lane_that_is_being_replaced_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=2)
    browser = await yard.start()
    first, second = yard.registry.lanes.values()
    yard.fleet.retire(second, "It was idle.")
    first.lose(SocketLost("It closed."))
    await yard.settle()
    assert ids(yard) == ["b1.3"]
    assert not browser.closed


async def test_retired_browser_closes_once_its_lanes_have_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=2)
    browser = await yard.start()
    first, _ = yard.registry.lanes.values()
    state = yard.registry.states[first.id]
    state.running = 1
    known = yard.registry.browsers["b1"]
    assert yard.fleet.retire_browser(known, "It is old.")
    assert not yard.fleet.retire_browser(known, "It is old.")
    await yard.settle()
    assert (yard.registry.browsers, browser.closed) == ({}, False)
    state.running = 0
    yard.fleet.drained(first)
    await yard.settle()
    assert browser.closed
    assert not yard.registry.ending


async def test_heartbeats_are_told_of_browsers_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=1)
    await yard.start()
    known = yard.registry.browsers["b1"]
    yard.fleet.heartbeat_missed(known, 1)
    yard.registry.remove_browser(known)
    yard.fleet.heartbeat_missed(known, 2)
    assert [event.missed for event in yard.of(HeartbeatMissed)] == [1]


async def test_close_ends_all_and_replaces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(monkeypatch, lanes=2)
    browser = await yard.start()
    lanes = list(yard.registry.lanes.values())
    await yard.fleet.close()
    await yard.settle()
    assert browser.closed
    assert all(lane.lost.done() for lane in lanes)
    assert not yard.of(LaneEnded, BrowserEnded)
    assert len(yard.started) == 1
