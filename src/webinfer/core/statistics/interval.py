"""How well one figure is known: intervals of medians and of other statistics, and the measurements that stand out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from webinfer.core.statistics.student import student_quantile

CONFIDENCE = 0.95
_RESAMPLES = 2000
_FENCE = 3.5  # robust standard deviations, as Iglewicz and Hoaglin (1993), "How to Detect and Handle Outliers", advise
_TO_SIGMA = 1.4826  # a normal distribution's standard deviation, in median absolute deviations

Values = Sequence[float] | NDArray[np.float64]
Statistic = Callable[..., Any]  # takes an array and ``axis``
Scope = Literal["values", "within one launch", "over launches"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the range that it lies in.

    Attributes:
        estimate: The figure, in the unit of what it was made from.
        low: Lower end.
        high: Upper end.
        confidence: How often such a range holds the true figure; where there are too few measurements for what was
            asked, what they give.
        scope: Whose figure: that of the ``values``, of the launch of a browser that they are from, which says nothing
            of the next launch, or of launches at large.
    """

    estimate: float
    low: float
    high: float
    confidence: float = CONFIDENCE
    scope: Scope = "values"

    @property
    def margin(self) -> float:
        """The end that lies further off, as a fraction of the figure."""
        if self.estimate == 0:
            return float("inf")
        return max(self.high - self.estimate, self.estimate - self.low) / abs(self.estimate)

    def is_within(self, margin: float, confidence: float = CONFIDENCE) -> bool:
        """Return whether the figure is known as well as that: to ``margin``, a fraction of it, with ``confidence``.

        Args:
            margin: A fraction of the figure.
            confidence: How sure that must be.
        """
        return self.confidence >= confidence and self.margin <= margin

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


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

    Returns:
        The estimate with its interval.
    """
    sample = np.asarray(values, float)
    drawn = np.random.default_rng(seed).integers(0, len(sample), (resamples, len(sample)))
    figures = statistic(sample[drawn], axis=1)
    low, high = np.quantile(figures, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(statistic(sample, axis=0)), float(low), float(high), confidence)


def spread(values: Values) -> float:
    """Return a standard deviation that outliers do not touch: the scaled median absolute deviation.

    Args:
        values: Measurements, in any unit.

    Returns:
        The deviation, in the same unit.
    """
    sample = np.asarray(values, float)
    return float(_TO_SIGMA * np.median(np.abs(sample - np.median(sample))))


def outliers(values: Values) -> NDArray[np.bool_]:
    """Mark the values that lie further from the median than chance explains. They are to be shown, not dropped.

    Args:
        values: Measurements, in any unit.

    Returns:
        True where a value stands out, in the order of the values.
    """
    sample = np.asarray(values, float)
    deviation = spread(values)
    marks: NDArray[np.bool_] = np.greater(np.abs(sample - np.median(sample)), _FENCE * deviation)
    return marks


def within_launch(times: Values, confidence: float = CONFIDENCE) -> Interval:
    """Bound the median of one launch, whatever the shape of its times' distribution.

    Between the order statistics of the sign test's interval, interpolated (Hettmansperger and Sheather, 1986,
    "Confidence intervals based on interpolated order statistics", Statistics & Probability Letters 4). Below six times
    no interval has 95 %: it is then the widest there is, with the confidence that this has.

    Args:
        times: Of rounds of the launch, at least one.
        confidence: How often the interval is to hold the launch's true median.

    Returns:
        The median with its interval.
    """
    ordered = np.sort(np.asarray(times, float))
    count = len(ordered)
    tails = accumulate(math.comb(count, below) for below in range((count + 1) // 2))
    # Confidence between the ends that leave out none on each side, one, two ...
    known = [1 - 2 * tail / 2**count for tail in tails]
    outside = max(0, sum(probability >= confidence for probability in known) - 1)
    low, high = ordered[outside], ordered[count - 1 - outside]
    if known[0] < confidence:
        confidence = max(0.0, known[0])
    elif outside + 1 < len(known):
        # With d for ``place`` and I for ``share``, the weight of the inner ends is (n - d) I / (d + (n - 2 d) I).
        share, place = (known[outside] - confidence) / (known[outside] - known[outside + 1]), outside + 1
        part = (count - place) * share / (place + (count - 2 * place) * share)
        low, high = low + part * (ordered[place] - low), high + part * (ordered[count - 1 - place] - high)
    return Interval(float(np.median(ordered)), float(low), float(high), confidence, "within one launch")


def over_launches(launches: Sequence[Values], confidence: float = CONFIDENCE) -> Interval:
    """Bound the median of times that came in launches, each of which may be off as a whole.

    Only how launches differ shows what a launch adds. So this is Student's t over their median logarithms, with one
    degree of freedom less than launches, as for any sample in clusters (Kalibera and Jones, 2013, "Rigorous
    Benchmarking in Reasonable Time", ISMM). Launches may agree by chance: it is never narrower than their own rounds
    allow if all launches were alike.

    Args:
        launches: Times of rounds, all above 0, by launch; at least two launches.
        confidence: How often the interval is to hold the true figure.

    Returns:
        The geometric mean of the launches' medians, and its interval.
    """
    logs = [np.log(np.asarray(launch, float)) for launch in launches]
    medians = np.array([np.median(launch) for launch in logs])
    count = len(medians)
    apart = student_quantile(count - 1, confidence) * float(medians.std(ddof=1)) / math.sqrt(count)
    inside = _normal(confidence) * math.hypot(*map(_error, logs)) / count
    middle, reach = float(medians.mean()), max(apart, inside)
    low, estimate, high = np.exp([middle - reach, middle, middle + reach])
    return Interval(float(estimate), float(low), float(high), confidence, "over launches")


def quotient(one: Interval, other: Interval) -> Interval:
    """Bound the ratio of two figures above 0 that are known independently of each other.

    By recovering the variance from each interval's ends, in logarithms (Zou and Donner, 2008, "Construction of
    confidence limits about effect measures: a general approach", Statistics in Medicine 27).

    Args:
        one: The figure above the line.
        other: The figure below it.

    Returns:
        The ratio and its interval; its confidence is the lower of the two.
    """
    middle = math.log(one.estimate / other.estimate)
    down = math.hypot(math.log(one.estimate / one.low), math.log(other.high / other.estimate))
    up = math.hypot(math.log(one.high / one.estimate), math.log(other.estimate / other.low))
    low, estimate, high = (math.exp(log) for log in (middle - down, middle, middle + up))
    scope = one.scope if one.scope == other.scope else "within one launch"
    return Interval(estimate, low, high, min(one.confidence, other.confidence), scope)


def _error(values: NDArray[np.float64]) -> float:
    """Return the standard error of a median: its interval's half, in those of a normal distribution.

    By McKean and Schrader (1984), "A comparison of methods for studentizing the sample median", Comm. Statist. B 13.
    """
    bounds = within_launch(values)
    return (bounds.high - bounds.low) / 2 / _normal(bounds.confidence) if bounds.confidence else 0.0


def _normal(confidence: float) -> float:
    """Return how many standard deviations a normal distribution has to each side, for so much of it."""
    return NormalDist().inv_cdf((1 + confidence) / 2)
