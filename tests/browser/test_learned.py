"""A model finds out where it runs best: callers get right answers meanwhile, and few of them from elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.arms import always_promising
from webinfer import AsyncAccelerator, AsyncModel, Result
from webinfer.accuracy.native import NativeSession
from webinfer.api.adaptive_model import LearnedModel, disagreement
from webinfer.browsers.discovery.find import find
from webinfer.core.cache import cache_dir
from webinfer.core.errors import BrowserNotFound, OptionError, RunFailed
from webinfer.models.sources.resolve import resolve
from webinfer.pool.learning.bandit import ENOUGH, SHARE, Arm, Record

pytestmark = [pytest.mark.browser("embedded"), pytest.mark.timeout(300)]

X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)
PATIENCE = 150.0  # seconds; a busy machine takes its time to start a browser, and longer than a trial may take
WASM, WEBNN = Arm("embedded", "wasm"), Arm("embedded", "webnn")
LEARNED: dict[str, Any] = {"browser": "embedded", "routing": "learned"}


def known(milliseconds: float, version: str, runs: int = 50) -> Record:
    record = Record()
    for _ in range(runs):
        record = record.add(milliseconds / 1e3, version)
    return record


async def learned(accelerator: AsyncAccelerator, path: Path) -> LearnedModel:
    model = await accelerator.load(path)
    assert isinstance(model, LearnedModel)
    return model


async def run_until(model: AsyncModel, done: Callable[[], bool]) -> list[Result]:
    results: list[Result] = []
    end = time.monotonic() + PATIENCE
    while not done() and time.monotonic() < end:
        results.append(await model.run({"x": X}))
    assert done(), f"not so after {len(results)} requests"
    return results


async def test_trials_are_few_and_every_answer_is_right(perceptron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webinfer.api.adaptive_model._TRIAL", (PATIENCE, 20.0))
    expected = NativeSession(resolve(perceptron)).run({"x": X})["y"]
    async with AsyncAccelerator(**LEARNED) as accelerator:
        model = await learned(accelerator, perceptron)
        tried = {WASM, WEBNN} - {model.learning.serving}
        learning = model.learning
        results = await run_until(model, lambda: tried <= learning.records.keys() and not learning.promising())
        results.append(await model.run({"x": X}))
        lanes = [lane for browser in (await accelerator.snapshot()).browsers for lane in browser.lanes]
    counts = Counter(result.chosen_by for result in results)
    assert counts["trial"] == learning.trials <= SHARE * len(results)
    for result in results:
        np.testing.assert_allclose(result["y"], expected, rtol=1e-3, atol=1e-4)
        if result.chosen_by == "trial":
            assert str(result.routing).startswith(f"a trial of embedded {result.backend}, beside embedded ")
            assert Arm(result.browser, result.backend) in tried | {WASM, WEBNN}
            assert result.decision is not None
            assert result.decision.source == "explored"
            assert {each.arm for each in result.decision.candidates} == {WASM, WEBNN}
    assert (results[-1].backend, model.backend) == (learning.serving.backend,) * 2
    assert len(lanes) <= 2  # the one that was lent is given back, or about to be


async def test_place_that_answers_something_else_is_left(perceptron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webinfer.api.adaptive_model.disagreement", lambda *_: "output 'y' is another")
    async with AsyncAccelerator(**LEARNED) as accelerator:
        model = await learned(accelerator, perceptron)
        first = model.learning.serving
        results = await run_until(model, lambda: bool(model.learning.barred))
        results += [await model.run({"x": X}) for _ in range(50)]
    assert {(result.backend, result.chosen_by) for result in results} == {(first.backend, "table")}
    assert "output 'y' is another" in model.learning.explain(first)


async def test_trial_that_fails_is_answered_where_the_model_is_served(
    perceptron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> Result:
        raise RunFailed("this backend cannot")

    async with AsyncAccelerator(**LEARNED) as accelerator:
        model = await learned(accelerator, perceptron)
        first = model.learning.serving
        (other,) = {WASM, WEBNN} - {first}
        always_promising(model, monkeypatch)
        await run_until(model, lambda: len(model.learning.ready) == 2)
        monkeypatch.setattr(model._models[other], "_complete", fail)
        results = await run_until(model, lambda: bool(model.learning.barred))
    assert model.learning.barred == {other: "this backend cannot"}
    assert {result.backend for result in results} == {first.backend}


async def test_next_process_begins_where_this_one_ended(perceptron: Path) -> None:
    async with AsyncAccelerator(**LEARNED) as accelerator:
        model = await learned(accelerator, perceptron)
        first = model.learning.serving
        (other,) = {WASM, WEBNN} - {first}
        version = (await model.run({"x": X})).engine_version
        history, sha = accelerator._chooser.history, model.package.sha256
        await model.close()
        history.note(sha, first, known(20, version))
        history.note(sha, other, known(2, version))
    async with AsyncAccelerator(**LEARNED) as accelerator:
        result = await (await accelerator.load(perceptron)).run({"x": X})
        assert (result.backend, result.chosen_by) == (other.backend, "learned")
        assert str(result.routing).startswith(f"measured: {other} 2 ms in 50 runs, {first} 20 ms in")
        told = result.observed()["decision"]
        assert (told["source"], told["taken"]["backend"]) == ("learned", other.backend)
        assert told["candidates"][1]["why_not"] == "10.00 times as slow"
        history.note(sha, other, known(2, "1.0"))  # as if measured in a browser long gone
    history.flush()
    async with AsyncAccelerator(**LEARNED) as accelerator:
        result = await (await accelerator.load(perceptron)).run({"x": X})
    assert (result.backend, result.chosen_by) == (first.backend, "learned")


async def test_browser_that_was_started_for_a_trial_ends_after_it(
    perceptron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        find("firefox")
    except BrowserNotFound as error:
        pytest.skip(str(error))
    monkeypatch.setattr("webinfer.pool.learning.bandit.better", lambda *_: None)
    async with AsyncAccelerator(browsers=("embedded", "firefox"), launch_timeout=PATIENCE) as accelerator:
        model = await learned(accelerator, perceptron)
        always_promising(model, monkeypatch)
        pool, trial = model._pool, Arm("firefox", "wasm")
        model.learning.bar(({WASM, WEBNN} - {model.learning.serving}).pop(), "of no interest here")
        await run_until(model, lambda: trial in model.learning.ready)
        assert len(pool.browsers) == 2
        model.learning.bar(trial, "seen enough")
        results = await run_until(model, lambda: len(pool.browsers) == 1)
    assert trial not in model._models
    assert {(result.browser, result.chosen_by) for result in results} == {("embedded", "table")}


@pytest.mark.parametrize(
    ("options", "platform", "by"),
    [({"routing": "learned"}, "wasm", "caller"), ({"routing": "table"}, None, "table"), ({}, None, "table")],
)
async def test_nothing_is_tried_where_the_caller_says_or_learning_is_off(
    perceptron: Path, options: dict[str, Any], platform: Any, by: str
) -> None:
    async with AsyncAccelerator(browser="embedded", **options) as accelerator:
        model = await accelerator.load(perceptron, platform=platform)
        assert type(model) is AsyncModel
        result = await model.run({"x": X})
    assert result.chosen_by == by
    assert result.decision is not None
    assert result.decision.source == {"caller": "override", "table": "table"}[by]
    assert {each.arm: each.why_not for each in result.decision.candidates}[result.decision.taken] is None
    assert len(result.decision.candidates) > 1
    assert result.decision.reason


def test_unknown_routing_is_refused() -> None:
    with pytest.raises(OptionError, match="routing"):
        AsyncAccelerator(routing="guess")


@pytest.mark.parametrize(
    ("other", "precision", "why"),
    [
        ([1.0, 2.0], "fp32", None),
        ([1.0, 2.0 + 1e-3], "fp32", None),
        ([1.0, 2.0 + 5e-3], "fp32", "differs by 0.005"),
        ([1.0, 2.0 + 5e-3], "fp16", None),
        ([1.0, 2.05], "q8", None),
        ([1.0, np.nan], "q8", "differs by nan"),
        ([1.0], "fp32", "another shape"),
    ],
)
def test_answers_differ_by_more_than_rounding(other: list[float], precision: str, why: str | None) -> None:
    told = disagreement({"y": np.array([1.0, 2.0])}, {"y": np.array(other)}, precision)
    assert (told is None) == (why is None)
    assert why is None or why in str(told)


async def test_what_a_database_holds_is_known_at_the_first_request(perceptron: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    async with AsyncAccelerator(browser="embedded", db_path=path) as accelerator:
        for backend in ("wasm", "webnn"):
            model = await accelerator.load(perceptron, platform=backend)
            for _ in range(ENOUGH + 1):
                await model.run({"x": X})
            assert not list((cache_dir() / "learned").glob(f"{model.package.sha256}.json"))
    async with AsyncAccelerator(**LEARNED, db_path=path) as accelerator:
        result = await (await accelerator.load(perceptron)).run({"x": X})
    assert result.chosen_by == "learned"
    assert result.decision is not None
    assert {each.arm: (each.runs, each.source) for each in result.decision.candidates} == {
        WASM: (ENOUGH + 1, "learned"),
        WEBNN: (ENOUGH + 1, "learned"),
    }
