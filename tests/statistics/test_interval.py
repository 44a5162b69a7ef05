"""How well one figure is known."""

from __future__ import annotations

import numpy as np
import pytest

from webinfer.statistics import bootstrap, outliers
from webinfer.statistics.interval import bootstrap_launches


def test_an_interval_holds_the_true_median_as_often_as_it_says() -> None:
    chance = np.random.default_rng(1)
    intervals = [bootstrap(chance.lognormal(0, 0.2, 30), resamples=400, seed=trial) for trial in range(300)]
    held = sum(interval.low <= 1 <= interval.high for interval in intervals)
    assert 0.90 <= held / 300 <= 0.985


def test_more_measurements_narrow_an_interval() -> None:
    chance = np.random.default_rng(2)
    few, many = (bootstrap(chance.lognormal(0, 0.2, size)).margin for size in (20, 500))
    assert many < few / 3


def test_the_same_measurements_give_the_same_interval() -> None:
    values = np.random.default_rng(3).random(20) + 1
    assert bootstrap(values) == bootstrap(values)


def test_any_statistic_can_be_bounded() -> None:
    interval = bootstrap(np.arange(1.0, 101), np.mean)
    assert interval.estimate == pytest.approx(50.5)
    assert interval.low < 50.5 < interval.high


def test_outliers_are_marked_and_ordinary_scatter_is_not() -> None:
    values = [10.0, 10.1, 9.9, 10.2, 9.8, 10.0, 25.0]
    assert outliers(values).tolist() == [False] * 6 + [True]
    assert outliers([1.0, 1.0, 1.0, 1.0, 2.0]).tolist() == [False] * 4 + [True]


def test_launches_that_differ_as_wholes_widen_an_interval() -> None:
    chance = np.random.default_rng(4)
    alike = [chance.normal(1, 0.02, 20) for _ in range(4)]
    apart = [chance.normal(level, 0.02, 20) for level in (0.9, 1.1, 0.95, 1.05)]
    assert bootstrap_launches(apart).margin > 3 * bootstrap_launches(alike).margin
    assert bootstrap_launches(apart).estimate == pytest.approx(1, abs=0.01)
