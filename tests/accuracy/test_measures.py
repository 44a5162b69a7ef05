"""Measures of difference, each at values that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from webinfer.accuracy import measures

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("right", "other", "expected"),
    [
        ([3.0, 4.0], [6.0, 8.0], 1),
        ([1.0, 0.0], [0.0, 1.0], 0),
        ([1.0, 1.0], [-1.0, -1.0], -1),
        ([1.0, 0.0], [1.0, 1.0], 0.5**0.5),
        ([0.0], [0.0], 1),
        ([0.0], [1.0], 0),
        ([1.0], [NAN], 0),
        ([INF], [1.0], 0),
        ([], [], 1),
    ],
)
def test_cosine(right: list[float], other: list[float], expected: float) -> None:
    assert measures.cosine(np.array(right, np.float32), np.array(other, np.float32)) == pytest.approx(expected)


def test_cosine_of_halves_does_not_overflow() -> None:
    assert measures.cosine(np.full(1000, 6e4, np.float16), np.full(1000, 6e4, np.float16)) == pytest.approx(1)


def test_relative_error_is_of_all_arrays_together() -> None:
    right, other = [np.array([3.0]), np.array([4.0])], [np.array([3.0]), np.array([5.0])]
    assert measures.relative_error(right, other) == pytest.approx(0.2)
    assert measures.relative_error([np.zeros(2)], [np.ones(2)]) == 0


def test_largest_difference_and_value_are_of_finite_values() -> None:
    right, other = np.array([1.0, -8.0, NAN, INF]), np.array([2.5, -8.0, 3.0, -INF])
    assert measures.largest_difference(right, other) == 1.5
    assert measures.largest_value(right) == 8
    assert measures.largest_value(np.array([])) == measures.largest_difference(np.array([]), np.array([])) == 0


def test_strange_values_are_those_of_one_side_alone() -> None:
    right, other = np.array([NAN, INF, INF, 1.0, NAN]), np.array([NAN, INF, -INF, NAN, 0.0])
    assert measures.count_strange(right, other) == 3
    assert measures.count_strange(np.array([1]), np.array([2])) == 0


def test_top_share_counts_the_same_classes_in_any_order() -> None:
    right, other = np.array([[9.0, 8, 7, 0, 0, 0]]), np.array([[7.0, 9, 0, 8, 0, 0]])
    assert measures.top_share(right, other, 3) == pytest.approx(2 / 3)
    assert measures.top_share(np.zeros((0, 6)), np.zeros((0, 6)), 3) == 1


def test_equal_share() -> None:
    assert measures.equal_share(np.array([1, 2, 3, 4]), np.array([1, 2, 0, 4])) == 0.75
    assert measures.equal_share(np.array([], int), np.array([], int)) == 1
