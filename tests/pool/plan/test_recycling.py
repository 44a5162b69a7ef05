from __future__ import annotations

import pytest

from webinfer.pool.plan.recycling import SAMPLES, Sample, Wear, growth, limit_of, overgrown, pressing


def test_wear_is_told_by_age_and_by_runs() -> None:
    assert Wear().worn(1e9, 10**9) is None
    assert Wear(age=60).worn(59.9, 0) is None
    assert Wear(age=60).worn(60, 0) == "it is 60 s old"
    assert Wear(runs=1000).worn(0, 1000) == "it has run 1,000 requests"
    assert Wear(age=60, runs=1000).worn(59, 999) is None


@pytest.mark.parametrize("slope", [0.0, 0.5, -2.0])
def test_growth_is_the_slope_of_the_line(slope: float) -> None:
    assert growth([Sample(runs, 100 + slope * runs) for runs in (0, 10, 15, 40)]) == pytest.approx(slope)
    assert growth([Sample(5, 100.0), Sample(5, 200.0)]) == 0


def test_memory_over_the_limit_is_too_much_at_once() -> None:
    assert overgrown([], 100, 100) is None
    assert overgrown([Sample(1, 100.0)], 100, None) is None
    assert overgrown([Sample(1, 101.0)], 100, None) == "it takes 101 MB, over its limit of 100"


def test_steady_growth_is_too_much_and_a_peak_is_not() -> None:
    steady = [Sample(10 * number, 100.0 + 10 * number) for number in range(SAMPLES)]
    assert overgrown(steady, None, 69) == "it has grown by 70 MB over 70 runs"
    assert overgrown(steady, None, 71) is None
    assert overgrown(steady[:-1], None, 1) is None, "too few to tell"
    peak = [Sample(10 * number, 500.0 if number == 3 else 100.0) for number in range(SAMPLES)]
    assert overgrown(peak, None, 69) is None


def test_machine_is_short_of_memory_below_its_reserve() -> None:
    assert pressing(available=0.9, total=10)
    assert not pressing(available=1.1, total=10)


def test_browser_that_stands_in_for_another_has_its_limit() -> None:
    limits = {"chrome": 2048.0, "firefox": 1536.0}
    assert [limit_of(name, limits) for name in ("chrome", "embedded", "firefox", "webkit")] == [2048, 2048, 1536, None]
    assert limit_of("embedded", {**limits, "embedded": 100.0}) == 100
