"""Every event is counted once, under labels whose number is bounded, and readers see all of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.telemetry.results import MODEL, result
from webinfer.core.placement import LaneId
from webinfer.pool.events import (
    BatchFinished,
    BrowserEnded,
    BrowserRefused,
    BrowserStarted,
    HostStalled,
    LaneEnded,
    LaneStarted,
    LoadFailedEvent,
    RunFailedEvent,
    RunFinished,
    SessionLoaded,
)
from webinfer.pool.plan.assignment import SessionKey
from webinfer.telemetry.counters.bounded import LATE
from webinfer.telemetry.counters.counters import BURST, Counters
from webinfer.telemetry.counters.counts import MODELS
from webinfer.telemetry.counters.labels import LABELS, OTHER, Labels
from webinfer.telemetry.counters.series import STAGES, RunCounts

KEY = SessionKey(MODEL, "wasm")
LABELLED = Labels("probe", "fp32", "wasm", "embedded")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counters(clock: Clock) -> Counters:
    counters = Counters(clock)
    counters.name(KEY.model, "probe")
    counters(BrowserStarted("b1", "embedded", "1.0", 1, 0.5))
    counters(LaneStarted(LaneId("b1", 1)))
    return counters


def finished(browser: str = "b1", run: float = 0.3, total: float = 1.0, attempts: int = 1) -> RunFinished:
    return RunFinished(LaneId(browser, 1), browser, KEY, 3, 0.1, 0.2, run, total, attempts)


def runs(counters: Counters, labels: Labels = LABELLED) -> RunCounts:
    return counters.read().by_label()[labels].runs


def test_stages_add_up_to_the_total(counters: Counters) -> None:
    counters(finished())
    counted = runs(counters)
    times = dict(zip(STAGES, (histogram.total for histogram in counted.stages), strict=True))
    assert times == pytest.approx({"queue": 0.1, "wait": 0.4, "run": 0.3, "transfer": 0.2})
    assert (counted.answered, counted.items, counted.duration.total) == (1, 3, 1.0)


def test_every_answer_counts_whether_somebody_reads_or_not(counters: Counters, clock: Clock) -> None:
    for number in range(1, 2 * BURST + 2):
        counters(finished())
        counters.answered(result(0.1), clock.now)
        if number in (1, BURST - 1, BURST, 2 * BURST + 1):
            assert runs(counters).answered == number
            assert counters.read().sum(lambda series: series.answers.count) == number


def test_no_more_is_put_off_than_a_burst(counters: Counters, clock: Clock) -> None:
    for _ in range(10 * BURST):
        counters(finished())
    assert len(counters._runs) < BURST
    for _ in range(10 * BURST):
        counters.answered(result(0.1), clock.now)
    assert len(counters._answers) < BURST


def test_run_counts_for_the_browser_that_was_there_when_it_ended(counters: Counters) -> None:
    counters(finished())
    counters(BrowserEnded("b1", "embedded", "killed"))
    for number in range(2, LATE + 4):
        counters(BrowserStarted(f"b{number}", "firefox", "1.0", 1, 0.5))
        counters(BrowserEnded(f"b{number}", "firefox", "killed"))
    assert runs(counters).answered == 1


def test_failure_counts_once_and_a_retry_is_none(counters: Counters) -> None:
    counters(RunFailedEvent(KEY, "lost.lane", 1, True, LaneId("b1", 1), ""))
    counters(RunFailedEvent(KEY, "lost.lane", 2, False, LaneId("b1", 1), ""))
    counters(RunFailedEvent(KEY, "deadline", 0, False, None, ""))
    assert (runs(counters).failed, runs(counters).retried) == (1, 1)
    assert runs(counters, LABELLED._replace(browser="")).failed == 1
    assert counters.read().faults == {("request", "lost.lane"): 2, ("request", "deadline"): 1}
    assert counters.read().sessions[KEY].errors == 3


def test_every_kind_of_fault_is_counted_by_its_code(counters: Counters) -> None:
    counters(LoadFailedEvent(LaneId("b1", 1), KEY, "backend.load"))
    counters(LaneEnded(LaneId("b1", 1), "lost.lane", ""))
    counters(LaneEnded(LaneId("b1", 2), "", "worn", lost=False))
    counters(BrowserRefused("firefox", "browser.launch", "", 1, 1.0))
    counters(BrowserEnded("b1", "embedded", "worn", lost=False))
    counters(BrowserEnded("b2", "embedded", "killed"))
    counters(HostStalled(3.0))
    counts = counters.read()
    kinds = [("load", "backend.load"), ("lane", "lost.lane"), ("launch", "browser.launch"), ("browser", "lost.browser")]
    assert counts.faults == dict.fromkeys([*kinds, ("host", "host.stalled")], 1)
    assert counts.faults_of("load", "lane") == {"backend.load": 1, "lost.lane": 1}
    assert counts.retired == {"lane": 1, "browser": 1}


def test_losses_become_faults_that_say_what_happened(counters: Counters, clock: Clock) -> None:
    counters(LaneEnded(LaneId("b1", 1), "lost.lane", "The worker ended."))
    clock.now += 3
    counters(BrowserEnded("b1", "embedded", "It was killed."))
    clock.now += 2
    browser, lane = counters.read().fault_log.look(clock.now)
    assert (browser.kind, browser.where, browser.code, browser.age) == ("browser", "b1", "lost.browser", 2)
    assert (lane.kind, lane.where, lane.reason, lane.age) == ("lane", "b1.1", "The worker ended.", 5)


def test_runs_and_errors_are_counted_for_the_lane_and_the_session(counters: Counters, clock: Clock) -> None:
    clock.now += 1
    counters(finished())
    counters(finished())
    counters(LoadFailedEvent(LaneId("b1", 1), KEY, "backend.load", "no"))
    counts = counters.read()
    assert (counts.lanes[LaneId("b1", 1)].runs, counts.lanes[LaneId("b1", 1)].errors) == (2, 1)
    assert counts.sessions[KEY].runs == 2


def test_lane_is_busy_once_when_requests_ran_together(counters: Counters, clock: Clock) -> None:
    clock.now += 1
    for _ in range(4):
        counters(finished(run=0.1))
    assert counters.read().lanes[LaneId("b1", 1)].busy == pytest.approx(0.1)
    clock.now += 1
    counters(finished(run=0.3))
    assert counters.read().lanes[LaneId("b1", 1)].busy == pytest.approx(0.4)


def test_answer_that_comes_after_its_lane_ended_still_counts(counters: Counters) -> None:
    counters(LaneEnded(LaneId("b1", 1), "lost.lane", ""))
    counters(finished(attempts=2))
    assert runs(counters).answered == 1
    assert counters.read().recovered == 1
    assert LaneId("b1", 1) not in counters.read().lanes


def test_answers_of_a_browser_and_of_its_successor_are_one_series(counters: Counters) -> None:
    counters(finished("b1"))
    counters(BrowserEnded("b1", "embedded", "killed"))
    counters(BrowserStarted("b2", "embedded", "1.0", 1, 0.5))
    counters(finished("b2"))
    assert counters.read().by_label().keys() == {LABELLED}
    assert runs(counters).answered == 2
    assert (counters.read().browsers_peak, counters.read().starts) == (1, {"embedded": 2})


def test_number_of_labels_is_bounded() -> None:
    counters = Counters()
    for number in range(LABELS + 50):
        counters.name(str(number), f"model {number}")
        counters(SessionLoaded(LaneId("b1", 1), SessionKey(str(number), "wasm"), 1, 0.1, 0.0, 0.0))
    labelled = counters.read().by_label()
    assert len(labelled) == LABELS + 1
    assert labelled[Labels(OTHER, "fp32", "wasm", "")].loads.count == 50


def test_series_goes_on_when_its_model_is_forgotten(counters: Counters) -> None:
    counters(finished())
    for number in range(MODELS):
        counters(replace(finished(), key=KEY._replace(model=f"{number:064}")))
    assert MODEL not in counters.read().models
    assert runs(counters).answered == 1
    counters(finished())
    assert runs(counters).answered == 2
    assert counters.read().sum(lambda series: series.runs.answered) == MODELS + 2


def test_precisions_of_one_model_are_series_of_their_own(counters: Counters) -> None:
    quantized = KEY._replace(model="b" * 64, precision="q8")
    counters.name(quantized.model, "probe")
    counters(finished())
    counters(replace(finished(), key=quantized))
    labelled = counters.read().by_label()
    assert {labels: series.runs.answered for labels, series in labelled.items()} == {
        LABELLED: 1,
        LABELLED._replace(precision="q8"): 1,
    }


def test_labelled_series_do_not_change_with_what_comes_later(counters: Counters) -> None:
    counters(finished())
    before = counters.read().by_label()[LABELLED].runs
    counters(finished())
    assert (before.answered, before.duration.count) == (1, 1)
    assert runs(counters).answered == 2


def test_batches_are_counted_by_their_size(counters: Counters) -> None:
    for size in (2, 2, 8):
        counters(BatchFinished(LaneId("b1", 1), KEY, size, 0.1))
    assert counters.read().batches == {2: 2, 8: 1}
