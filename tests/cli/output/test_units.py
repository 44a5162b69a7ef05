from __future__ import annotations

import pytest

from webinfer.cli.output.units import duration, seconds, size, times


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00 ms"),
        (0.00052, "0.52 ms"),
        (0.00999, "9.99 ms"),
        (0.009996, "10.0 ms"),
        (0.0531, "53.1 ms"),
        (0.5, "500 ms"),
        (0.9994, "999 ms"),
        (0.9999, "1.00 s"),
        (1.434, "1.43 s"),
        (99.9, "99.9 s"),
        (99.96, "1 min 40 s"),
        (125.2, "2 min 5 s"),
    ],
)
def test_times_have_three_digits_and_a_fitting_unit(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3600, "1 h 0 min"), (12345, "3 h 25 min")],
)
def test_long_times_are_told_as_people_count_them(value: float, text: str) -> None:
    assert duration(value) == text


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (32768, "32.8 kB"), (90_387_606, "90.4 MB"), (1 << 30, "1.07 GB")],
)
def test_sizes_are_decimal(nbytes: int, text: str) -> None:
    assert size(nbytes) == text


def test_ratios_have_three_digits() -> None:
    assert [times(value) for value in (0.5, 2.749, 182.4)] == ["0.50 times", "2.75 times", "182 times"]
