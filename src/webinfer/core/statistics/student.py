"""Student's t distribution, by SciPy, which the extra ``bench`` installs."""

from __future__ import annotations

from typing import Any

from webinfer.core.errors import BenchmarkError


def student_two_sided(t: float, freedom: float) -> float:
    """Return the chance of a Student's t at least as far from zero.

    Args:
        t: The statistic.
        freedom: Degrees of freedom, above 0.

    Raises:
        BenchmarkError: SciPy is not installed.
    """
    return float(2 * _special().stdtr(freedom, -abs(t)))


def student_quantile(freedom: float, confidence: float) -> float:
    """Return the t within which a fraction ``confidence`` of the distribution lies, two-sided.

    Args:
        freedom: Degrees of freedom, above 0.
        confidence: A fraction, above 0 and below 1.

    Raises:
        BenchmarkError: SciPy is not installed.
    """
    return float(_special().stdtrit(freedom, (1 + confidence) / 2))


def _special() -> Any:
    try:
        from scipy import special  # late: it takes a while to import, and only comparisons of launches need it
    except ImportError as error:
        raise BenchmarkError("Comparing launches needs SciPy: pip install 'webinfer[bench]'.") from error
    return special
