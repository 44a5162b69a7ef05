"""Of several precisions that the caller allows, one is found that is fast and right; no other one is ever taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.arms import always_promising
from webinfer import AsyncAccelerator, AsyncModel, Result
from webinfer.accuracy.native import run_native
from webinfer.api.adaptive_model import LearnedModel
from webinfer.core.errors import OptionError
from webinfer.pool.learning.bandit import ENOUGH, SHARE, Arm, Record
from webinfer.quantization import obtain

pytestmark = [pytest.mark.browser("embedded"), pytest.mark.timeout(300)]

IDS = {"ids": np.array([[0, 199, 7, 64, 3, 5]], np.int64)}
PATIENCE = 150.0  # seconds, in place of those that a trial may take: a busy machine is no place that hangs
FULL, LESS = Arm("embedded", "wasm"), Arm("embedded", "wasm", "q8")


async def learned(accelerator: AsyncAccelerator, path: Path, **how: Any) -> LearnedModel:
    model = await accelerator.load(path, platform="wasm", **how)
    assert isinstance(model, LearnedModel)
    return model


async def run_until(model: AsyncModel, done: Callable[[], bool]) -> list[Result]:
    results: list[Result] = []
    end = time.monotonic() + PATIENCE
    while not done() and time.monotonic() < end:
        results.append(await model.run(IDS))
    assert done(), f"not so after {len(results)} requests"
    return results


async def test_allowed_precision_is_tried_and_each_answer_is_that_of_its_precision(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webinfer.api.adaptive_model._TRIAL", (PATIENCE, 20.0))
    right = {name: run_native(obtain(network, precision=name), IDS)["y"] for name in ("fp32", "q8")}
    path = tmp_path / "results.duckdb"
    async with AsyncAccelerator(browser="embedded", db_path=path) as accelerator:
        model = await learned(accelerator, network, precision=["fp32", "q8"])
        learning = model.learning
        always_promising(model, monkeypatch)
        results = await run_until(model, lambda: learning.trials > 0)
        await model.close()
        less = await accelerator.load(network, platform="wasm", precision="q8")
        for _ in range(ENOUGH):
            await less.run(IDS)
    trials = [result for result in results if result.chosen_by == "trial"]
    assert "q8" in {result.precision for result in trials}
    assert learning.trials == len(trials) <= SHARE * len(results)
    for result in results:
        np.testing.assert_allclose(result["y"], right[result.precision], atol=1e-4)
        assert result.backend == "wasm"
        assert result.decision is not None
        assert result.decision.taken == (LESS if result.precision == "q8" else FULL)

    async with AsyncAccelerator(browser="embedded", db_path=path) as accelerator:  # which knows both from the first on
        result = await (await accelerator.load(network, platform="wasm", precision=["fp32", "q8"])).run(IDS)
        only = await (await accelerator.load(network, platform="wasm", precision="fp32")).run(IDS)
    assert (result.chosen_by, only.chosen_by, only.precision) == ("learned", "caller", "fp32")
    assert result.decision is not None
    assert {each.arm for each in result.decision.candidates} == {FULL, LESS}
    assert min(each.runs for each in result.decision.candidates) >= ENOUGH


async def test_arm_that_is_given_back_gets_no_request(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await learned(accelerator, network, precision=["fp32", "q8"])
        learning = model.learning
        always_promising(model, monkeypatch)
        monkeypatch.setattr("webinfer.api.adaptive_model.random.random", lambda: 1.0)  # no trial
        await run_until(model, lambda: LESS in learning.ready)
        learning.records[LESS] = Record(runs=100, mean=5.0)  # e^5 seconds, which promises nothing
        await model.run(IDS)
        learning.records.pop(LESS)  # promises everything again, before it is closed
        monkeypatch.setattr("webinfer.api.adaptive_model.random.random", lambda: 0.0)
        assert (await model.run(IDS)).precision == "fp32"


async def test_precision_that_fails_the_gate_is_out(network: Path) -> None:
    never = {"q8": {"cosine": 1.5}}
    async with AsyncAccelerator(browser="embedded", accuracy_limits=never) as accelerator:
        model = await learned(accelerator, network, precision=["fp32", "q8"])
        results = await run_until(model, lambda: bool(model.learning.barred))
        results += [await model.run(IDS) for _ in range(30)]
    assert {result.precision for result in results} == {"fp32"}
    assert results[-1].decision is not None
    (other,) = results[-1].decision.candidates[1:]
    assert (other.arm, other.seconds) == (LESS, None)
    assert "cosine" in str(other.why_not)


async def test_next_precision_is_taken_where_the_first_cannot_be_run(network: Path) -> None:
    async with AsyncAccelerator(browser="embedded", routing="table") as accelerator:
        model = await accelerator.load(network, platform="webnn", precision=["int8", "q8"])
        result = await model.run(IDS)
    assert type(model) is AsyncModel
    assert result.precision == "q8"
    assert "answers wrongly" in str(result.reason)


@pytest.mark.parametrize("wrong", [[], ["q8", "q8"]], ids=["none", "twice"])
async def test_precisions_must_be_different_ones(network: Path, wrong: list[str]) -> None:
    accelerator = AsyncAccelerator(browser="embedded")
    with pytest.raises(OptionError, match="precision must name"):
        await accelerator.load(network, precision=wrong)
    with pytest.raises(OptionError, match="precision must name"):
        await accelerator.pipeline("fill-mask", network, precision=wrong)
    assert not (await accelerator.snapshot()).browsers
    await accelerator.close()
