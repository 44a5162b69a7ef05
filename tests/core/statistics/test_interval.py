"""How well one figure is known."""

from __future__ import annotations

import numpy as np
import pytest

from webinfer.core.statistics import Interval, bootstrap, outliers, over_launches, quotient, within_launch


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


@pytest.mark.parametrize("count", [6, 7, 10, 20])
def test_an_interval_within_a_launch_holds_its_median_as_often_as_it_says(count: int) -> None:
    """Odd numbers too, for which the bootstrap's hold it in 88 % with seven."""
    chance = np.random.default_rng(count)
    found = [within_launch(times) for times in chance.lognormal(0, 0.04, (1000, count))]
    assert 0.93 <= sum(each.low <= 1 <= each.high for each in found) / 1000 <= 0.97
    assert {(each.confidence, each.scope) for each in found} == {(0.95, "within one launch")}


@pytest.mark.parametrize(("count", "confidence"), [(1, 0.0), (2, 0.5), (5, 0.9375)])
def test_an_interval_of_few_rounds_has_the_confidence_that_they_give(count: int, confidence: float) -> None:
    times = [1.0, 1.1, 1.2, 1.3, 1.4][:count]
    found = within_launch(times)
    assert (found.low, found.high, found.confidence) == (1.0, times[-1], confidence)
    assert not found.is_within(1.0)


@pytest.mark.parametrize("apart", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_an_interval_over_launches_holds_the_true_median_as_often_as_it_says(count: int, apart: float) -> None:
    chance, trials = np.random.default_rng(4), 1000
    levels = chance.normal(0, apart, (trials, count, 1))
    found = [over_launches(list(launches)) for launches in np.exp(levels + chance.normal(0, 0.02, (trials, count, 8)))]
    assert sum(each.low <= 1 <= each.high for each in found) / trials >= 0.935
    assert {each.scope for each in found} == {"over launches"}


def test_launches_that_differ_as_wholes_widen_an_interval() -> None:
    chance = np.random.default_rng(4)
    alike = [chance.normal(1, 0.02, 20) for _ in range(4)]
    apart = [chance.normal(level, 0.02, 20) for level in (0.9, 1.1, 0.95, 1.05)]
    assert over_launches(alike).margin < 0.025
    assert over_launches(apart).margin > 0.1
    assert over_launches(apart).estimate == pytest.approx(1, abs=0.01)


def test_launches_that_agree_by_chance_are_no_better_known_than_their_rounds() -> None:
    launch = np.linspace(0.9, 1.1, 9)
    inside = within_launch(launch)
    assert over_launches([launch, launch]).margin > inside.margin / 2


def test_interval_of_a_ratio_holds_the_true_one_as_often_as_both_of_its_parts() -> None:
    chance, held = np.random.default_rng(5), 0
    for _ in range(300):
        one, other = (within_launch(chance.lognormal(np.log(middle), 0.2, 25)) for middle in (2.0, 1.0))
        ratio = quotient(one, other)
        held += ratio.low <= 2 <= ratio.high
    assert 0.92 <= held / 300 <= 0.99


def test_ratio_is_less_well_known_than_either_part() -> None:
    one, other = Interval(2.0, 1.9, 2.1, 0.95, "over launches"), Interval(1.0, 0.9, 1.2, 0.9, "over launches")
    ratio = quotient(one, other)
    assert ratio.estimate == pytest.approx(2.0)
    assert (ratio.confidence, ratio.scope) == (0.9, "over launches")
    assert ratio.low < 2.0 / 1.2
    assert ratio.high > 2.0 / 0.9
    assert quotient(one, Interval(1.0, 1.0, 1.0)).scope == "within one launch"
