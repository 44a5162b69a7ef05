"""Student's t, held against tables; without SciPy the way to it is told."""

from __future__ import annotations

import sys

import pytest

from webinfer.core.errors import BenchmarkError
from webinfer.core.statistics.student import student_quantile, student_two_sided


@pytest.mark.parametrize(
    ("freedom", "confidence", "t"), [(1, 0.95, 12.706), (4, 0.95, 2.776), (10, 0.99, 3.169), (30, 0.90, 1.697)]
)
def test_student_quantiles_are_those_of_the_tables(freedom: int, confidence: float, t: float) -> None:
    assert student_quantile(freedom, confidence) == pytest.approx(t, abs=6e-4)
    assert student_two_sided(-t, freedom) == pytest.approx(1 - confidence, abs=1e-4)


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(BenchmarkError, match=r"webinfer\[bench\]"):
        student_quantile(4, 0.95)
