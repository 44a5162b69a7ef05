"""Distributions of rank statistics, held against counting all cases."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from webinfer.core.statistics.ranks import rank, rank_sum_chances, signed_rank_chances


def test_equal_values_share_their_ranks() -> None:
    assert rank(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


@pytest.mark.parametrize("ranks", [[1, 2, 3, 4, 5, 6], [1, 2.5, 2.5, 4, 5.5, 5.5]])
def test_signed_ranks_are_as_likely_as_counting_all_signs_says(ranks: list[float]) -> None:
    sums = [sum(r for r, sign in zip(ranks, signs, strict=True) if sign) for signs in product((0, 1), repeat=6)]
    counted = np.bincount(np.rint(2 * np.array(sums)).astype(int), minlength=int(2 * sum(ranks)) + 1) / 64
    assert signed_rank_chances(np.array(ranks)) == pytest.approx(counted)


@pytest.mark.parametrize(("first", "second"), [(3, 4), (5, 5), (6, 2)])
def test_rank_sums_are_as_likely_as_counting_all_orders_says(first: int, second: int) -> None:
    orders = list(combinations(range(first + second), first))
    sums = [sum(order) - first * (first - 1) // 2 for order in orders]
    assert rank_sum_chances(first, second) == pytest.approx(
        np.bincount(sums, minlength=first * second + 1) / len(orders)
    )
