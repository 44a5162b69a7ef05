from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from webinfer.core.capabilities import Capabilities
from webinfer.core.placement import LaneId
from webinfer.pool.plan.affinity import BrowserState
from webinfer.pool.plan.assignment import LaneState, SessionKey, State, least_busy, plan

A, B, C = (SessionKey(name, "wasm") for name in "abc")
L1, L2, L3 = (LaneId("b1", number) for number in (1, 2, 3))
CHROME, FIREFOX = (LaneId(name, 1) for name in ("chrome", "firefox"))


def lane(id: LaneId, **changes: Any) -> LaneState:
    return LaneState(id, **changes)


def without(backend: str) -> Capabilities:
    return Capabilities("chromium", "153", errors={backend: "it has none"})


def state(*lanes: LaneState, up: bool = True, **waiting: int) -> State:
    keys = {"a": A, "b": B, "c": C}
    return State(
        {each.id: each for each in lanes},
        {keys[name]: range(count) for name, count in waiting.items()},
        {"": BrowserState(up)},
    )


def test_request_goes_to_the_least_busy_lane_that_holds_its_session() -> None:
    made = plan(state(lane(L1, loaded={A: 1}, running=1), lane(L2, loaded={A: 1}), lane(L3), a=1))
    assert made.dispatch == [(A, L2)]
    assert not made.load


def test_lane_takes_no_more_than_its_depth() -> None:
    made = plan(state(lane(L1, loaded={A: 1}), a=5))
    assert made.dispatch == [(A, L1), (A, L1)]


def test_session_is_loaded_where_no_lane_holds_it() -> None:
    made = plan(state(lane(L1, loaded={B: 1}, running=1), lane(L2), a=1))
    assert made.load == [(A, L2)]


def test_session_is_loaded_on_a_busy_lane_if_there_is_no_other() -> None:
    assert plan(state(lane(L1, loaded={B: 1}, running=2), a=1)).load == [(A, L1)]


def test_session_spreads_to_an_idle_lane_only_under_pressure() -> None:
    lanes = lane(L1, loaded={A: 1}), lane(L2)
    assert not plan(state(*lanes, a=2)).load
    assert plan(state(*lanes, a=3)).load == [(A, L2)]


def test_session_goes_where_nothing_has_to_give_way() -> None:
    made = state(lane(L1, loaded={B: 1}), lane(L2, loaded={}), a=1)
    made.sizes, made.capacity = {A: 6, B: 6}, 10
    assert plan(made).load == [(A, L2)]


def test_session_goes_where_what_gives_way_was_used_longest_ago() -> None:
    made = state(lane(L1, loaded={B: 7}), lane(L2, loaded={C: 3}), a=1)
    made.sizes, made.capacity = {A: 6, B: 6, C: 6}, 10
    assert (plan(made).evict, plan(made).load) == ([(C, L2)], [(A, L2)])


def test_session_that_is_wanted_for_itself_is_loaded_once() -> None:
    assert plan(state(lane(L1), lane(L2), a=0)).load == [(A, L1)]
    assert not plan(state(lane(L1, loading=A), lane(L2), a=0)).load
    assert not plan(state(lane(L1, loaded={A: 1}), lane(L2), a=0)).load


def test_two_sessions_load_on_two_lanes_at_once() -> None:
    assert sorted(plan(state(lane(L1), lane(L2), a=1, b=1)).load) == [(A, L1), (B, L2)]


def test_models_take_turns() -> None:
    made = plan(state(lane(L1, loaded={A: 1, B: 2}), a=1000, b=1))
    assert made.dispatch == [(A, L1), (B, L1)]


def test_batches_take_one_place_each_and_wait_as_they_are_told() -> None:
    given_state = state(lane(L1, loaded={A: 1, B: 2}, running=1), lane(L2, loaded={A: 1}), a=9)
    given_state.depths = {A: 2}
    assert plan(given_state).dispatch == [(A, L2)], "one batch, and then another plan"
    given_state.lanes[L2].running = 1
    given_state.depths = {A: 1}
    made = plan(given_state)
    assert not made.dispatch, "no lane is free"
    given_state.waiting = {A: range(9), B: range(1)}
    given_state.depths = {A: 0}
    made = plan(given_state)
    assert (made.dispatch, made.load) == ([(B, L1)], []), "who waits for more takes no place, and no further session"


def test_batch_that_waits_for_a_free_lane_keeps_it_from_those_behind() -> None:
    given_state = state(lane(L1, loaded={A: 1, B: 2}, running=1), a=3, b=8)
    given_state.depths = {A: 1, B: 2}
    made = plan(given_state)
    assert (made.dispatch, made.reserve) == ([], [L1])
    given_state.waiting = {B: range(8), A: range(3)}
    assert plan(given_state).dispatch == [(B, L1)], "it is not A's turn"
    given_state.reserved = {L1}
    assert not plan(given_state).dispatch, "somebody more urgent waits for it"


def test_lane_without_the_backend_is_left_alone() -> None:
    key = SessionKey("a", "webgpu")
    made = plan(State({L1: lane(L1)}, {key: range(1)}, {"": BrowserState(True, capabilities=without("webgpu"))}))
    assert not made.dispatch
    assert not made.load


def test_sessions_used_longest_ago_give_way_where_a_lane_would_hold_too_much() -> None:
    given_state = state(lane(L1, loaded={A: 7, B: 3}), c=1)
    given_state.sizes, given_state.capacity = {A: 40, B: 40, C: 50}, 100
    made = plan(given_state)
    assert (made.evict, made.load) == ([(B, L1)], [(C, L1)])
    given_state.capacity = 30
    assert plan(given_state).evict == [(B, L1), (A, L1)], "a model over the capacity is there alone"
    given_state.capacity = None
    assert not plan(given_state).evict


