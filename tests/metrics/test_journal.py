"""The journal counts what happened, remembers the last of it, and claims nothing that was not seen."""

from __future__ import annotations

import pytest

from webinfer.core.lane_id import LaneId
from webinfer.pool.events import (
    BrowserEnded,
    BrowserStarted,
    LaneEnded,
    LaneStarted,
    LoadFailedEvent,
    RunFailedEvent,
    RunFinished,
)
from webinfer.pool.plan.assignment import SessionKey
from webinfer.telemetry.counters.journal import WINDOW, Journal

KEY = SessionKey("a" * 64, "wasm")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(clock: Clock) -> Journal:
    journal = Journal(clock)
    journal(BrowserStarted("b1", "embedded", "1.0", 1, 0.5))
    journal(LaneStarted(LaneId("b1", 1)))
    return journal


def finished(run: float = 0.1, total: float = 0.2, attempts: int = 1) -> RunFinished:
    return RunFinished(LaneId("b1", 1), "b1", KEY, 2, 0.0, 0.0, run, total, attempts)


def test_runs_are_counted_for_the_lane_and_the_session(journal: Journal, clock: Clock) -> None:
    clock.now += 1
    journal(finished())
    journal(finished())
    assert (journal.runs, journal.items) == (2, 4)
    assert journal.lane(LaneId("b1", 1)).runs == journal.session(KEY).runs == 2


def test_lane_is_busy_once_when_requests_ran_together(journal: Journal, clock: Clock) -> None:
    clock.now += 1
    for _ in range(4):
        journal(finished(run=0.1))
    assert journal.lane(LaneId("b1", 1)).busy == pytest.approx(0.1)
    clock.now += 1
    journal(finished(run=0.3))
    assert journal.lane(LaneId("b1", 1)).busy == pytest.approx(0.4)


def test_recent_forgets_what_is_long_ago(journal: Journal, clock: Clock) -> None:
    clock.now += WINDOW
    journal(finished(total=9.0))
    clock.now += WINDOW + 1
    for total in (0.1, 0.2, 0.4):
        journal(finished(total=total))
    recent = journal.recent()
    assert (recent.seconds, recent.runs, recent.items) == (WINDOW, 3, 6)
    assert (recent.p50, recent.p95) == (0.2, 0.4)


def test_recent_of_nothing_has_no_latency(journal: Journal, clock: Clock) -> None:
    clock.now += 2
    recent = journal.recent()
    assert (recent.seconds, recent.runs, recent.p50, recent.p95) == (2, 0, None, None)


@pytest.mark.parametrize(("count", "index"), [(1, 0), (20, 18), (100, 94)])
def test_p95_is_what_95_of_100_do_not_exceed(journal: Journal, count: int, index: int) -> None:
    for total in range(count):
        journal(finished(total=total))
    assert journal.recent().p95 == index


def test_errors_are_counted_by_code_lane_and_session(journal: Journal) -> None:
    journal(RunFailedEvent(KEY, "lost.lane", 1, True, LaneId("b1", 1), "gone"))
    journal(RunFailedEvent(KEY, "deadline", 0, False, None, "late"))
    journal(LoadFailedEvent(LaneId("b1", 1), KEY, "backend.load", "no"))
    assert journal.errors == {"lost.lane": 1, "deadline": 1, "backend.load": 1}
    assert journal.lane(LaneId("b1", 1)).errors == 2
    assert journal.session(KEY).errors == 2


def test_request_that_was_answered_after_a_loss_counts_as_recovered(journal: Journal) -> None:
    journal(RunFailedEvent(KEY, "lost.lane", 1, True, LaneId("b1", 1), "gone"))
    journal(finished(attempts=2))
    assert (journal.recoveries["requests_rerun"], journal.recoveries["requests_recovered"]) == (1, 1)


def test_losses_are_counted_and_become_faults(journal: Journal, clock: Clock) -> None:
    journal(LaneEnded(LaneId("b1", 1), "lost.lane", "The worker ended."))
    clock.now += 3
    journal(BrowserEnded("b1", "embedded", "It was killed."))
    clock.now += 2
    assert (journal.recoveries["lanes_lost"], journal.recoveries["browsers_lost"]) == (1, 1)
    browser, lane = journal.faults()
    assert (browser.kind, browser.where, browser.code, browser.age) == ("browser", "b1", "lost.browser", 2)
    assert (lane.kind, lane.where, lane.reason, lane.age) == ("lane", "b1.1", "The worker ended.", 5)


def test_like_faults_in_a_row_are_one(journal: Journal, clock: Clock) -> None:
    journal.name(KEY.model, "probe")
    for reason in ("first", "second"):
        clock.now += 1
        journal(RunFailedEvent(KEY, "backend.run", 1, False, LaneId("b1", 1), reason))
    (fault,) = journal.faults()
    assert (fault.times, fault.reason, fault.model, fault.age) == (2, "second", "probe", 0)


def test_answer_that_comes_after_its_lane_ended_still_counts(journal: Journal) -> None:
    journal(LaneEnded(LaneId("b1", 1), "lost.lane", ""))
    journal(finished())
    assert (journal.runs, journal.lane(LaneId("b1", 1)).runs) == (1, 0)
