"""A result of tuning decides where ``auto`` loads a model, and results say so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webinfer import AsyncAccelerator, Result
from webinfer.core.options import Backend
from webinfer.core.statistics import Interval
from webinfer.models.sources.resolve import resolve
from webinfer.telemetry.database.machine import machine
from webinfer.tuning.candidate import Candidate
from webinfer.tuning.results import TuningResults
from webinfer.tuning.tuning import Standing, Tuning

pytestmark = [pytest.mark.browser("embedded"), pytest.mark.timeout(300)]

X = {"x": np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)}
IDS = {"ids": np.array([[0, 199, 7, 64, 3, 5]], np.int64)}
WHY = "tuned on 2026-11-30: 1.8 (1.7\N{EN DASH}1.9) times the next"


@pytest.fixture
async def table(perceptron: Path) -> Result:
    """What the table chooses in a browser that nothing is known of."""
    async with AsyncAccelerator(browser="embedded") as accelerator:
        result = await (await accelerator.load(perceptron)).run(X)
    assert result.chosen_by == "table"
    return result


@pytest.fixture
def other(table: Result) -> Backend:
    """The backend that the table does not choose."""
    return "webnn" if table.backend == "wasm" else "wasm"


def place(backend: Backend, precision: str = "fp32", **size: Any) -> Candidate:
    return Candidate(browser="embedded", backend=backend, precision=precision, **size)


def keep(model: Path, version: str, winner: Candidate, *others: Candidate) -> None:
    """Keep that a place won a contest, as if one had been run."""
    tuning = Tuning(
        model=resolve(model).sha256,
        name="m",
        machine=machine()["id"],
        version=version,
        winner=winner,
        runner_up=others[0] if others else None,
        gain=Interval(1.81, 1.72, 1.93),
        seconds=0.010,
        at="2026-11-30T12:00:00+00:00",
        cost=42.0,
        standings=tuple(
            Standing(candidate=one, seconds=0.01 * at, rounds=9) for at, one in enumerate((winner, *others), 1)
        ),
        versions={"embedded": version},
    )
    TuningResults().keep(tuning)


async def run(path: Path, inputs: Any = X, platform: Any = None, precision: Any = None, **options: Any) -> Result:
    async with AsyncAccelerator(browser="embedded", **options) as accelerator:
        return await (await accelerator.load(path, platform=platform, precision=precision)).run(inputs)


async def test_winner_is_taken_and_named_with_its_lead(perceptron: Path, table: Result, other: Backend) -> None:
    keep(perceptron, table.engine_version, place(other), place(table.backend))
    result = await run(perceptron)
    assert (result.backend, result.chosen_by, result.routing) == (other, "tuned", WHY)
    np.testing.assert_allclose(result["y"], table["y"], rtol=1e-3, atol=1e-4)
    told = result.observed()["decision"]
    assert (told["source"], told["reason"], told["taken"]["backend"]) == ("tuned", WHY, other)
    first, second = told["candidates"]
    assert (first["seconds"], first["runs"], first["why_not"]) == (0.01, 9, None)
    assert (second["backend"], second["why_not"]) == (table.backend, "2.00 times as slow")


async def test_what_the_caller_says_goes_before_the_winner(perceptron: Path, table: Result, other: Backend) -> None:
    keep(perceptron, table.engine_version, place(other), place(table.backend))
    asked = await run(perceptron, platform=table.backend)
    assert (asked.backend, asked.chosen_by) == (table.backend, "caller")
    by_table = await run(perceptron, routing="table")
    assert (by_table.backend, by_table.chosen_by, by_table.routing) == (table.backend, "table", None)


async def test_table_decides_once_the_browser_is_another_major_version(
    perceptron: Path, table: Result, other: Backend
) -> None:
    keep(perceptron, "1.0", place(other), place(table.backend))
    result = await run(perceptron)
    assert (result.backend, result.chosen_by) == (table.backend, "table")
    assert not TuningResults().find(resolve(perceptron).sha256, machine()["id"]), "it is dropped"


async def test_winner_of_another_browser_or_machine_is_no_reason(
    perceptron: Path, table: Result, other: Backend
) -> None:
    keep(perceptron, table.engine_version, Candidate(browser="firefox", backend=other, precision="fp32"))
    assert (await run(perceptron)).chosen_by == "table"


async def test_winning_precision_is_taken_where_the_caller_allows_it(network: Path, table: Result) -> None:
    keep(network, table.engine_version, place("wasm", "q8"), place("webnn"))
    allowed = await run(network, IDS, precision=["fp32", "q8"])
    assert (allowed.backend, allowed.precision, allowed.chosen_by, allowed.routing) == ("wasm", "q8", "tuned", WHY)
    fixed = await run(network, IDS, platform="webnn", precision=["fp32", "q8"])
    assert (fixed.backend, fixed.precision, fixed.chosen_by) == ("webnn", "fp32", "tuned")
    only = await run(network, IDS)
    assert (only.backend, only.precision, only.chosen_by) == ("webnn", "fp32", "tuned")
    assert only.routing == "tuned on 2026-11-30: webnn in embedded, fp32 is the fastest that is allowed here"


@pytest.mark.parametrize(
    ("options", "lanes"), [({}, 2), ({"lanes": 3}, 3), ({"min_lanes": 1}, 1)], ids=["free", "given", "scaled"]
)
async def test_lanes_that_won_are_started_where_the_caller_left_their_number(
    perceptron: Path, table: Result, options: dict[str, Any], lanes: int
) -> None:
    keep(perceptron, table.engine_version, place("wasm", lanes=2, threads=1))
    async with AsyncAccelerator(browser="embedded", **options) as accelerator:
        model = await accelerator.load(perceptron)
        results = await asyncio.gather(*(model.run(X) for _ in range(50)))
        (browser,) = (await accelerator.snapshot()).browsers
        assert len(browser.lanes) == lanes
        again = await accelerator.load(perceptron)
        await again.run(X)
        (browser,) = (await accelerator.snapshot()).browsers
        assert len(browser.lanes) == lanes, "loading it again starts no more"
    assert {(result.chosen_by, result.attempts) for result in results} == {("tuned", 1)}
    assert results[0].decision is not None
    assert results[0].decision.lanes == 2


async def test_batches_that_won_are_made_where_the_caller_left_their_size(perceptron: Path, table: Result) -> None:
    keep(perceptron, table.engine_version, place("wasm", batch_size=4))
    for options, size in (({}, 4), ({"max_batch_size": 2}, 2)):
        async with AsyncAccelerator(browser="embedded", **options) as accelerator:  # type: ignore[arg-type]
            assert (await accelerator.load(perceptron)).max_batch_size == size


async def test_benchmark_with_a_clear_winner_decides_likewise(
    perceptron: Path, tmp_path: Path, table: Result, other: Backend
) -> None:
    path = tmp_path / "results.duckdb"
    async with AsyncAccelerator(browser="embedded", db_path=path) as accelerator:
        store = await accelerator._lifecycle.database()
        number = store.add("benchmarks", machine=machine()["id"], started=1.8e9, name="b")
        about: dict[str, Any] = {
            "model": resolve(perceptron).sha256,
            "model_name": "m",
            "browser_name": "embedded",
            "precision": "fp32",
        }
        about |= {"engine_version": table.engine_version, "metric": "time_per_item", "concurrency": 1}
        for backend, seconds in ((other, 0.01), (table.backend, 0.02)):
            figure = {"value": seconds, "low": seconds * 0.98, "high": seconds * 1.02, "count": 9}
            store.add("measurements", benchmark=number, backend=backend, **about, **figure)
    result = await run(perceptron, db_path=path)
    assert (result.backend, result.chosen_by) == (other, "tuned")
    assert str(result.routing).startswith("benchmarked on 2027-01-15: 2.0 (1.9\N{EN DASH}2.1) times the next")
    async with AsyncAccelerator(browser="embedded", db_path=path) as accelerator:
        rows = await accelerator.query("SELECT DISTINCT routing, decision ->> '$.source' AS source FROM sessions")
    assert [row["source"] for row in rows] == ["tuned"]


async def test_contest_is_what_auto_takes_from_then_on(perceptron: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    async with AsyncAccelerator(browser="embedded", db_path=path) as accelerator:
        tuning = await (await accelerator.load(perceptron)).tune(10, platforms=["webnn", "wasm"])
        result = await (await accelerator.load(perceptron)).run(X)
        (row,) = await accelerator.query("SELECT run IS NOT NULL AS own, backend, seconds FROM tunings")
    assert (result.backend, result.chosen_by) == (tuning.winner.backend, "tuned")
    assert result.routing == tuning.explain(tuning.winner)
    assert result.routing.startswith(f"tuned on {tuning.at[:10]}: ")
    assert row == {"own": True, "backend": tuning.winner.backend, "seconds": tuning.seconds}
    assert TuningResults().find(resolve(perceptron).sha256, machine()["id"]) == [tuning]
