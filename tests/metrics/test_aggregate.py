"""Running totals say what a user takes them to say, however many models there are and however much runs at once."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from webinfer.core.lane_id import LaneId
from webinfer.pool.events import SessionLoaded
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.requests.request import Times
from webinfer.telemetry.counters.aggregate import MODELS, Aggregate, Gauges
from webinfer.telemetry.counters.busy_time import Busy

PLAIN, QUANTIZED = "1" * 64, "2" * 64


class Clock:
    now = 100.0


@dataclass
class Answer:
    model_sha256: str = PLAIN
    seconds: float = 0.1
    items: int = 1
    batch: int = 1
    attempts: int = 1
    browser: str = "embedded"
    backend: str = "wasm"

    @property
    def times(self) -> Times:
        return Times(0.0, 0.0, self.seconds, 0.0, self.seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def aggregate() -> Aggregate:
    aggregate = Aggregate()
    aggregate.name(PLAIN, "bert", "plain", "fp32")
    aggregate.name(QUANTIZED, "bert", "quantized", "q8")
    return aggregate


def told(aggregate: Aggregate, now: Gauges | None = None) -> dict[str, Any]:
    return aggregate.to_dict(now or Gauges())


def test_precisions_of_one_name_are_summed_up_and_told_apart(aggregate: Aggregate, clock: Clock) -> None:
    for sha256, seconds in ((PLAIN, 0.1), (PLAIN, 0.3), (QUANTIZED, 0.5)):
        clock.now += 1
        aggregate.answered(Answer(sha256, seconds), clock.now)
    metrics = told(aggregate)
    bert = metrics["models"]["bert"]
    assert (bert["inferences"], bert["latency"]) == (3, pytest.approx(0.3))
    assert bert["throughput"] == pytest.approx(3 / 0.9)
    assert bert["percentiles"]["latency"]["p50"] == pytest.approx(0.3, rel=0.006)
    variants = bert["variants"]
    assert (variants[PLAIN]["inferences"], variants[PLAIN]["precision"], variants[PLAIN]["model_cid"]) == (
        *(2, "fp32", "plain"),
    )
    assert (variants[QUANTIZED]["inferences"], variants[QUANTIZED]["precision"]) == (1, "q8")
    assert variants[QUANTIZED]["latency"] == pytest.approx(0.5)
    assert sum(each["inferences"] for each in metrics["models"].values()) == metrics["aggregate"]["total_inferences"]


def test_only_model_of_its_name_has_the_same_figures_as_its_variant(aggregate: Aggregate, clock: Clock) -> None:
    aggregate.answered(Answer(QUANTIZED), clock.now)
    bert = told(aggregate)["models"]["bert"]
    variants = bert.pop("variants")
    assert variants == {QUANTIZED: bert}
    assert (bert["precision"], bert["model_cid"]) == ("q8", "quantized")


def test_throughput_counts_the_time_in_which_anything_ran_once(aggregate: Aggregate, clock: Clock) -> None:
    for _ in range(100):  # four lanes, each a tenth of a second for each of a hundred requests
        clock.now += 0.1
        for sha256 in (PLAIN, PLAIN, PLAIN, QUANTIZED):
            aggregate.answered(Answer(sha256, 0.1), clock.now)
    clock.now += 3600.0  # and nothing for an hour
    metrics = told(aggregate)
    assert metrics["aggregate"]["avg_throughput"] == pytest.approx(40.0)
    bert = metrics["models"]["bert"]
    assert [bert["throughput"], *(each["throughput"] for each in bert["variants"].values())] == pytest.approx(
        [40.0, 30.0, 10.0]
    )


def test_busy_time_is_the_union_of_all_spans() -> None:
    random, busy, spans, end = Random(7), Busy(), [], 0.0
    for _ in range(2000):
        end += random.expovariate(1.0)
        spans.append((end - random.expovariate(0.7), end))
        busy.add(*spans[-1])
    union, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        union += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    assert 0 < union < end
    assert busy.seconds == pytest.approx(union)


def test_busy_time_takes_no_more_memory_with_every_span() -> None:
    busy = Busy()
    for second in range(10_000):
        busy.add(second, second + 0.5)
    assert busy.seconds == pytest.approx(5000.0)
    assert len(busy._starts) == len(busy._ends) < 200
    busy.add(9_000.0, 10_000.0)  # far back, but not beyond what is told apart
    assert busy.seconds == pytest.approx(5000.0 + 0.5 * 64, abs=64)


def test_memory_of_a_model_is_that_of_the_browsers_that_hold_it_now(aggregate: Aggregate) -> None:
    for sha256 in (PLAIN, QUANTIZED):
        aggregate(SessionLoaded(LaneId("b1", 1), SessionKey(sha256, "wasm"), 90_000_000, 1.0, 0.5, 0.5))
    now = Gauges(
        memory={"b1": 600.0, "b2": 200.0, "b3": 100.0},
        holders={PLAIN: {"b1", "b2"}, QUANTIZED: {"b2"}},
    )
    metrics = told(aggregate, now)
    bert = metrics["models"]["bert"]
    assert (bert["memory_usage"], bert["loaded_mb"]) == (800.0, 180.0)
    assert [each["memory_usage"] for each in bert["variants"].values()] == [800.0, 200.0]
    assert [each["loaded_mb"] for each in bert["variants"].values()] == [90.0, 90.0]
    assert metrics["aggregate"]["total_memory_usage"] == metrics["resource_pool"]["memory_usage_mb"] == 900.0
    assert told(aggregate)["models"]["bert"]["memory_usage"] == 0.0  # nobody holds it any more


def test_models_beyond_the_last_thousand_are_counted_but_not_told_apart(aggregate: Aggregate, clock: Clock) -> None:
    for number in range(MODELS + 50):
        clock.now += 1
        aggregate.name(f"{number:064}", f"model {number}", "", "fp32")
        aggregate.answered(Answer(f"{number:064}"), clock.now)
        aggregate.answered(Answer(PLAIN), clock.now)  # which is in use all the time
    metrics = told(aggregate)
    assert len(metrics["models"]) == MODELS
    assert metrics["models"]["bert"]["inferences"] == MODELS + 50
    assert f"model {MODELS + 49}" in metrics["models"]
    assert "model 0" not in metrics["models"]
    assert metrics["aggregate"]["total_models"] == MODELS + 51
    assert metrics["aggregate"]["total_inferences"] == 2 * (MODELS + 50)


def test_model_that_was_never_used_is_not_told(aggregate: Aggregate) -> None:
    assert told(aggregate)["models"] == {}


def test_model_is_found_under_the_name_that_it_was_given_last(aggregate: Aggregate, clock: Clock) -> None:
    aggregate.answered(Answer("3" * 64), clock.now)
    aggregate.name("3" * 64, "late", "cid", "fp32")
    aggregate.answered(Answer("3" * 64), clock.now)
    assert {name: each["inferences"] for name, each in told(aggregate)["models"].items()} == {"late": 2}
