"""What is timed is one model's work alone, on every lane of one browser; and what follows is for that browser."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from webinfer.browsers.lane import Lane, Residents
from webinfer.pool.events import Event, StretchMeasured
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.learning.bandit import MOST, Arm
from webinfer.pool.learning.throughput import HOLD, LEAST
from webinfer.pool.maintenance.throughput import Stretches
from webinfer.pool.plan.assignment import LaneState, SessionKey, State
from webinfer.pool.requests.batch import Batch
from webinfer.pool.requests.request import Request

ONE, OTHER = SessionKey("a" * 64, "wasm"), SessionKey("b" * 64, "wasm")
ARM = Arm("embedded", "wasm")
LANES = ("b1.1", "b1.2")


class Serving:
    """Two lanes of a browser, each of which always has two requests, and one lane of another browser, which is idle."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[Event] = []
        self.states = {name: LaneState(name, frozenset({"wasm"}), {ONE: 1}, None, 0, "embedded") for name in LANES}
        self.states["b2.1"] = LaneState("b2.1", frozenset({"wasm"}), browser="firefox")
        capabilities = SimpleNamespace(engine_version="153.1")
        fleet = SimpleNamespace(lanes={name: SimpleNamespace(capabilities=capabilities) for name in self.states})
        state = State(lanes=self.states, waiting={}, browsers={})
        self.stretches = Stretches(cast(Fleet, fleet), state, 4, self.events.append)
        self.batches = [self.batch(name) for name in LANES for _ in range(2)]
        for batch in self.batches:
            self.send(batch)
        self.look()

    @staticmethod
    def batch(lane: str, key: SessionKey = ONE, **fields: Any) -> Batch:
        request = Request(key, {"x": np.zeros((3, 8), np.float32)}, items=3, **fields)
        return Batch([request], cast(Lane, SimpleNamespace(id=lane)))

    def send(self, batch: Batch) -> None:
        self.stretches.sent(batch)
        if batch.lane.id in self.states:
            self.states[batch.lane.id].running += 1

    def look(self, starting: bool = False) -> None:
        self.stretches.look(starting)

    def answer(self, done: bool = True) -> None:
        """Have the oldest request answered, and another one sent in its place."""
        self.now += LEAST / 3.9
        batch = self.batches.pop(0)
        self.states[batch.lane.id].running -= 1
        self.stretches.answered(batch, done)
        self.batches.append(self.batch(batch.lane.id))
        self.send(self.batches[-1])
        self.look()

    def work(self, answers: int) -> list[StretchMeasured]:
        """Have so many answered; returns the stretches that were measured meanwhile."""
        known = len(self.events)
        for _ in range(answers):
            self.answer()
        return [event for event in self.events[known:] if isinstance(event, StretchMeasured)]


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Serving:
    made: list[Serving] = []
    monkeypatch.setattr("webinfer.pool.maintenance.throughput._now", lambda: made[0].now if made else 0.0)
    made.append(Serving())
    return made[0]


def test_stretches_of_one_model_are_announced_and_learned_from(serving: Serving) -> None:
    made = serving.work(13)
    assert len(made) == 2, "but for the first, which warms up"
    assert {(event.model, event.browser_name, event.backend, event.precision) for event in made} == {(ONE.model, *ARM)}
    assert {(event.engine_version, event.lanes, event.size, event.items) for event in made} == {("153.1", 2, 3, 12)}
    assert [event.seconds for event in made] == pytest.approx([4 * LEAST / 3.9] * 2)
    assert made[-1].times.records[2].runs == 2
    assert made[-1].times.records[2].seconds == pytest.approx(LEAST / 3.9 / 3)


def idle(serving: Serving) -> None:
    serving.states["b1.3"] = LaneState("b1.3", frozenset({"wasm"}), browser="embedded")


def loads(serving: Serving) -> None:
    serving.states["b2.1"].loading = OTHER


def elsewhere(serving: Serving) -> None:
    serving.send(serving.batch("b2.1"))


def leftover(serving: Serving) -> None:
    serving.send(serving.batch("b1.0"))  # a lane that takes no more, and is not done with what it has


def another(serving: Serving) -> None:
    serving.send(serving.batch("b1.1", OTHER))


def rehearsal(serving: Serving) -> None:
    serving.send(serving.batch("b1.1", nobodys=True))


def bound(serving: Serving) -> None:
    serving.send(serving.batch("b1.1", residents=Residents({}, {}, ())))


@pytest.mark.parametrize(
    "disturb",
    [idle, loads, elsewhere, leftover, another, rehearsal, bound],
    ids=lambda disturb: disturb.__name__,
)
def test_nothing_is_timed_beside_other_work(serving: Serving, disturb: Callable[[Serving], None]) -> None:
    assert serving.work(9)
    disturb(serving)
    serving.look()
    assert not serving.work(50)


def test_what_is_sent_past_the_queue_ends_a_stretch_as_well(serving: Serving) -> None:
    assert len(serving.work(9)) == 1
    serving.work(3)
    other = serving.batch("b1.1", OTHER)
    serving.send(other)
    serving.states["b1.1"].running -= 1
    serving.stretches.answered(other, True)
    assert not serving.work(1), "which would have been the last of four"


@pytest.mark.parametrize("event", ["a failure", "a lane starts"])
def test_what_was_begun_is_left_after(serving: Serving, event: str) -> None:
    assert len(serving.work(12)) == 1
    if event == "a failure":
        serving.answer(done=False)
    else:
        serving.look(starting=True)
        serving.look()
    assert not serving.work(4)
    assert len(serving.work(1)) == 1


def settle(stretches: Stretches, key: SessionKey, **seconds: float) -> None:
    for lanes, name in enumerate(("one", "two", "three"), 1):
        for _ in range(MOST if name in seconds else 0):
            stretches.book.add(key.model, ARM, 3, lanes, seconds[name], "153.1")


def test_model_that_can_use_the_most_lanes_decides_for_a_browser(serving: Serving) -> None:
    lanes = [serving.states[name] for name in LANES]
    settle(serving.stretches, ONE, one=0.1, two=0.1)
    assert serving.stretches.enough("embedded", lanes) == 1
    assert serving.stretches.enough("firefox", lanes) is None
    lanes[0].loaded[OTHER] = 2
    assert serving.stretches.enough("embedded", lanes) is None
    settle(serving.stretches, OTHER, one=0.2, two=0.1, three=0.1)
    assert serving.stretches.enough("embedded", lanes) == 2
    assert serving.stretches.enough("embedded", []) is None


def test_lane_waits_while_the_present_ones_are_measured(serving: Serving) -> None:
    serving.work(13)
    assert serving.stretches.hold("embedded", 2, None) is None
    assert serving.stretches.hold("firefox", 2, 0.0) is None
    held = serving.stretches.hold("embedded", 2, 0.0)
    assert held is not None
    assert serving.now < held <= HOLD
    settle(serving.stretches, ONE, two=0.1)
    assert serving.stretches.hold("embedded", 2, 0.0) is None
    another(serving)
    serving.look()
    assert serving.stretches.hold("embedded", 1, 0.0) is None
