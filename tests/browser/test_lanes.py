"""How many lanes a model can use is learned while it is served: what is recorded was so, and what follows is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webinfer import AsyncAccelerator, AsyncModel, Result
from webinfer.accuracy.native import NativeSession
from webinfer.browsers.discovery.find import find
from webinfer.browsers.discovery.versions import version
from webinfer.models.sources.resolve import resolve
from webinfer.pool.events import Event, LaneEnded, LaneStarted, StretchMeasured
from webinfer.pool.learning.bandit import MOST, Arm
from webinfer.pool.learning.lane_count import fold
from webinfer.pool.maintenance.throughput import Stretches
from webinfer.pool.pool import Pool
from webinfer.pool.requests.batch import Batch
from webinfer.telemetry.database.machine import machine
from webinfer.telemetry.database.store import Store

pytestmark = [pytest.mark.browser("embedded"), pytest.mark.timeout(300)]

X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)
SIZE = 3  # of X: two to the third
PATIENCE = 150.0  # seconds; a busy machine takes its time to start a browser
CALLERS = 16  # more than two lanes hold, so that some always wait
OPTIONS: dict[str, Any] = {"browser": "embedded", "platform": "wasm", "threads": 1, "min_lanes": 1}


def pool_of(accelerator: AsyncAccelerator) -> Pool:
    assert accelerator._pool is not None
    return accelerator._pool


async def press(model: AsyncModel, done: Callable[[], bool]) -> list[Result]:
    """Have callers ask, each again as soon as it is answered, until something is so."""
    results: list[Result] = []

    async def ask() -> None:
        while not done():
            results.append(await model.run({"x": X}))

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(ask() for _ in range(CALLERS)))
    return results


class Witness:
    """Sees each answer come, before and after the stretches do, and who was at work then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[tuple[float, float, int, list[int]]] = []
        self.stretches: list[tuple[int, StretchMeasured]] = []  # with the number of answers that had come
        self.events: list[Event] = []
        observe = Stretches.answered

        def answered(stretches: Stretches, batch: Batch, done: bool) -> None:
            others = [lane.running for lane in stretches._state.lanes.values() if lane.id != batch.lane.id]
            now = asyncio.get_running_loop().time
            before = now()
            self.answers.append((before, 0.0, len(batch), others))
            observe(stretches, batch, done)
            self.answers[-1] = (before, now(), len(batch), others)

        monkeypatch.setattr(Stretches, "answered", answered)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StretchMeasured):
            self.stretches.append((len(self.answers), event))

    def check(self) -> None:
        """Hold every stretch against the answers that it is of, the one before it included, at which it began."""
        for at, stretch in self.stretches:
            first, *rest = self.answers[at - stretch.items - 1 : at]
            assert sum(items for _, _, items, _ in rest) == stretch.items
            assert rest[-1][0] - first[1] <= stretch.seconds
            assert stretch.seconds <= (rest[-1][1] or rest[-1][0]) - first[0]
            for _, _, _, others in (first, *rest):
                assert len(others) == stretch.lanes - 1
                assert all(others), "a lane was idle"


