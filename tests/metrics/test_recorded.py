"""What was recorded of a model is known to the next process: of this machine, this setting and this version alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from webinfer.pool.learning.bandit import WINDOW, Arm
from webinfer.telemetry.database.machine import machine
from webinfer.telemetry.database.store import Store
from webinfer.telemetry.database.store_history import StoreHistory

SHA, QUANTIZED = "a" * 64, "c" * 64
WASM, WEBNN = Arm("embedded", "wasm"), Arm("embedded", "webnn")
MOMENTS = count(1_700_000_000)


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(":memory:")
    yield store
    store.close()


def ran(
    store: Store,
    *seconds: float,
    arm: Arm = WASM,
    model: str = SHA,
    version: str = "153.0",
    where: str = machine()["id"],
    lanes: int = 1,
    threads: int | None = None,
    **more: Any,
) -> None:
    run = store.add("runs", machine=where, started=next(MOMENTS), options={"lanes": lanes, "threads": threads})
    browser = store.add("browsers", run=run, name=arm.browser)
    about = {"backend": arm.backend, "precision": arm.precision, "model": model, "browser": browser, "run": run}
    session = store.add("sessions", **about, browser_name=arm.browser, engine_version=version, timestamp=next(MOMENTS))
    store.add("loads", **about, seconds=seconds[0] * 100, timestamp=next(MOMENTS))
    for each in seconds:
        row = {"run_time": each * 0.75, "transfer": each * 0.25, "attempts": 1, "batch": 1, "items": 1} | more
        store.add("inferences", run=run, session=session, timestamp=next(MOMENTS), total=9.0, **row)


def test_recorded_requests_are_what_is_known_of_each_arm(store: Store) -> None:
    ran(store, 0.010, 0.020, 0.040)
    ran(store, 0.005, arm=WEBNN)
    known = StoreHistory(store, 1, None).read(SHA)
    assert known.keys() == {WASM, WEBNN}
    assert (known[WASM].runs, known[WASM].version, known[WASM].load) == (3, "153.0", 1.0)
    assert known[WASM].seconds == pytest.approx(0.020)
    assert known[WASM].variance == pytest.approx(2 / 3 * math.log(2) ** 2)
    assert known[WEBNN].seconds == pytest.approx(0.005)


@pytest.mark.parametrize(
    "other",
    [
        {"where": "another machine"},
        {"model": "b" * 64},
        {"lanes": 2},
        {"threads": 2},
        {"attempts": 2},
        {"batch": 4},
        {"error_code": "lost.lane"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_was_otherwise_is_not_counted(store: Store, other: dict[str, Any]) -> None:
    ran(store, 0.5, 0.5, **other)
    assert StoreHistory(store, 1, None).read(SHA) == {}
    ran(store, 0.010)
    assert StoreHistory(store, 1, None).read(SHA)[WASM].runs == 1


def test_runs_of_an_earlier_version_of_the_browser_are_forgotten(store: Store) -> None:
    ran(store, *[0.5] * 20, version="152.7")
    ran(store, 0.010, version="153.0")
    ran(store, 0.010, version="153.1")
    known = StoreHistory(store, 1, None).read(SHA)[WASM]
    assert (known.runs, known.version) == (2, "153.1")
    assert known.seconds == pytest.approx(0.010)


def test_newest_runs_of_each_arm_are_read_and_older_ones_fade(store: Store) -> None:
    ran(store, *[0.5] * 3 * WINDOW)
    ran(store, *[0.010] * WINDOW)
    known = StoreHistory(store, 1, None).read(SHA)[WASM]
    assert known.runs == WINDOW
    assert known.seconds == pytest.approx(0.010)


def test_benchmark_is_known_where_its_concurrency_is_the_number_of_lanes(store: Store) -> None:
    benchmark = store.add("benchmarks", machine=machine()["id"], started=next(MOMENTS), name="b1")
    about = {"browser_name": "firefox", "backend": "wasm", "precision": "fp32", "engine_version": "153.0", "model": SHA}
    for concurrency, seconds in ((1, 0.020), (2, 0.030)):
        figures = {"metric": "latency", "unit": "s", "value": seconds, "raw": [seconds] * 8, "count": 8}
        store.add("measurements", benchmark=benchmark, **about, concurrency=concurrency, batch=1, **figures)
    known = StoreHistory(store, 2, None).read(SHA)
    assert known.keys() == {Arm("firefox", "wasm")}
    assert known[Arm("firefox", "wasm")].runs == 8
    assert known[Arm("firefox", "wasm")].seconds == pytest.approx(0.030)


def test_benchmark_tells_what_an_item_takes_with_so_many_lanes(store: Store) -> None:
    benchmark = store.add("benchmarks", machine=machine()["id"], started=next(MOMENTS), name="b1")
    elsewhere = store.add("benchmarks", machine="another", started=next(MOMENTS), name="b2")
    about = {"browser_name": "embedded", "backend": "webnn", "precision": "fp32", "model": SHA}
    for made, lanes, seconds in ((benchmark, 1, 0.020), (benchmark, 2, 0.010), (elsewhere, 3, 0.001)):
        figures = {"metric": "time_per_item", "unit": "s", "value": seconds, "raw": [seconds] * 6, "count": 6}
        store.add("measurements", benchmark=made, **about, concurrency=lanes, batch=1, **figures)
    history = StoreHistory(store, 1, None)
    measured = history.scaling(SHA, WEBNN)
    assert measured.keys() == {None}
    assert {lanes: round(each.seconds, 6) for lanes, each in measured[None].records.items()} == {1: 0.02, 2: 0.01}
    assert history.scaling(QUANTIZED, WEBNN) == {}
    assert history.scaling(SHA, WASM) == {}


def stretched(
    store: Store, lanes: int, *seconds: float, size: int = 3, most: int = 4, where: str = machine()["id"], **more: Any
) -> None:
    run = store.add("runs", machine=where, started=next(MOMENTS), options={"lanes": most, "threads": None})
    row = {"browser_name": "embedded", "backend": "wasm", "precision": "fp32", "engine_version": "153.0", "model": SHA}
    for each in seconds:
        timed = {"lanes": lanes, "size": size, "items": 10, "seconds": 10 * each, "timestamp": next(MOMENTS)}
        store.add("stretches", run=run, **row | timed | more)


def test_stretches_tell_what_an_item_takes_with_so_many_lanes_by_the_size_of_requests(store: Store) -> None:
    stretched(store, 1, 0.020, 0.020)
    stretched(store, 2, 0.010, 0.010, 0.010)
    stretched(store, 1, 0.500, size=9)
    for other in ({"most": 2}, {"where": "another"}, {"model": QUANTIZED}, {"backend": "webnn"}, {"precision": "q8"}):
        stretched(store, 3, 0.001, **other)
    measured = StoreHistory(store, 4, None).scaling(SHA, WASM)
    assert measured.keys() == {3, 9}
    assert {lanes: (each.record.runs, each.at) for lanes, each in measured[3].timed.items()} == {1: (2, 2), 2: (3, 5)}
    assert {lanes: round(each.seconds, 6) for lanes, each in measured[3].records.items()} == {1: 0.020, 2: 0.010}
    assert measured[9].records[1].seconds == pytest.approx(0.5)


def test_stretches_of_an_earlier_version_of_the_browser_are_forgotten(store: Store) -> None:
    stretched(store, 1, *[0.020] * 5, engine_version="152.9")
    stretched(store, 2, 0.010, engine_version="153.1")
    measured = StoreHistory(store, 4, None).scaling(SHA, WASM)
    assert {lanes: each.runs for lanes, each in measured[3].records.items()} == {2: 1}


def test_other_precisions_of_a_model_are_known_with_it(store: Store) -> None:
    store.add("models", sha256=QUANTIZED, name="m", variant_of=SHA)
    ran(store, 0.002, arm=WASM._replace(precision="q8"), model=QUANTIZED)
    ran(store, 0.010)
    assert {arm.precision for arm in StoreHistory(store, 1, None).read(SHA)} == {"fp32", "q8"}


def test_database_that_cannot_be_read_costs_only_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    store = Store(":memory:")
    store.close()
    assert StoreHistory(store, 1, None).read(SHA) == {}
    assert "cannot be read" in caplog.text
