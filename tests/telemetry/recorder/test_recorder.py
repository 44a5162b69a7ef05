"""What is recorded of results, whatever becomes of single rows."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.frames import report as page_report
from tests.telemetry import results
from webinfer.accuracy.outcome import Accuracy
from webinfer.core.capabilities import Capabilities
from webinfer.core.options import Options
from webinfer.core.placement import LaneId
from webinfer.inference.result import Result
from webinfer.inference.route import Alternative, Decision, Place
from webinfer.pool.events import (
    BatchFinished,
    BrowserEnded,
    BrowserStarted,
    Event,
    LaneEnded,
    LaneStarted,
    RunFailedEvent,
    RunFinished,
    SessionLoaded,
)
from webinfer.pool.plan.assignment import LaneState, SessionKey
from webinfer.pool.requests.batch import Batch
from webinfer.pool.requests.request import Request, Times, unrecorded
from webinfer.telemetry.counters.bounded import LATE
from webinfer.telemetry.counters.counters import Counters
from webinfer.telemetry.database.store import Store
from webinfer.telemetry.recorder import Recorder
from webinfer.transport.wire.answers import RunAnswer, RunTiming
from webinfer.transport.wire.conversation import Reply

KEY = SessionKey("a" * 64, "wasm")
LANE = LaneId("b1", 1)


class Pool:
    """What the recorder asks of a pool."""

    def __init__(self) -> None:
        self.browsers: dict[str, SimpleNamespace] = {}
        self.lanes: dict[str, Any] = {}
        self.lane_states: dict[str, Any] = {}
        self.queued = self.queue_peak = self.running_peak = self.busy = 0
        self.listeners: list[Any] = []

    def listen(self, listener: Any) -> None:
        self.listeners.append(listener)

    def announce(self, *events: Event) -> None:
        for event in events:
            for listener in self.listeners:
                listener(event)

    def start(self, browser: str) -> None:
        self.browsers[browser] = SimpleNamespace(capabilities=Capabilities.of(page_report()))
        self.announce(BrowserStarted(browser, "embedded", "1", 1, 0.1), LaneStarted(LaneId(browser, 1)))

    async def memory(self) -> dict[str, int]:
        return {}


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(":memory:")
    yield store
    store.close()


@pytest.fixture
def recorder(pool: Pool, store: Store) -> Recorder:
    return watching(pool, store, Options.of())


def watching(pool: Any, store: Store, options: Options) -> Recorder:
    recorder = Recorder()
    recorder.open(store, options)
    recorder.watch(pool)
    pool.start("b1")
    return recorder


def count(store: Store, table: str) -> int:
    return int(store.query(f"SELECT count(*) AS n FROM {table}")[0]["n"])


def result(lane: str = "b1.1") -> Result:
    place = Place("embedded", "wasm")
    candidates = (Alternative(place, None, 0, "override", None),)
    decision = Decision(taken=place, source="override", reason="wasm was asked for", candidates=candidates)
    return results.result(lane=lane, decision=decision)


def test_decision_is_recorded_though_the_first_row_of_its_session_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, store = Recorder(), Store(":memory:")
    recorder.open(store, Options.of())
    with monkeypatch.context() as full:
        full.setattr(store, "_limit", 0)
        recorder.answered(result())
    recorder.answered(result())
    assert store.status.dropped == 1
    (row,) = store.query("SELECT decision FROM sessions")
    assert json.loads(row["decision"])["taken"] == {"browser": "embedded", "backend": "wasm", "precision": "fp32"}
    store.close()


def recorded(results: list[Result]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of results and of their sessions."""
    recorder, store = Recorder(), Store(":memory:")
    recorder.open(store, Options.of())
    for each in results:
        recorder.answered(each)
    rows = store.query("SELECT i.*, lane FROM inferences i LEFT JOIN sessions s ON s.id = i.session ORDER BY i.id")
    sessions = store.query("SELECT * FROM sessions")
    store.close()
    return rows, sessions


def test_rows_are_what_results_say_to_the_last_bit_in_their_order_whatever_lanes_take_turns() -> None:
    draw = random.Random(6)
    given = [
        replace(
            result(),
            lane=f"b1.{number % 3}",
            times=Times(*(draw.random() * 10 ** draw.randint(-9, 3) for _ in range(5))),
            items=draw.randint(1, 2**31 - 1),
            batch=draw.randint(1, 64),
            attempts=draw.randint(1, 3),
        )
        for number in range(1000)
    ]
    rows, sessions = recorded(given)
    names = ("lane", "queue", "wait", "run_time", "transfer", "total", "items", "batch", "attempts")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (
            each.lane,
            *(each.times.queue, each.times.wait, each.times.run, each.times.transfer, each.times.total),
            *(each.items, each.batch, each.attempts),
        )
        for each in given
    ]
    assert len({row["id"] for row in rows}) == 1000
    assert len(sessions) == 3
    assert {(row["run"], row["error_code"]) for row in rows} == {(sessions[0]["run"], None)}
    moments = [row["timestamp"] for row in rows]
    assert moments == sorted(moments)


def test_session_is_one_whether_or_not_its_answers_were_compared_meanwhile() -> None:
    compared = replace(result(), accuracy=Accuracy(combination={"model": "m"}))
    _, sessions = recorded([result(), compared, result()])
    assert len(sessions) == 1


