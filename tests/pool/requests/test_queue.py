from __future__ import annotations

import time
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.requests.queue import Queues
from webinfer.pool.requests.request import Request

A, B = (SessionKey(name, "wasm") for name in "ab")


def request(number: int, key: SessionKey = A, **changes: Any) -> Request:
    return Request(key, {}, number=number, **changes)


def drain(queues: Queues, key: SessionKey = A) -> list[int]:
    """Take everything out as the scheduler does, and return the numbers."""
    taken = []
    while any(key in level for _, level in queues.levels()):
        priority = next(priority for priority, level in queues.levels() if key in level)
        taken.append(queues.take(priority, key)[0].number)
    return taken


def test_requests_that_come_back_take_their_old_places() -> None:
    queues = Queues()
    requests = [request(number) for number in range(6)]
    for each in requests:
        queues.push(each)
    sent = [queues.take(0, A)[0] for _ in range(4)]
    for each in (sent[0], sent[2], sent[1], sent[3]):  # as two lanes that had two each are lost
        queues.push(each)
    assert [each.number for each in queues.sessions()[A]] == drain(queues) == [0, 1, 2, 3, 4, 5]


def test_higher_priorities_come_first() -> None:
    queues = Queues()
    for number, priority in enumerate([0, -1, 5, 0, 5]):
        queues.push(request(number, priority=priority))
    assert [priority for priority, _ in queues.levels()] == [5, 0, -1]
    assert drain(queues) == [2, 4, 0, 3, 1]


def test_session_that_was_served_goes_to_the_end() -> None:
    queues = Queues()
    for number, key in enumerate([A, A, B]):
        queues.push(request(number, key))
    queues.take(0, A)
    assert [list(level) for _, level in queues.levels()] == [[B, A]]


def test_wanted_session_has_a_queue_until_it_is_satisfied() -> None:
    queues = Queues()
    queues.want(A)
    assert queues.sessions() == {A: []}
    queues.push(request(1))
    queues.satisfy(A)
    assert queues.count == 1
    queues.take(0, A)
    queues.want(A)
    queues.satisfy(A)
    assert not queues


def test_dropped_session_gives_back_all_that_waited_for_it() -> None:
    queues = Queues()
    for number, (key, priority) in enumerate([(A, 0), (B, 0), (A, 7)]):
        queues.push(request(number, key, priority=priority))
    assert [each.number for each in queues.drop(A)] == [2, 0]
    assert (queues.count, queues.peak, drain(queues, B)) == (1, 3, [1])
    assert not queues


@given(st.lists(st.tuples(st.sampled_from(["push", "take", "remove", "back"]), st.integers(0, 2), st.booleans())))
def test_nothing_is_lost_and_order_is_kept(steps: list[tuple[str, int, bool]]) -> None:
    queues = Queues()
    waiting: list[Request] = []
    sent: list[Request] = []
    for number, (step, priority, other) in enumerate(steps):
        key = B if other else A
        mine = sorted(
            (each for each in waiting if (each.priority, each.key) == (priority, key)), key=lambda each: each.number
        )
        if step == "push":
            waiting.append(request(number, key, priority=priority))
            queues.push(waiting[-1])
        elif step == "take" and mine:
            sent += queues.take(priority, key)
            assert sent[-1] is mine[0]
            waiting.remove(sent[-1])
        elif step == "remove" and mine:
            queues.remove(mine[-1])
            queues.remove(mine[-1])  # it is gone already: nothing happens
            waiting.remove(mine[-1])
        elif step == "back" and sent:
            waiting.append(sent.pop(0))
            queues.push(waiting[-1])
        assert queues.count == len(waiting)
        assert Counter(each.number for all_ in queues.sessions().values() for each in all_) == Counter(
            each.number for each in waiting
        )


def cost_of_each(waiting: int) -> dict[str, float]:
    """Return the seconds that 50 of each step take with so many waiting, the best of some rounds."""
    times: dict[str, list[float]] = {"push": [], "remove": [], "take": [], "back": []}
    for _ in range(5):
        queues = Queues()
        requests = [request(number) for number in range(waiting)]
        for each in requests:
            queues.push(each)
        now = time.perf_counter()

        def lap(step: str, began: float) -> float:
            times[step].append(time.perf_counter() - began)
            return time.perf_counter()

        for each in requests[waiting // 2 : waiting // 2 + 50]:
            queues.remove(each)
        now = lap("remove", now)
        for at in range(50):
            queues.push(request(waiting + at))
        now = lap("push", now)
        sent = [queues.take(0, A)[0] for _ in range(50)]
        now = lap("take", now)
        for each in reversed(sent):
            queues.push(each)
        lap("back", now)
    return {step: min(each) for step, each in times.items()}


def test_every_step_costs_the_same_however_many_wait() -> None:
    few, many = cost_of_each(200), cost_of_each(50_000)
    ratios = {name: many[name] / few[name] for name in few}
    assert max(ratios.values()) < 15, ratios  # linear steps would make it 250
