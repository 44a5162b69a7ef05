"""The soak benchmark: its line through a series, and a short run of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.trend import t_quantile, trend

ROOT = Path(__file__).parent.parent
MINUTES = np.arange(300) / 30


@pytest.mark.parametrize(("freedom", "exact"), [(1, 12.706), (4, 2.776), (10, 2.228), (30, 2.042), (1e6, 1.960)])
def test_quantiles_are_students(freedom: float, exact: float) -> None:
    assert t_quantile(freedom) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize(("slope", "kind"), [(0.0, "flat"), (0.5, "flat"), (5.0, "grows"), (-5.0, "shrinks")])
def test_growth_is_told_from_noise(slope: float, kind: str) -> None:
    noise = np.random.default_rng(1).normal(0, 3, 300)
    fitted = trend(MINUTES.tolist(), (700 + slope * MINUTES + noise).tolist())
    assert fitted.kind == kind
    assert fitted.slope == pytest.approx(slope, abs=fitted.margin * 1.5)


def test_interval_holds_the_true_slope_as_often_as_it_says_even_where_neighbours_are_alike() -> None:
    random, held = np.random.default_rng(2), 0
    for _ in range(400):
        noise = np.zeros(300)
        for at, step in enumerate(random.normal(0, 1, 299)):
            noise[at + 1] = 0.7 * noise[at] + step
        fitted = trend(MINUTES.tolist(), (100 + 2 * MINUTES + noise).tolist())
        held += abs(fitted.slope - 2) <= fitted.margin
    assert 0.90 < held / 400 <= 0.98


def test_series_that_does_not_move_is_flat() -> None:
    assert trend([0, 1, 2, 3], [5.0] * 4).kind == "flat"


@pytest.mark.browser
@pytest.mark.slow
def test_short_soak_answers_right_and_draws_its_plot(tmp_path: Path) -> None:
    plot = tmp_path / "soak.svg"
    arguments = ("--minutes", "0.1", "--rate", "4", "--browser", "embedded", "--plot", str(plot))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert " 0 wrong" in done.stdout, done.stderr
    assert "| browsers PSS |" in done.stdout
    assert "<svg" in plot.read_text()