def finished(lane: LaneId = LANE, attempts: int = 1, recorded: bool = True) -> RunFinished:
    return RunFinished(lane, lane.browser, KEY, 1, 0.0, 0.0, 0.1, 0.1, attempts, 1, recorded)


@pytest.mark.parametrize(("stored", "recorded"), [(True, True), (True, False), (False, True)])
async def test_requests_that_are_not_stored_leave_nothing_of_their_own(
    pool: Pool, store: Store, stored: bool, recorded: bool
) -> None:
    recorder = watching(pool, store, Options.of(store_results=stored))
    recorder.answered(result(), recorded)
    pool.announce(
        finished(attempts=2, recorded=recorded),
        BatchFinished(LaneId("b1", 1), KEY, 2, 0.1, recorded),
        RunFailedEvent(KEY, "lost.lane", 1, True, LaneId("b1", 1), "", recorded),
        SessionLoaded(LaneId("b1", 1), KEY, 1, 0.1, 0.0, 0.1),
        LaneEnded(LaneId("b1", 1), "lost.lane", "killed"),
    )
    kept = int(stored and recorded)
    own = ("inferences", "sessions", "batches", "recoveries", "faults WHERE kind = 'request'")
    assert [count(store, table) for table in own] == [kept] * 5
    assert [count(store, table) for table in ("browsers", "loads", "faults WHERE kind = 'lane'")] == [1, 1, 1]


async def test_late_answer_of_a_lane_that_ended_finds_its_session(pool: Pool, store: Store, recorder: Recorder) -> None:
    recorder.answered(result())
    pool.announce(LaneEnded(LaneId("b1", 1), "lost.lane", "killed"), BrowserEnded("b1", "embedded", "killed"))
    recorder.answered(result("b2.1"))
    recorder.answered(result())
    assert count(store, "sessions") == 2
    assert count(store, "results WHERE browser_id IS NOT NULL AND lane = 'b1.1'") == 2


async def test_answer_of_a_lane_that_ended_long_ago_makes_its_session_anew(
    pool: Pool, store: Store, recorder: Recorder
) -> None:
    recorder.answered(result())
    for number in range(1, LATE + 3):
        pool.announce(LaneEnded(LaneId("b1", number), "", "worn", lost=False))
    recorder.answered(result("b2.1"))
    recorder.answered(result())
    assert count(store, "results WHERE lane = 'b1.1'") == 2
    assert count(store, "sessions WHERE lane = 'b1.1'") == 2


async def test_nothing_is_kept_of_lanes_and_browsers_that_are_gone(
    pool: Pool, store: Store, recorder: Recorder
) -> None:
    def cycle(browsers: range) -> int:
        for browser in browsers:
            pool.start(f"b{browser}")
            for number in range(10):
                lane = LaneId(f"b{browser}", number)
                pool.announce(LaneStarted(lane), SessionLoaded(lane, KEY, 1, 0.1, 0.0, 0.1))
                recorder.answered(result(str(lane)))
                pool.announce(finished(lane), LaneEnded(lane, "lost.lane", "killed", lost=number == 0))
            pool.announce(BrowserEnded(f"b{browser}", "embedded", "killed", lost=False))
            pool.browsers.clear()
        store.flush()
        return held(recorder)

    before = cycle(range(2, 502))  # by then as many runs are remembered as ever are
    assert cycle(range(502, 1002)) <= before + 50
    assert count(store, "sessions") == 10_000


async def test_nothing_grows_with_shapes_and_models_without_end(pool: Pool) -> None:
    counters = Counters()
    pool.listeners = [counters]

    def cycle(numbers: range) -> int:
        for number in numbers:
            key = KEY._replace(model=f"{number:064}", dimensions=(("n", number),))
            counters.name(key.model, "model", "", "fp32")
            pool.announce(RunFinished(LaneId("b1", 1), "b1", key, 1, 0.0, 0.0, 0.1, 0.1, 1))
        return held(counters)

    before = cycle(range(12_000))
    assert cycle(range(12_000, 24_000)) < 1.2 * before


def held(*things: Any) -> int:
    """Return how many entries the containers of our objects have, all in all."""
    seen: set[int] = set()
    total, left = 0, [*things]
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, (list, set, deque, tuple)):
            left += each
        if isinstance(each, (dict, list, set, deque)):
            total += len(each)
        if type(each).__module__.startswith("webinfer.") and not isinstance(each, Store):
            slots = [name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ())]
            names = {*getattr(each, "__dict__", ()), *slots} - {"__weakref__"}
            left += [getattr(each, name) for name in names if hasattr(each, name)]
    return total


def test_batch_leaves_a_row_if_one_of_its_requests_does() -> None:
    lane: Any = SimpleNamespace(id=LaneId("b1", 1))
    state = LaneState(lane.id)
    with unrecorded():
        left_out = [Request(KEY, {}) for _ in range(2)]
    done = Reply(1, RunAnswer(RunTiming(wait=0, run=1)), {})
    assert not Batch(left_out, lane, state).finished(done, 0.0).recorded
    assert Batch([*left_out, Request(KEY, {})], lane, state).finished(done, 0.0).recorded