def test_browser_is_launched_only_when_there_is_none() -> None:
    assert plan(state(up=False, a=1)).launch == [A]
    assert plan(state(up=True, a=1)).launch == []
    assert plan(state(up=False)).launch == []


def audio(**browsers: BrowserState) -> tuple[SessionKey, State]:
    """Return a session that prefers Firefox, waiting, with a lane in each browser that is up."""
    key = SessionKey("audio", "wasm", browsers=("firefox", "chrome"))
    lanes = [lane(LaneId(name, 1), browser=name) for name, browser in browsers.items() if browser.up]
    return key, State({each.id: each for each in lanes}, {key: range(1)}, browsers)


def test_session_is_created_in_the_browser_that_it_prefers() -> None:
    key, given_state = audio(chrome=BrowserState(True), firefox=BrowserState(True))
    assert plan(given_state).load == [(key, FIREFOX)]


def test_session_waits_for_the_browser_that_it_prefers_to_start() -> None:
    key, given_state = audio(chrome=BrowserState(True), firefox=BrowserState(False))
    made = plan(given_state)
    assert (made.load, made.launch) == ([], [key])


def test_session_goes_to_the_next_browser_where_the_first_is_barred_or_cannot_run_it() -> None:
    for firefox in (BrowserState(barred=True), BrowserState(True, capabilities=without("wasm"))):
        key, given_state = audio(chrome=BrowserState(True), firefox=firefox)
        made = plan(given_state)
        assert (made.load, made.launch) == ([(key, CHROME)], [])


def test_session_that_no_browser_can_be_had_for_asks_for_one() -> None:
    key, given_state = audio(chrome=BrowserState(barred=True), firefox=BrowserState(barred=True))
    assert plan(given_state).launch == [key]


def test_session_held_elsewhere_is_created_where_it_belongs_when_called_home() -> None:
    key, given_state = audio(chrome=BrowserState(True), firefox=BrowserState(True))
    given_state.waiting = {key: ()}
    given_state.lanes[CHROME].loaded[key] = 1
    assert plan(given_state).load == [(key, FIREFOX)]


KEYS = [SessionKey(model, backend) for model in "abcd" for backend in ("wasm", "webgpu")]


@st.composite
def states(draw: st.DrawFn) -> State:
    lanes = {}
    lacking = draw(st.sampled_from([None, "wasm", "webgpu"]))
    able = [key for key in KEYS if key.backend != lacking]
    for number in range(draw(st.integers(0, 4))):
        loaded = draw(st.dictionaries(st.sampled_from(able), st.integers(0, 9)))
        loading = draw(st.sampled_from([None, *(key for key in able if key not in loaded)]))
        id = LaneId("b1", number)
        lanes[id] = LaneState(id, loaded, loading, draw(st.integers(0, 2)))
    waiting = {key: range(draw(st.integers(0, 5))) for key in draw(st.sets(st.sampled_from(KEYS)))}
    browser = BrowserState(draw(st.booleans()), capabilities=without(lacking) if lacking else None)
    return State(lanes, waiting, {"": browser})


@given(states())
def test_plan_keeps_its_promises(given_state: State) -> None:
    made = plan(given_state)
    sent = Counter(key for key, _ in made.dispatch)
    assert all(count <= len(given_state.waiting[key]) for key, count in sent.items())
    taken = Counter(lane for _, lane in made.dispatch)
    for name, each in given_state.lanes.items():
        assert each.running + taken[name] <= max(given_state.depth, each.running)
    assert all(key in given_state.lanes[lane].loaded for key, lane in made.dispatch)
    loads = [lane for _, lane in made.load]
    assert len(loads) == len(set(loads))
    assert len({key for key, _ in made.load}) == len(made.load)
    for key, name in made.load:
        target = given_state.lanes[name]
        assert target.loading is None
        assert key not in target.loaded
        assert given_state.browsers[target.browser].can_run(key.backend)
    assert plan(given_state) == made


@given(states())
def test_no_request_is_forgotten_while_a_lane_could_take_it(given_state: State) -> None:
    made = plan(given_state)
    sent = Counter(key for key, _ in made.dispatch)
    taken = Counter(lane for _, lane in made.dispatch)
    for key, queue in given_state.waiting.items():
        if len(queue) > sent[key]:
            holders = [each for each in given_state.lanes.values() if key in each.loaded]
            assert all(each.running + taken[each.id] >= given_state.depth for each in holders)


@given(states(), st.sampled_from(KEYS))
def test_shortcut_for_a_lone_request_is_the_plan(given_state: State, key: SessionKey) -> None:
    given_state.waiting = {key: range(1)}
    lane = least_busy(key, given_state)
    assert plan(given_state).dispatch == ([(key, lane)] if lane else [])


def steps_of_a_plan(waiting: int) -> int:
    """Count what the interpreter does for a plan with so many requests of three sessions waiting."""
    given_state = state(lane(L1, loaded={A: 1}, running=1), lane(L2, loaded={B: 1}), a=waiting, b=waiting, c=waiting)
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        plan(given_state)
    finally:
        sys.setprofile(None)
    return steps


def test_plan_costs_the_same_however_many_requests_wait() -> None:
    assert steps_of_a_plan(3) == steps_of_a_plan(10_000)
