from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webinfer.pool.plan.batching import SHARE, Batching, group, merge, split

MINUTE = 60.0


def test_nobody_waits_when_idle() -> None:
    batching = Batching(limit=8, patience=1.0)
    assert batching.delay(waiting=1, oldest=0.0, now=0.0) == 0
    batching.ran(1, seconds=0.5, now=10.0)
    assert batching.delay(1, oldest=10.0, now=10.0) == 0
    batching.ran(8, seconds=0.5, now=20.0)
    assert batching.delay(1, oldest=20.6, now=20.6) == 0, "the last batch ended longer ago than it took"


def test_after_a_batch_as_many_are_expected_for_a_part_of_its_time() -> None:
    batching = Batching(limit=8, patience=1.0)
    batching.ran(4, seconds=0.5, now=10.0)
    assert batching.delay(1, oldest=10.0, now=10.0) == pytest.approx(SHARE * 0.5)
    assert batching.delay(3, oldest=10.0, now=10.02) == pytest.approx(SHARE * 0.5 - 0.02)
    assert batching.delay(4, oldest=10.0, now=10.0) == 0
    assert batching.delay(1, oldest=9.0, now=10.0) == 0, "it has waited long enough"


def test_patience_bounds_the_wait() -> None:
    batching = Batching(limit=8, patience=0.01)
    batching.ran(4, seconds=MINUTE, now=10.0)
    assert batching.delay(1, oldest=10.0, now=10.0) == pytest.approx(0.01)
    assert Batching(8, 0.0, last=4, run=MINUTE, ended=10.0).delay(1, 10.0, 10.0) == 0


@given(st.integers(1, 64), st.integers(1, 1000))
def test_size_is_within_the_limit_and_one_that_the_backend_takes(limit: int, mates: int) -> None:
    assert Batching(limit, 0.0).size(mates) == min(limit, mates)
    size = Batching(limit, 0.0, "powers").size(mates)
    assert size <= min(limit, mates) < 2 * size
    assert size & (size - 1) == 0
    assert Batching(limit, 0.0, "full").rows(min(limit, mates)) == limit
    assert Batching(limit, 0.0, "powers").rows(size) == size


def test_only_single_rows_of_the_same_shapes_and_outputs_are_mates() -> None:
    short, long, two = (np.zeros(shape) for shape in ((1, 3), (1, 4), (2, 3)))
    assert group({"x": short}, None) == group({"x": short + 1}, None)
    assert group({"x": short}, None) != group({"x": long}, None)
    assert group({"x": short}, ["y"]) != group({"x": short}, None)
    assert group({"x": two}, None) is None
    assert group({"x": np.zeros(())}, None) is None


def test_rows_come_apart_as_they_went_together() -> None:
    many = [{"x": np.full((1, 2), at), "y": np.full((1, 3, 1), -at)} for at in range(3)]
    merged = merge(many, rows=4)
    assert merged["x"].tolist() == [[0, 0], [1, 1], [2, 2], [2, 2]]
    parts = split(merged, 3)
    for part, own in zip(parts, many, strict=True):
        assert all(np.array_equal(part[name], own[name]) for name in own)
        assert all(array.base is None for array in part.values()), "a row does not keep the others' memory"
