"""What happened lately is remembered for so long, and not longer."""

from __future__ import annotations

import pytest

from webinfer.telemetry.counters.recent import WINDOW, FaultLog, RecentRuns


def test_recent_forgets_what_is_long_ago() -> None:
    runs = RecentRuns(100.0)
    runs.add(100.0 + WINDOW, 9.0, 2)
    now = 100.0 + 2 * WINDOW + 1
    for total in (0.1, 0.2, 0.4):
        runs.add(now, total, 2)
    recent = runs.look(now)
    assert (recent.seconds, recent.runs, recent.items) == (WINDOW, 3, 6)
    assert (recent.p50, recent.p95) == (0.2, 0.4)


def test_recent_of_nothing_has_no_latency() -> None:
    recent = RecentRuns(100.0).look(102.0)
    assert (recent.seconds, recent.runs, recent.p50, recent.p95) == (2, 0, None, None)


@pytest.mark.parametrize(("count", "index"), [(1, 0), (20, 18), (100, 94)])
def test_p95_is_what_95_of_100_do_not_exceed(count: int, index: int) -> None:
    runs = RecentRuns(100.0)
    for total in range(count):
        runs.add(100.0, total, 1)
    assert runs.look(100.0).p95 == index


def test_window_of_a_fast_pool_is_shorter() -> None:
    runs = RecentRuns(0.0)
    for number in range(10_000):
        runs.add(number / 1000, 0.001, 1)
    recent = runs.look(10.0)
    assert recent.runs == 4096
    assert recent.runs / recent.seconds == pytest.approx(1000, rel=0.01)


def test_like_faults_in_a_row_are_one_and_the_newest_comes_first() -> None:
    log = FaultLog()
    for now, reason in ((1.0, "first"), (2.0, "second")):
        log.add(now, "request", "backend.run", "b1.1", "probe", reason)
    log.add(3.0, "lane", "lost.lane", "b1.1", None, "gone")
    newest, oldest = log.look(5.0)
    assert (newest.kind, newest.times, newest.age) == ("lane", 1, 2.0)
    assert (oldest.times, oldest.reason, oldest.model, oldest.age) == (2, "second", "probe", 3.0)


def test_few_faults_are_remembered() -> None:
    log = FaultLog()
    for number in range(100):
        log.add(float(number), "lane", "lost.lane", f"b1.{number}", None, "")
    assert [fault.where for fault in log.look(100.0)] == [f"b1.{number}" for number in range(99, 89, -1)]
