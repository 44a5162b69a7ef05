"""Time limits follow the family and the size of the inputs."""

from __future__ import annotations

from typing import get_args

import pytest

from webinfer.core.errors import OptionError
from webinfer.models.files.family import Family
from webinfer.pool.plan.preferences import GROUPS
from webinfer.pool.plan.timeouts import FAMILIES, LARGE_BYTES, Timeouts, check_factors, run_timeout


def test_standard_time_holds_where_nothing_is_scaled() -> None:
    assert run_timeout(Timeouts(10.0), "vision", LARGE_BYTES + 1) == 10.0


def test_no_limit_stays_no_limit() -> None:
    assert run_timeout(Timeouts(None, {"vision": 2.0}, large=3.0), "vision", LARGE_BYTES + 1) is None


@pytest.mark.parametrize(("family", "expected"), [("audio", 30.0), ("vision", 10.0), ("unknown", 10.0)])
def test_factor_counts_for_its_family_only(family: str, expected: float) -> None:
    assert run_timeout(Timeouts(10.0, {"audio": 3.0}), family, 0) == expected


@pytest.mark.parametrize(("family", "expected"), [("text_embedding", 15.0), ("text_generation", 40.0), ("audio", 10.0)])
def test_group_counts_for_its_families_unless_they_have_their_own(family: str, expected: float) -> None:
    assert run_timeout(Timeouts(10.0, {"text": 1.5, "text_generation": 4.0}), family, 0) == expected


@pytest.mark.parametrize(("nbytes", "expected"), [(LARGE_BYTES, 10.0), (LARGE_BYTES + 1, 50.0)])
def test_large_inputs_begin_above_the_threshold(nbytes: int, expected: float) -> None:
    assert run_timeout(Timeouts(10.0, large=5.0), "audio", nbytes) == expected


def test_factors_multiply() -> None:
    assert run_timeout(Timeouts(10.0, {"audio": 3.0}, large=5.0), "audio", LARGE_BYTES + 1) == 150.0


def test_families_are_those_that_models_have() -> None:
    assert set(FAMILIES) - set(GROUPS) == set(get_args(Family))
    check_factors(dict.fromkeys(FAMILIES, 2.0))


@pytest.mark.parametrize(
    ("factors", "message"), [({"visoin": 2.0}, "Did you mean 'vision'"), ({"audio": 0.0}, "audio must be above 0")]
)
def test_factor_that_cannot_be_is_refused(factors: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_factors(factors)
