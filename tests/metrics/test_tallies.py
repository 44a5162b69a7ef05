"""Tallies count each event once, under labels whose number is bounded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from webinfer.core.lane_id import LaneId
from webinfer.pool.events import (
    BrowserEnded,
    BrowserRefused,
    BrowserStarted,
    LaneEnded,
    LoadFailedEvent,
    RunFailedEvent,
    RunFinished,
    SessionLoaded,
)
from webinfer.pool.plan.assignment import SessionKey
from webinfer.telemetry.counters.tallies import MODELS, OTHER, STAGES, Histogram, Tallies, Where

KEY = SessionKey("a" * 64, "wasm")
WHERE = Where("probe", "fp32", "wasm", "embedded")


@pytest.fixture
def tallies() -> Tallies:
    tallies = Tallies()
    tallies.name(KEY.model, "probe")
    tallies(BrowserStarted("b1", "embedded", "1.0", 1, 0.5))
    return tallies


def finished(browser: str = "b1", total: float = 1.0, together: int = 1) -> RunFinished:
    return RunFinished(LaneId(browser, 1), browser, KEY, 3, 0.1, 0.2, 0.3, total, 1, together)


@pytest.mark.parametrize(("value", "bucket"), [(0.5, 0), (1.0, 0), (1.5, 1), (2.0, 1), (9.0, 2)])
def test_value_belongs_to_the_first_bucket_whose_bound_it_does_not_exceed(value: float, bucket: int) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.add(value)
    assert histogram.counts.index(1) == bucket


def test_stages_add_up_to_the_total(tallies: Tallies) -> None:
    tallies(finished(total=1.0))
    tally = tallies.by[WHERE]
    times = dict(zip(STAGES, (histogram.total for histogram in tally.stages), strict=True))
    assert times == pytest.approx({"queue": 0.1, "wait": 0.4, "run": 0.3, "transfer": 0.2})
    assert (tally.answered, tally.items, tally.duration.total) == (1, 3, 1.0)


def test_failure_counts_once_and_a_retry_is_none(tallies: Tallies) -> None:
    tallies(RunFailedEvent(KEY, "lost.lane", 1, True, LaneId("b1", 1), ""))
    tallies(RunFailedEvent(KEY, "lost.lane", 2, False, LaneId("b1", 1), ""))
    tallies(RunFailedEvent(KEY, "deadline", 0, False, None, ""))
    assert (tallies.by[WHERE].failed, tallies.by[WHERE].retried) == (1, 1)
    assert tallies.by[WHERE._replace(browser="")].failed == 1
    assert tallies.faults == {("request", "lost.lane"): 2, ("request", "deadline"): 1}


def test_every_kind_of_fault_is_counted_by_its_code(tallies: Tallies) -> None:
    tallies(LoadFailedEvent(LaneId("b1", 1), KEY, "backend.load"))
    tallies(LaneEnded(LaneId("b1", 1), "lost.lane", ""))
    tallies(LaneEnded(LaneId("b1", 2), "", "worn", lost=False))
    tallies(BrowserRefused("firefox", "browser.launch", "", 1, 1.0))
    tallies(BrowserEnded("b1", "embedded", "worn", lost=False))
    tallies(BrowserEnded("b2", "embedded", "killed"))
    assert tallies.faults == dict.fromkeys(
        [("load", "backend.load"), ("lane", "lost.lane"), ("launch", "browser.launch"), ("browser", "lost.browser")], 1
    )
    assert tallies.retired == {"lane": 1, "browser": 1}


def test_answers_of_a_browser_and_of_its_successor_are_one_series(tallies: Tallies) -> None:
    tallies(finished("b1"))
    tallies(BrowserEnded("b1", "embedded", "killed"))
    tallies(BrowserStarted("b2", "embedded", "1.0", 1, 0.5))
    tallies(finished("b2"))
    assert tallies.by.keys() == {WHERE}
    assert tallies.by[WHERE].answered == 2


def test_number_of_models_told_apart_is_bounded() -> None:
    tallies = Tallies()
    for number in range(MODELS + 50):
        tallies.name(str(number), f"model {number}")
        tallies(SessionLoaded(LaneId("b1", 1), SessionKey(str(number), "wasm"), 1, 0.1, 0.0, 0.0))
    assert len(tallies.by) == MODELS + 1
    assert sum(tallies.by[Where(OTHER, "fp32", "wasm", "")].load.counts) == 50


def test_precisions_of_one_model_are_series_of_their_own(tallies: Tallies) -> None:
    quantized = KEY._replace(model="b" * 64, precision="q8")
    tallies.name(quantized.model, "probe")
    tallies(finished())
    tallies(replace(finished(), key=quantized))
    assert {where: tally.answered for where, tally in tallies.by.items()} == {
        WHERE: 1,
        WHERE._replace(precision="q8"): 1,
    }


def test_copy_does_not_change_with_what_comes_later(tallies: Tallies) -> None:
    tallies(finished())
    copy = tallies.copy()
    tallies(finished())
    tallies(LoadFailedEvent(LaneId("b1", 1), KEY, "backend.load"))
    assert (copy.by[WHERE].answered, sum(copy.by[WHERE].duration.counts), copy.faults.total()) == (1, 1, 0)
    assert tallies.by[WHERE].answered == 2
    assert copy.named(KEY.model) == "probe"
