"""How far outputs are from what is right, and what counts as too far."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from webinfer.accuracy.comparison import LIMITS, Deviation, Use, compare, digest, fault, limits_for, worst
from webinfer.core.errors import OptionError

RIGHT = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)
FULL = limits_for("fp32")


def wrong(made: Any, right: Any = RIGHT, name: str = "y", limits: Any = FULL) -> str | None:
    return compare({name: made}, {name: right})[0].beyond(limits)


def test_equal_outputs_are_within_any_limit() -> None:
    (same,) = compare({"y": RIGHT}, {"y": RIGHT})
    assert same.cosine == pytest.approx(1)
    assert (same.largest, same.error, same.strange) == (0, 0, 0)
    assert same.beyond(FULL) is None


def test_first_fault_of_several_outputs_is_told() -> None:
    deviations = compare({"a": RIGHT, "b": RIGHT * 2, "c": -RIGHT}, {"a": RIGHT, "b": RIGHT, "c": RIGHT})
    assert (fault(deviations, FULL) or "").startswith("b is off by 1")
    assert fault(deviations[:1], FULL) is None


def test_digest_is_equal_only_where_every_bit_is() -> None:
    assert digest({"y": RIGHT, "z": RIGHT}) == digest({"z": RIGHT.copy(), "y": RIGHT})
    changed = {digest({"y": RIGHT}), digest({"z": RIGHT}), digest({"y": RIGHT.T}), digest({"y": RIGHT.astype("f8")})}
    assert len(changed | {digest({"y": np.nextafter(RIGHT, 9)})}) == 5


@pytest.mark.parametrize(
    ("use", "precision", "error"),
    [
        ("native", "fp32", 1e-3),
        ("native", "fp16", 2e-2),
        ("native", "q4f16", 0.15),
        ("batch", "fp32", 1e-3),
        ("batch", "q8", 1e-3),
        ("batch", "q4f16", 1e-2),
        ("rewrite", "fp32", 1e-5),
        ("rewrite", "fp16", 5e-3),
        ("rewrite", "rounded", 2e-2),
    ],
)
def test_limits_follow_the_use(use: Use, precision: str, error: float) -> None:
    limits = limits_for(precision, use=use)
    assert limits.error == error
    assert wrong(RIGHT * (1 + 0.9 * error), limits=limits) is None
    assert "is off by" in (wrong(RIGHT * (1 + 1.1 * error), limits=limits) or "")


def test_a_wrong_scale_is_found_though_the_cosine_is_one() -> None:
    assert "off by 0.05" in (wrong(RIGHT * 1.05) or "")


def test_one_wrong_value_is_found_though_the_cosine_is_good() -> None:
    made = RIGHT.copy()
    made[0, 5] += 0.01
    assert "off by 0.01" in (wrong(made) or "")


def test_noise_of_another_order_of_summing_is_not_a_wrong() -> None:
    noise = np.random.default_rng(0).standard_normal(RIGHT.shape).astype(np.float32)
    assert wrong(RIGHT + 1e-5 * noise) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_found_on_either_side(value: float) -> None:
    strange = RIGHT.copy()
    strange[1, 1] = value
    assert "1 values that are NaN or infinite" in (wrong(strange) or "")
    assert "1 values that are NaN or infinite" in (wrong(RIGHT, strange) or "")
    assert wrong(strange, strange) is None


def test_infinities_of_another_sign_are_found() -> None:
    one, other = RIGHT.copy(), RIGHT.copy()
    one[0, 0], other[0, 0] = np.inf, -np.inf
    assert wrong(one, other) is not None


def test_a_missing_output_or_another_shape_is_wrong_in_every_value() -> None:
    assert compare({}, {"y": RIGHT})[0].strange == 64
    assert compare({"y": RIGHT.T}, {"y": RIGHT})[0].strange == 64


def test_ranks_count_for_scores_alone() -> None:
    made = RIGHT * 2
    assert compare({"hidden": made}, {"hidden": RIGHT})[0].top is None
    assert compare({"logits": made}, {"logits": RIGHT})[0].top == 1  # they still rise
    assert compare({"logits": -RIGHT}, {"logits": RIGHT})[0].top == 0


def test_whole_numbers_must_be_equal() -> None:
    ids = np.arange(4000)
    assert wrong(np.where(ids < 40, 0, ids), ids, limits=limits_for("q8")) is not None
    assert wrong(ids.copy(), ids) is None


def test_the_worst_of_each_measure_counts() -> None:
    (bad,) = worst(
        [[Deviation(output="y", cosine=0.9, error=0.1)], [Deviation(output="y", cosine=1, error=0.3, strange=2)]]
    )
    assert bad == Deviation(output="y", cosine=0.9, error=0.3, strange=2)


def test_limits_follow_the_precision_and_the_callers_own() -> None:
    assert limits_for("q4") == LIMITS["native"][""]
    assert limits_for("fp16", {"*": {"cosine": 0.5}, "fp16": {"error": 1}, "fp32": {"top": 0}}).cosine == 0.5
    assert limits_for("fp16", {"fp16": {"error": 1}}).error == 1
    with pytest.raises(OptionError, match="cosine, error, top, equal"):
        limits_for("fp32", {"fp32": {"cos": 1}})
