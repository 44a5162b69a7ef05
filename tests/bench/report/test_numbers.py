"""Figures as text."""

from __future__ import annotations

import pytest

from webinfer.bench.report.numbers import format_figure


@pytest.mark.parametrize(("value", "written"), [(0.041871, "0.04187"), (9999.4, "9999"), (23881.2, "23,881")])
def test_figures_have_four_digits_that_count_and_no_exponent(value: float, written: str) -> None:
    assert format_figure(value) == written
