"""Whether two sets of times differ, on noise as machines make it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from webinfer.core.statistics import Comparison, between, paired, severity, unpaired
from webinfer.core.statistics.comparison import adjusted

Times = NDArray[np.float64]
Compare = Callable[[Times, Times], Comparison]
TRIALS, ROUNDS = 20, 20


def rounds(chance: np.random.Generator, slowdown: float) -> tuple[Times, Times]:
    """Return times of A and B by round: a drift that both share, noise of their own, and now and then a hiccup."""
    steps = chance.normal(0, 0.03, ROUNDS)
    drift = np.cumsum(steps) - np.cumsum(steps).mean()  # a random walk: the machine's speed wanders by some 10 %

    def side(factor: float) -> Times:
        noise = chance.normal(0, 0.04, ROUNDS)
        hiccup = np.where(chance.random(ROUNDS) < 0.05, chance.uniform(1.3, 3, ROUNDS), 1.0)
        times: Times = 0.05 * factor * np.exp(drift + noise) * hiccup
        return times

    return side(1.0), side(1 + slowdown)


def launches(chance: np.random.Generator, slowdown: float, count: int = 3) -> list[list[float]]:
    """Return times by launch, each launch of which is some percent off as a whole."""
    return [
        list(0.05 * (1 + slowdown) * np.exp(chance.normal(0, 0.02) + chance.normal(0, 0.04, 12))) for _ in range(count)
    ]


def test_a_slowdown_of_15_percent_is_detected_in_19_of_20_trials() -> None:
    chance = np.random.default_rng(6)
    assert sum(paired(*rounds(chance, 0.15)).is_slower() for _ in range(TRIALS)) >= 19


def test_20_trials_of_the_same_raise_at_most_one_false_alarm() -> None:
    chance = np.random.default_rng(7)
    assert sum(paired(*rounds(chance, 0.0)).is_slower() for _ in range(TRIALS)) <= 1


def test_runs_of_several_launches_are_told_apart_and_equal_ones_are_not() -> None:
    chance = np.random.default_rng(8)
    slower = [between(launches(chance, 0), launches(chance, 0.15)) for _ in range(TRIALS)]
    same = [between(launches(chance, 0), launches(chance, 0)) for _ in range(TRIALS)]
    assert sum(each.is_slower() for each in slower) >= 19
    assert sum(each.is_slower() for each in same) <= 1
    assert {each.unit for each in slower} == {"launch"}


def test_what_is_slower_by_the_limit_seldom_looks_slower_by_more() -> None:
    chance, trials = np.random.default_rng(12), 300
    found = [between(launches(chance, 0), launches(chance, 0.10)) for _ in range(trials)]
    beyond = np.array([each.p_beyond(0.10) for each in found])
    assert 0.02 <= np.mean(beyond < 0.05) <= 0.075
    assert sum(each.is_slower(0.10) for each in found) > 120  # what is seen is above the limit in one of two
    assert all(each.p_beyond(0.30) > each.p_beyond(0.10) > each.p_beyond(0.0) for each in found)


def test_what_is_slower_by_much_more_than_the_limit_is_sure_to_be() -> None:
    chance = np.random.default_rng(13)
    found = [between(launches(chance, 0), launches(chance, 0.25)) for _ in range(TRIALS)]
    assert sum(each.p_beyond(0.10) < 0.05 for each in found) >= 19


def test_rounds_of_too_few_launches_are_compared_and_prove_nothing() -> None:
    chance = np.random.default_rng(9)
    compared = between(launches(chance, 0, 1), launches(chance, 0.3, 1))
    assert compared.unit == "round"
    assert compared.p_value < 0.01
    assert not compared.is_slower()
    assert compared.p_beyond(0.0) == 1


@pytest.mark.parametrize(("compare", "n"), [(paired, 7), (paired, 10), (unpaired, 6), (unpaired, 8)])
def test_an_interval_holds_the_true_change_as_often_as_it_says(compare: Compare, n: int) -> None:
    """Over 2,000 trials, whose seed is fixed; an interval one cut too narrow holds it less often than this."""
    chance, trials = np.random.default_rng(10), 2000
    sides = np.exp(chance.normal(0, 0.05, (2, trials, n)) + np.log([1, 1.1])[:, None, None])
    found = [compare(a, b) for a, b in zip(*sides, strict=True)]
    assert 0.943 <= sum(each.low <= 0.1 <= each.high for each in found) / trials <= 0.98


@pytest.mark.parametrize("coarse", [False, True], ids=["all different", "some equal"])
@pytest.mark.parametrize("compare", [paired, unpaired])
@pytest.mark.parametrize("n", [6, 9, 14])
def test_an_interval_holds_no_change_where_the_p_value_leaves_it_to_chance(
    compare: Compare, n: int, coarse: bool
) -> None:
    chance = np.random.default_rng(n)
    seen = set()
    for _ in range(200):
        sides = chance.normal(0, 0.05, (2, n)) + np.array([[0], [0.03]])
        found = compare(*np.exp(np.round(sides, 2) if coarse else sides))
        seen.add(found.p_value >= 0.05)
        assert (found.low <= 0 <= found.high) == (found.p_value >= 0.05)
    assert seen == {False, True}


@pytest.mark.parametrize("compare", [paired, unpaired])
def test_a_p_value_is_below_5_percent_in_5_percent_of_equal_pairs(compare: Compare) -> None:
    chance = np.random.default_rng(11)
    values = [compare(chance.lognormal(0, 0.1, 12), chance.lognormal(0, 0.1, 12)).p_value for _ in range(400)]
    assert 0.02 <= np.mean(np.array(values) < 0.05) <= 0.08


def test_one_wild_measurement_moves_a_change_little() -> None:
    a = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0, 1.0]
    assert abs(paired(a, [*a[:-1], 50.0]).change) < 0.02


def test_fewer_than_six_rounds_prove_nothing() -> None:
    compared = paired([1.0, 1.1, 0.9, 1.0, 1.05], [2.0, 2.1, 2.2, 1.9, 2.0])
    assert not compared.is_significant
    assert compared.severity() == "unclear"
    assert compared.confidence == 1 - 2 / 2**5  # and that is all that five rounds give
    assert (compared.low, compared.high) == pytest.approx((0.9, 2.2 / 0.9 - 1))


def test_identical_times_are_no_change() -> None:
    for compared in (paired([1.0] * 8, [1.0] * 8), unpaired([1.0] * 8, [1.0] * 8), between([[1.0]] * 3, [[1.0]] * 3)):
        assert compared.change == 0
        assert compared.p_value == 1
        assert compared.effect == 0


def test_many_p_values_are_corrected_for_their_number() -> None:
    assert adjusted([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5])
    assert adjusted([]) == []


@pytest.mark.parametrize(
    ("change", "p_value", "said"),
    [
        (0.04, 0.001, "none"),
        (0.08, 0.001, "minor"),
        (0.15, 0.001, "moderate"),
        (0.40, 0.001, "severe"),
        (0.40, 0.2, "unclear"),
        (-0.20, 0.001, "improvement"),
    ],
)
def test_severity_follows_from_the_change_and_how_sure_it_is(change: float, p_value: float, said: str) -> None:
    compared = Comparison(change, change - 0.01, change + 0.01, p_value, 0.9, 20, "pair")
    assert severity(compared) == said
