"""How well one figure is known: bootstrap intervals, and the measurements that stand out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
_RESAMPLES = 2000
_FENCE = 3.5  # robust standard deviations, as Iglewicz and Hoaglin (1993), "How to Detect and Handle Outliers", advise
_TO_SIGMA = 1.4826  # a normal distribution's standard deviation, in median absolute deviations

Values = Sequence[float] | NDArray[np.float64]
Statistic = Callable[..., Any]  # takes an array and ``axis``


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the range that it lies in.

    Attributes:
        estimate: The figure, in the unit of what it was made from.
        low: Lower end.
        high: Upper end.
        confidence: How often such a range holds the true figure.
    """

    estimate: float
    low: float
    high: float
    confidence: float = CONFIDENCE

    @property
    def margin(self) -> float:
        """The end that lies further off, as a fraction of the figure."""
        if self.estimate == 0:
            return float("inf")
        return max(self.high - self.estimate, self.estimate - self.low) / abs(self.estimate)

    def to_dict(self) -> dict[str, float]:
        """Return it ready for JSON."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high, "confidence": self.confidence}


def bootstrap(
    values: Values,
    statistic: Statistic = np.median,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Bound a statistic by the percentiles of what it is for samples drawn from the sample.

    Values must be independent of each other: of runs that follow one another closely, give one value per round.

    Args:
        values: At least one measurement, in any unit.
        statistic: Takes an array and ``axis``.
        confidence: How often the interval is to hold the true figure.
        resamples: Samples to draw.
        seed: Chooses them.
    """
    sample = np.asarray(values, float)
    drawn = np.random.default_rng(seed).integers(0, len(sample), (resamples, len(sample)))
    figures = statistic(sample[drawn], axis=1)
    low, high = np.quantile(figures, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(statistic(sample, axis=0)), float(low), float(high), confidence)


def spread(values: Values) -> float:
    """Return a standard deviation that outliers do not touch: the scaled median absolute deviation."""
    sample = np.asarray(values, float)
    return float(_TO_SIGMA * np.median(np.abs(sample - np.median(sample))))


def outliers(values: Values) -> NDArray[np.bool_]:
    """Mark the values that lie further from the median than chance explains. They are to be shown, not dropped."""
    sample = np.asarray(values, float)
    deviation = spread(values)
    marks: NDArray[np.bool_] = np.greater(np.abs(sample - np.median(sample)), _FENCE * deviation)
    return marks


def bootstrap_launches(
    launches: Sequence[Values], confidence: float = CONFIDENCE, *, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Bound the median of measurements that came in groups, each of which may be off as a whole.

    Draws groups, then measurements within each, as in the data (a hierarchical bootstrap; Davison and Hinkley,
    "Bootstrap Methods and their Application", 3.8). The estimate is the mean of the groups' medians.

    Args:
        launches: Measurements by group.
        confidence: How often the interval is to hold the true figure.
        resamples: Samples to draw.
        seed: Chooses them.
    """
    chance = np.random.default_rng(seed)
    samples = [np.asarray(launch, float) for launch in launches]
    drawn = [np.median(sample[chance.integers(0, len(sample), (resamples, len(sample)))], axis=1) for sample in samples]
    medians = np.stack(drawn)
    chosen = chance.integers(0, len(samples), (len(samples), resamples))
    figures = np.take_along_axis(medians, chosen, axis=0).mean(axis=0)
    low, high = np.quantile(figures, [(1 - confidence) / 2, (1 + confidence) / 2])
    estimate = float(np.mean([np.median(sample) for sample in samples]))
    return Interval(estimate, float(low), float(high), confidence)
