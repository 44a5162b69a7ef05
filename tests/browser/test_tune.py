"""Tuning in real browsers: a winner within the budget, who is left out and why, and nothing left behind."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from webinfer import Accelerator, AsyncAccelerator, TuningProgress
from webinfer.core.errors import OptionError, ShapeMismatch, TuningFailed

BUDGET = 45.0  # a quiet machine needs half of it


def test_tuning_finds_a_winner_over_backends_and_lanes(perceptron: Path) -> None:
    steps: list[TuningProgress] = []
    with Accelerator(browser="embedded") as accelerator, accelerator.load(perceptron) as model:
        began = time.perf_counter()
        tuning = model.tune(BUDGET, platforms=["webnn", "wasm"], lanes=[1, 2], progress=steps.append)
        elapsed = time.perf_counter() - began
        assert model.run({"x": np.zeros((1, 8), np.float32)}).outputs["y"].shape == (1, 4)
    assert tuning.winner.backend in ("webnn", "wasm")
    assert len(tuning.standings) == 4
    assert {(each.candidate.backend, each.candidate.lanes) for each in tuning.standings} == {
        (backend, lanes) for backend in ("webnn", "wasm") for lanes in (1, 2)
    }
    winner = tuning.standings[0]
    assert winner.candidate == tuning.winner
    assert winner.interval is not None
    assert winner.interval.low <= tuning.seconds <= winner.interval.high
    assert winner.rounds >= 3
    assert tuning.gain is not None
    assert tuning.gain.low <= tuning.gain.estimate <= tuning.gain.high
    assert tuning.cost <= elapsed < 2 * BUDGET  # a machine that others use may take long to close four browsers
    assert tuning.version
    assert max(step.seconds for step in steps) <= 1.2 * BUDGET
    assert any(step.text.startswith("round") for step in steps)


def test_auto_takes_the_winner_from_then_on(perceptron: Path) -> None:
    inputs = {"x": np.zeros((1, 8), np.float32)}
    with Accelerator(browser="embedded") as accelerator, accelerator.load(perceptron) as model:
        assert model.run(inputs).chosen_by == "table"
        tuning = model.tune(BUDGET, platforms=["webnn", "wasm"])
        assert model.run(inputs).chosen_by == "table"
        with accelerator.load(perceptron) as again:
            result = again.run(inputs)
    with Accelerator(browser="embedded") as accelerator, accelerator.load(perceptron) as later:
        afterwards = later.run(inputs)
    for each in (result, afterwards):
        assert (each.chosen_by, each.backend) == ("tuned", tuning.winner.backend)
        assert each.routing == tuning.explain(tuning.winner)
    with Accelerator(browser="embedded", routing="table") as accelerator, accelerator.load(perceptron) as plain:
        assert plain.run(inputs).chosen_by == "table"


def test_what_cannot_run_is_left_out_with_its_reason(perceptron: Path) -> None:
    with Accelerator(browser="embedded") as accelerator, accelerator.load(perceptron) as model:
        tuning = model.tune(10, platforms=["wasm"], precisions=["fp32", "bnb4"], threads=[1, 512])
    reasons = {(each.candidate.precision, each.candidate.threads): each.reason for each in tuning.standings}
    assert (tuning.winner.precision, tuning.winner.threads) == ("fp32", 1)
    assert "512 threads are more than the machine's" in str(reasons["fp32", 512])
    assert "bnb4" in str(reasons["bnb4", 1])
    assert tuning.runner_up is None
    assert tuning.gain is None


def test_candidate_that_answers_wrongly_is_out(perceptron: Path) -> None:
    limits = {"fp32": {"error": -1.0}}  # which no answer is within
    with (
        Accelerator(browser="embedded", accuracy_limits=limits) as accelerator,
        accelerator.load(perceptron) as model,
        pytest.raises(TuningFailed, match=r"wasm in embedded, fp32: .*over -1"),
    ):
        model.tune(10, platforms=["wasm"])


def test_terms_that_cannot_be_are_refused(perceptron: Path) -> None:
    with Accelerator(browser="embedded") as accelerator, accelerator.load(perceptron) as model:
        with pytest.raises(OptionError, match="budget must be above 0"):
            model.tune(0)
        with pytest.raises(OptionError, match="browsers must be among the accelerator's, embedded, not 'firefox'"):
            model.tune(browsers=["firefox"])
        with pytest.raises(OptionError, match="lanes must be 1 or more"):
            model.tune(lanes=[0])
        with pytest.raises(ShapeMismatch):
            model.tune(inputs={"x": np.zeros((1, 9), np.float32)})


async def test_cancelled_tuning_leaves_no_browser_behind(perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator, await accelerator.load(perceptron) as model:
        before = _children()
        measuring = asyncio.Event()

        def tell(progress: TuningProgress) -> None:
            if progress.text.startswith("round"):
                measuring.set()

        running = asyncio.create_task(model.tune(300, platforms=["webnn", "wasm"], progress=tell))
        await asyncio.wait_for(measuring.wait(), 60)
        assert _children() - before  # some of those before may have ended
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert _children() <= before
        result = await model.run({"x": np.zeros((1, 8), np.float32)})
        assert result.outputs["y"].shape == (1, 4)


def _children() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}