async def test_lane_that_serving_shows_to_be_of_no_use_is_given_back_under_load(
    perceptron: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One lane is said to take a nanosecond for an item, so two cannot be found to be faster, whatever they take."""
    path, package = tmp_path / "results.duckdb", resolve(perceptron)
    expected = NativeSession(package).run({"x": X})["y"]
    witness, arm = Witness(monkeypatch), Arm("embedded", "wasm")
    async with AsyncAccelerator(**OPTIONS, lanes=2, db_path=path) as accelerator:
        pool = pool_of(accelerator)
        assert pool.lane_book is not None
        engine = next(iter(pool.browsers.values())).capabilities.engine_version
        known = fold([(lanes, engine, seconds) for lanes, seconds in ((1, 1e-9), (2, 1e-10)) for _ in range(MOST)])
        pool.lane_book.recall(package.sha256, arm, {SIZE: known}, engine)
        model = await accelerator.load(perceptron)
        pool.listen(witness)
        results = await press(model, lambda: any(isinstance(event, LaneEnded) for event in witness.events))
        rows = await accelerator.query("SELECT lanes, size, items, seconds, model FROM stretches ORDER BY id")
    for result in results:
        np.testing.assert_allclose(result["y"], expected, rtol=1e-4, atol=1e-5)
    assert {result.attempts for result in results} == {1}
    assert sum(isinstance(event, LaneStarted) for event in witness.events) >= 1
    (ended,) = [event for event in witness.events if isinstance(event, LaneEnded)]
    assert (ended.cause, ended.lost) == ("It is of no use: fewer lanes answer as much.", False)
    why = {result.decision.lanes.why for result in results if result.decision and result.decision.lanes}
    assert any(
        each.startswith("1 of 2 lanes are enough: ") and each.endswith(", measured while serving") for each in why
    )
    stretches = [stretch for _, stretch in witness.stretches]
    assert 2 in {stretch.lanes for stretch in stretches}
    assert {(stretch.size, stretch.model, stretch.engine_version) for stretch in stretches} == {
        (SIZE, package.sha256, engine)
    }
    witness.check()
    assert [tuple(row.values()) for row in rows] == [
        (stretch.lanes, SIZE, stretch.items, stretch.seconds, package.sha256) for stretch in stretches
    ]


@pytest.mark.parametrize("source", ["benchmarks", "stretches"])
async def test_no_lane_is_started_that_was_found_to_be_of_no_use(
    perceptron: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr("webinfer.pool.learning.throughput.HOLD", 0.0)  # a lane that is to come, comes soon
    path, sha, installation = tmp_path / "results.duckdb", resolve(perceptron).sha256, find("embedded")
    engine = version(installation.executable, installation.libraries)
    store = Store(path)
    run = store.add("runs", machine=machine()["id"], started=1.7e9, options={"lanes": 3, "threads": None})
    benchmark = store.add("benchmarks", machine=machine()["id"], started=1.7e9, name="b")
    about = {"browser_name": "embedded", "backend": "webnn", "precision": "fp32", "model": sha}
    for lanes, seconds in ((1, 10.0), (2, 9.9), (3, 12.0)):  # so slow that no machine makes one lane's figure worse
        if source == "benchmarks":
            figure = {"metric": "time_per_item", "concurrency": lanes, "raw": [seconds] * MOST}
            store.add("measurements", benchmark=benchmark, **about, **figure)
        for _ in range(MOST if source == "stretches" else 0):
            timed = {"lanes": lanes, "size": SIZE, "items": 1, "seconds": seconds, "engine_version": engine}
            store.add("stretches", run=run, **about, **timed)
    store.close()
    async with AsyncAccelerator(browser="embedded", min_lanes=1, lanes=3, db_path=path) as accelerator:
        model = await accelerator.load(perceptron, platform="webnn")
        results = await asyncio.gather(*(model.run({"x": X}) for _ in range(1500)))  # longer than patience lasts
        assert list(pool_of(accelerator).lanes) == ["b1.1"]
        told_of = {each.enough for each in (await accelerator.snapshot()).queue if each.lanes}
    decision = results[0].observed()["decision"]
    assert decision["lanes"]["enough"] == 1
    how = "by benchmarks" if source == "benchmarks" else "measured while serving"
    told = decision["lanes"]["why"]
    assert told.startswith("1 of 3 lanes are enough: 10,000 ms an item with 1, 9,900 ms an item with 2,")
    assert told.endswith(how)
    assert told_of
    assert all(str(each).startswith("1 of 3 lanes are enough: ") for each in told_of)


@pytest.mark.parametrize("options", [{"routing": "table"}, {"min_lanes": 2}, {"min_lanes": None}])
async def test_nothing_is_learned_where_the_caller_decides(options: dict[str, Any]) -> None:
    accelerator = AsyncAccelerator(**{**OPTIONS, "lanes": 2, **options})
    try:
        assert (await accelerator._open()).lane_book is None
    finally:
        await accelerator.close()
