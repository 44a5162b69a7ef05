"""Whether a series of measurements grows: a straight line through it, and how sure its slope is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
NEGLIGIBLE = 0.001  # of the level, per minute: 6 % in an hour


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line through a series.

    Attributes:
        level: The series' mean, in its unit.
        slope: Units per minute.
        margin: Half of the slope's 95 % interval.
    """

    level: float
    slope: float
    margin: float

    @property
    def kind(self) -> str:
        """``flat``, ``grows`` or ``shrinks``: flat where the interval holds zero or the slope is next to nothing."""
        if abs(self.slope) <= self.margin or abs(self.slope) <= NEGLIGIBLE * abs(self.level):
            return "flat"
        return "grows" if self.slope > 0 else "shrinks"


def trend(minutes: Sequence[float], values: Sequence[float]) -> Trend:
    """Fit a line by least squares.

    Neighbours in such a series resemble each other, so that it says less than as many independent measurements would:
    the interval takes the effective number n (1 - r) / (1 + r), with the residuals' lag-1 autocorrelation r
    (Santer et al., 2000, "Statistical significance of trends and trend differences in layer-average atmospheric
    temperature time series", J. Geophys. Res. 105, equation 6).

    Args:
        minutes: When each value was measured.
        values: At least 4 measurements, in any unit.
    """
    t, y = np.asarray(minutes, float), np.asarray(values, float)
    slope, start = np.polyfit(t, y, 1)
    rest = y - (start + slope * t)
    energy = float(rest @ rest)
    alike = max(0.0, float(rest[1:] @ rest[:-1]) / energy) if energy > 0 else 0.0
    freedom = max(1.0, len(t) * (1 - alike) / (1 + alike) - 2)
    error = math.sqrt(energy / freedom / float(((t - t.mean()) ** 2).sum()))
    return Trend(float(y.mean()), float(slope), t_quantile(freedom) * error)


def t_quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Return Student's t for a two-sided interval.

    By the expansion about the normal quantile of Abramowitz & Stegun, 26.7.5, which is within 1 % from 4 degrees of
    freedom on. Below, the exact values for 1, 2 and 3 at 95 %, the next smaller one.
    """
    if freedom < 4:
        return {1: 12.706, 2: 4.303, 3: 3.182}[max(1, int(freedom))]
    x = NormalDist().inv_cdf((1 + confidence) / 2)
    terms = (
        x,
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))
