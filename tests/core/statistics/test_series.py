"""Warm-ups, histories and scaling."""

from __future__ import annotations

import math

import numpy as np
import pytest

from webinfer.core.statistics import Occupancy, changes, is_steady, limit, scaling, steady_from


def warming(cold: int, chance: np.random.Generator) -> list[float]:
    """Return times that fall from five times to their level within ``cold`` runs."""
    falling = 1 + 4 * np.exp(-np.arange(40) / (cold / 3))
    return list(0.01 * falling * np.exp(chance.normal(0, 0.03, 40)))


@pytest.mark.parametrize("cold", [3, 9, 15])
def test_a_warm_up_ends_after_the_slow_runs_and_not_before(cold: int) -> None:
    times = warming(cold, np.random.default_rng(cold))
    assert cold / 2 <= steady_from(times) <= 2 * cold
    until = next(count for count in range(1, 41) if is_steady(times[:count]))
    assert np.median(times[until - 5 : until]) < 0.01 * 1.15


def test_a_series_is_not_steady_while_it_falls_or_is_short() -> None:
    assert not is_steady([1.0] * 9)
    assert not is_steady([1.2**-at for at in range(20)])
    assert is_steady([1.0] * 10)


def test_times_that_scatter_widely_become_steady_all_the_same() -> None:
    chance = np.random.default_rng(4)
    assert sum(is_steady(list(chance.lognormal(0, 0.3, 10))) for _ in range(50)) > 25


def test_a_change_in_a_history_is_found_where_it_happened() -> None:
    chance = np.random.default_rng(5)
    history = np.concatenate([chance.normal(100, 3, 15), chance.normal(118, 3, 15)])
    history[7] = 300  # one bad day
    (found,) = changes(history)
    assert found.index in (14, 15, 16)
    assert found.change == pytest.approx(0.18, abs=0.03)
    assert found.p_value <= 0.01


@pytest.mark.parametrize(("factor", "said"), [(1.15, "moderate"), (1.4, "severe"), (0.8, "improvement")])
def test_three_measurements_after_five_tell_a_clear_step_and_how_bad_it_is(factor: float, said: str) -> None:
    """No order of eight is rare enough for ranks alone, which found none of these."""
    chance, trials = np.random.default_rng(9), 40
    steps = [np.append(chance.lognormal(0, 0.02, 5), factor * chance.lognormal(0, 0.02, 3)) for _ in range(trials)]
    found = [changes(history, seed=trial) for trial, history in enumerate(steps)]
    assert sum([change.index for change in each] == [5] for each in found) >= 36
    (first,) = found[0]
    assert first.severity == said
    assert first.compared.low < first.change < first.compared.high
    assert first.change == pytest.approx(factor - 1, abs=0.04)


def test_fewer_than_three_after_a_step_tell_none() -> None:
    chance = np.random.default_rng(10)
    assert changes(np.append(chance.lognormal(0, 0.02, 8), 1.5 * chance.lognormal(0, 0.02, 2))) == []


def test_several_changes_are_told_apart() -> None:
    chance = np.random.default_rng(6)
    history = np.concatenate([chance.normal(level, 2, 12) for level in (100, 130, 90)])
    assert [change.index for change in changes(history)] == [12, 24]


def test_histories_without_a_change_seldom_show_one() -> None:
    chance = np.random.default_rng(7)
    assert sum(bool(changes(chance.lognormal(0, 0.1, 30), seed=trial)) for trial in range(60)) <= 3
    assert sum(bool(changes(chance.lognormal(0, 0.1, 6), seed=trial)) for trial in range(200)) <= 6


def test_histories_with_now_and_then_a_bad_day_seldom_show_a_change() -> None:
    chance = np.random.default_rng(11)
    bad = np.where(chance.random((200, 9)) < 0.15, chance.uniform(1.2, 3, (200, 9)), 1.0)
    histories = chance.lognormal(0, 0.02, (200, 9)) * bad
    assert sum(bool(changes(each, seed=trial)) for trial, each in enumerate(histories)) <= 6


def test_a_sure_change_within_the_margin_is_left_out() -> None:
    chance = np.random.default_rng(8)
    assert changes(np.concatenate([chance.normal(100, 0.5, 15), chance.normal(103, 0.5, 15)])) == []


def test_a_short_history_shows_no_change() -> None:
    assert changes([1.0, 2.0, 3.0]) == []
    assert changes([]) == []


def test_the_scalability_law_is_found_again_in_its_own_curve() -> None:
    law = {n: 100 * n / (1 + 0.1 * (n - 1) + 0.01 * n * (n - 1)) for n in (1, 2, 4, 8, 16)}
    found = scaling(law)
    assert found is not None
    assert (found.rate, found.contention, found.crosstalk) == pytest.approx((100, 0.1, 0.01))
    assert found.peak == pytest.approx(math.sqrt(0.9 / 0.01))
    assert found.ceiling == pytest.approx(found.at(found.peak))


def test_as_many_concurrencies_as_coefficients_leave_nothing_to_test_the_law_with() -> None:
    found = scaling({1: 100, 2: 170, 4: 260})
    assert found is not None
    assert found.crosstalk > 0
    assert [found.at(n) for n in (1, 2, 4)] == pytest.approx([100, 170, 260])
    assert found.error is None
    assert found.to_dict()["error"] is None


def test_one_concurrency_more_tests_the_law() -> None:
    found = scaling({1: 100, 2: 170, 4: 260, 8: 500})
    assert found is not None
    assert found.error is not None
    assert found.error > 0.02


def test_amdahls_law_has_a_ceiling_and_no_peak() -> None:
    found = scaling({n: 50 * n / (1 + 0.25 * (n - 1)) for n in (1, 2, 4, 8)})
    assert found is not None
    assert found.ceiling == pytest.approx(200)
    assert found.to_dict()["peak"] is None


def test_throughput_above_linear_is_taken_as_linear() -> None:
    found = scaling({1: 10, 2: 21, 4: 44})
    assert found is not None
    assert (found.contention, found.crosstalk) == (0, 0)
    assert found.error is not None  # two coefficients are 0, which leaves two concurrencies
    assert found.error > 0.03


def test_two_concurrencies_are_too_few_for_a_law() -> None:
    assert scaling({1: 10, 2: 18}) is None


@pytest.mark.parametrize(
    ("load", "kind"),
    [
        (Occupancy(cores=0.98, python=0.1, lanes=0.95, transfer=0.05), "cores"),
        (Occupancy(cores=0.5, python=0.97, lanes=0.6, transfer=0.2), "bridge"),
        (Occupancy(cores=0.4, python=0.3, lanes=0.5, transfer=0.6), "bridge"),
        (Occupancy(cores=0.2, python=0.1, lanes=0.97, transfer=0.02, hardware=True), "gpu"),
        (Occupancy(cores=0.2, python=0.1, lanes=0.4, transfer=0.02), "callers"),
        (Occupancy(cores=0.5, python=0.1, lanes=0.95, transfer=0.02), "unknown"),
    ],
)
def test_what_holds_a_pool_back_follows_from_what_was_seen(load: Occupancy, kind: str) -> None:
    found = limit(load)
    assert found.kind == kind
    assert len(found.evidence) == 4
