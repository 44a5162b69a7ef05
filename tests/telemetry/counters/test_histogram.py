"""A histogram counts each value once; percentiles and Prometheus' buckets are read from the same counts."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from random import Random

import pytest

from webinfer.telemetry.counters.histogram import FINE, SECONDS, SIZES, Histogram


@pytest.mark.parametrize(("value", "bucket"), [(0.5, 0), (1.0, 0), (1.5, 1), (2.0, 1), (9.0, 2)])
def test_value_belongs_to_the_first_bucket_whose_bound_it_does_not_exceed(value: float, bucket: int) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.add(value)
    assert histogram.buckets == {bucket: 1}
    assert (histogram.count, histogram.total) == (1, value)


def test_percentiles_are_within_half_a_percent() -> None:
    histogram = Histogram(FINE)
    for value in range(1, 1001):
        histogram.add(value / 1000)
    assert histogram.percentiles([50, 95, 99, 100]) == pytest.approx([0.5, 0.95, 0.99, 1.0], rel=0.006)
    assert Histogram(FINE).percentiles([50, 95]) == [0.0, 0.0]
    assert histogram.percentiles([50]) == histogram.percentiles([50]) == pytest.approx([0.5], rel=0.006)
    for _ in range(2000):
        histogram.add(5.0)
    assert histogram.percentiles([50]) == pytest.approx([5.0], rel=0.006)


def test_fine_bounds_are_a_percent_apart_at_most() -> None:
    assert all(1 < high / low <= 1.01 + 1e-9 for low, high in pairwise(FINE))
    assert FINE[0] == 1e-6
    assert FINE[-1] > 1e5


@pytest.mark.parametrize("bounds", [SECONDS, FINE])
def test_prometheus_buckets_are_exact_whatever_the_bounds(bounds: tuple[float, ...]) -> None:
    random, histogram = Random(3), Histogram(bounds)
    values = [*SECONDS, *(random.lognormvariate(-3, 3) for _ in range(500)), 1e9]
    for value in values:
        histogram.add(value)
    told = histogram.cumulative(SECONDS)
    assert told == [*(sum(value <= bound for value in values) for bound in SECONDS), len(values)]


def test_merged_histograms_are_as_if_one_had_counted_all() -> None:
    parts, whole = [Histogram(SIZES) for _ in range(2)], Histogram(SIZES)
    for number in range(1, 200):
        for histogram in (whole, parts[number % 2]):
            histogram.add(number)
    parts[0].merge(parts[1])
    assert (parts[0].buckets, parts[0].count, parts[0].total) == (whole.buckets, whole.count, whole.total)


def test_memory_does_not_grow_with_the_number_of_values() -> None:
    random, histogram = Random(5), Histogram(FINE)
    for _ in range(20_000):
        histogram.add(0.01 + random.random() / 1000)
    assert len(histogram.buckets) <= bisect_left(FINE, 0.011) - bisect_left(FINE, 0.01) + 1
