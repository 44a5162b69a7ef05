"""Running totals say what a user takes them to say, however many models there are and however much runs at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.telemetry.results import result
from webinfer.core.placement import LaneId
from webinfer.pool.events import (
    BatchFinished,
    BrowserEnded,
    BrowserStarted,
    LoadFailedEvent,
    RunFailedEvent,
    SessionLoaded,
)
from webinfer.pool.plan.assignment import SessionKey
from webinfer.telemetry.counters.counters import Counters
from webinfer.telemetry.counters.counts import MODELS
from webinfer.telemetry.counters.gauges import Gauges
from webinfer.telemetry.readers.metrics import Loaded, metrics

PLAIN, QUANTIZED = "1" * 64, "2" * 64


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
    counters.name(PLAIN, "bert", "plain", "fp32")
    counters.name(QUANTIZED, "bert", "quantized", "q8")
    return counters


def answer(counters: Counters, clock: Clock, sha256: str = PLAIN, seconds: float = 0.1, **fields: Any) -> None:
    counters.answered(result(seconds, model_sha256=sha256, **fields), clock.now)


def told(counters: Counters, now: Gauges | None = None, loaded: Loaded | None = None) -> dict[str, Any]:
    return metrics(counters.read(), now or Gauges(), loaded or Loaded())


def test_precisions_of_one_name_are_summed_up_and_told_apart(counters: Counters, clock: Clock) -> None:
    for sha256, seconds in ((PLAIN, 0.1), (PLAIN, 0.3), (QUANTIZED, 0.5)):
        clock.now += 1
        answer(counters, clock, sha256, seconds)
    figures = told(counters)
    bert = figures["models"]["bert"]
    assert (bert["inferences"], bert["latency"]) == (3, pytest.approx(0.3))
    assert bert["throughput"] == pytest.approx(3 / 0.9)
    assert bert["percentiles"]["latency"]["p50"] == pytest.approx(0.3, rel=0.006)
    variants = bert["variants"]
    assert (variants[PLAIN]["inferences"], variants[PLAIN]["precision"], variants[PLAIN]["model_cid"]) == (
        *(2, "fp32", "plain"),
    )
    assert (variants[QUANTIZED]["inferences"], variants[QUANTIZED]["precision"]) == (1, "q8")
    assert variants[QUANTIZED]["latency"] == pytest.approx(0.5)
    assert sum(each["inferences"] for each in figures["models"].values()) == figures["aggregate"]["total_inferences"]


def test_only_model_of_its_name_has_the_same_figures_as_its_variant(counters: Counters, clock: Clock) -> None:
    answer(counters, clock, QUANTIZED)
    bert = told(counters)["models"]["bert"]
    variants = bert.pop("variants")
    assert variants == {QUANTIZED: bert}
    assert (bert["precision"], bert["model_cid"]) == ("q8", "quantized")


def test_throughput_counts_the_time_in_which_anything_ran_once(counters: Counters, clock: Clock) -> None:
    for _ in range(100):  # four lanes, each a tenth of a second for each of a hundred requests
        clock.now += 0.1
        for sha256 in (PLAIN, PLAIN, PLAIN, QUANTIZED):
            answer(counters, clock, sha256, 0.1)
    clock.now += 3600.0  # and nothing for an hour
    figures = told(counters)
    assert figures["aggregate"]["avg_throughput"] == pytest.approx(40.0)
    bert = figures["models"]["bert"]
    assert [bert["throughput"], *(each["throughput"] for each in bert["variants"].values())] == pytest.approx(
        [40.0, 30.0, 10.0]
    )


def test_memory_of_a_model_is_that_of_the_browsers_that_hold_it_now(counters: Counters) -> None:
    for sha256 in (PLAIN, QUANTIZED):
        counters(SessionLoaded(LaneId("b1", 1), SessionKey(sha256, "wasm"), 90_000_000, 1.0, 0.5, 0.5))
    now = Gauges(memory={"b1": 600.0, "b2": 200.0, "b3": 100.0})
    figures = told(counters, now, Loaded(holders={PLAIN: {"b1", "b2"}, QUANTIZED: {"b2"}}))
    bert = figures["models"]["bert"]
    assert (bert["memory_usage"], bert["loaded_mb"]) == (800.0, 180.0)
    assert [each["memory_usage"] for each in bert["variants"].values()] == [800.0, 200.0]
    assert [each["loaded_mb"] for each in bert["variants"].values()] == [90.0, 90.0]
    assert figures["aggregate"]["total_memory_usage"] == figures["resource_pool"]["memory_usage_mb"] == 900.0
    assert told(counters)["models"]["bert"]["memory_usage"] == 0.0  # nobody holds it any more


def test_models_beyond_the_last_thousand_are_counted_but_not_told_apart(counters: Counters, clock: Clock) -> None:
    for number in range(MODELS + 50):
        clock.now += 1
        counters.name(f"{number:064}", f"model {number}", "", "fp32")
        answer(counters, clock, f"{number:064}")
        answer(counters, clock, PLAIN)  # which is in use all the time
    figures = told(counters)
    assert len(figures["models"]) == MODELS
    assert figures["models"]["bert"]["inferences"] == MODELS + 50
    assert f"model {MODELS + 49}" in figures["models"]
    assert "model 0" not in figures["models"]
    assert figures["aggregate"]["total_models"] == MODELS + 51
    assert figures["aggregate"]["total_inferences"] == 2 * (MODELS + 50)


def test_model_that_was_never_used_is_not_told(counters: Counters) -> None:
    assert told(counters)["models"] == {}


def test_model_is_found_under_the_name_that_it_was_given_last(counters: Counters, clock: Clock) -> None:
    answer(counters, clock, "3" * 64)
    counters.name("3" * 64, "late", "cid", "fp32")
    answer(counters, clock, "3" * 64)
    assert {name: each["inferences"] for name, each in told(counters)["models"].items()} == {"late": 2}


def test_requests_that_ran_together_share_the_time_of_their_run(counters: Counters, clock: Clock) -> None:
    answer(counters, clock, seconds=0.8, batch=4, items=2)
    bert = told(counters)["models"]["bert"]
    assert (bert["inference_time"], bert["latency"], bert["batch_size"]) == (pytest.approx(0.2), 0.8, 4)


def test_runs_are_told_apart_by_browser_and_backend(counters: Counters, clock: Clock) -> None:
    for browser, backend in (("embedded", "wasm"), ("firefox", "wasm"), ("firefox", "webgpu")):
        answer(counters, clock, browser=browser, backend=backend)
    figures = told(counters)
    platforms, browsers = {"wasm": 2, "webgpu": 1}, {"embedded": 1, "firefox": 2}
    assert figures["models"]["bert"]["platform_distribution"] == platforms
    assert figures["aggregate"]["platform_distribution"] == platforms
    assert figures["aggregate"]["browser_distribution"] == browsers
    usage = figures["bridge"]["resource_metrics"]
    assert (usage["browser_usage"], usage["platform_usage"]) == (browsers, platforms)
    assert figures["models"]["bert"]["percentiles"]["latency"]["p99"] == pytest.approx(0.1, rel=0.006)


def test_bridge_tells_what_the_pool_announced(counters: Counters) -> None:
    key = SessionKey(PLAIN, "wasm")
    counters(BrowserStarted("b1", "embedded", "1.0", 1, 0.5))
    counters(BrowserStarted("b2", "embedded", "1.0", 1, 0.5))
    counters(BrowserEnded("b1", "embedded", "killed"))
    counters(RunFailedEvent(key, "lost.lane", 1, True, LaneId("b1", 1), ""))
    counters(LoadFailedEvent(LaneId("b2", 1), key, "backend.load"))
    counters(BatchFinished(LaneId("b2", 1), key, 8, 0.1))
    for found in (True, True, False):
        counters.look_up(found)
    figures = told(counters, Gauges(queued=3, queue_peak=5, running_peak=4, lanes=2, busy=1), Loaded(names=["bert"]))
    bridge = figures["bridge"]
    assert (bridge["errors"], bridge["errors_by_code"]) == (2, {"lost.lane": 1, "backend.load": 1})
    assert (bridge["retries"], bridge["batches"], bridge["current_queue_size"]) == (1, {"8": 1}, 3)
    assert (bridge["queue_peak"], bridge["concurrent_peak"]) == (5, 4)
    stats = bridge["bridge_stats"]
    assert (stats["created_connections"], stats["current_connections"], stats["peak_connections"]) == (2, 1, 2)
    assert (stats["loaded_models"], stats["model_count"]) == (["bert"], 1)
    assert bridge["resource_metrics"]["connection_util"] == 0.5
    pool = figures["resource_pool"]
    assert (pool["hits"], pool["misses"], pool["total_requests"]) == (2, 1, 3)
