"""Figures as text."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from webinfer.core.statistics import Comparison, Interval

NONE = "–"
"""Stands where there is no figure."""


def format_figure(value: float) -> str:
    """Write a number with four significant digits, and without an exponent where it is large.

    Args:
        value: The number.

    Returns:
        Text such as ``0.04187`` or ``23,881``.
    """
    return f"{value:,.0f}" if abs(value) >= 9999.5 else f"{value:.4g}"


def format_milliseconds(interval: Interval | None, mark: str = "", note: str = "") -> str:
    """Write an interval of seconds in milliseconds.

    Args:
        interval: The estimate and its bounds, in seconds.
        mark: Text to put after the estimate.
        note: Text to put after the bounds.

    Returns:
        Text such as ``21* (20–22)``.
    """
    if interval is None:
        return NONE
    middle, low, high = (format_figure(value * 1e3) for value in (interval.estimate, interval.low, interval.high))
    return f"{middle}{mark} ({low}–{high}{note})"


def format_change(change: Comparison | None) -> str:
    """Write a relative change with its interval.

    Args:
        change: The change of a time.

    Returns:
        Text such as ``+30.1% (+28.4% to +31.9%)``.
    """
    if change is None:
        return NONE
    return f"{change.change:+.1%} ({change.low:+.1%} to {change.high:+.1%})"


def format_p_value(value: float | None) -> str:
    """Write a probability with two significant digits.

    Args:
        value: The probability, from 0 to 1.

    Returns:
        Text such as ``0.012``.
    """
    return NONE if value is None else f"{value:.2g}"


def format_median(seconds: Sequence[float]) -> str:
    """Write the median of some times.

    Args:
        seconds: The times.

    Returns:
        Text such as ``0.123 s``.
    """
    return f"{median(seconds):.3g} s" if seconds else NONE
