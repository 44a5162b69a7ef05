"""Whether two sets of times differ: by how much, how surely, and how bad that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from webinfer.core.statistics.interval import CONFIDENCE, Values
from webinfer.core.statistics.ranks import rank, rank_sum_chances, signed_rank_chances
from webinfer.core.statistics.student import student_quantile, student_two_sided

Severity = Literal["none", "unclear", "improvement", "minor", "moderate", "severe"]
MARGIN = 0.05
_MODERATE, _SEVERE = 0.10, 0.25
LAUNCHES = 3  # of each side, from which on launches are compared, not the rounds in them


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the times of B differ from those of A.

    Attributes:
        change: Relative change: 0.15 where B takes 15 % longer.
        low: Lower end of its interval.
        high: Upper end.
        p_value: How likely chance alone makes a difference at least as large.
        effect: How much more often B is slower than faster, from -1 to 1 (rank-biserial correlation).
        n: Pairs, or measurements of the smaller side.
        unit: What was compared: ``pair``, ``round`` or ``launch``.
        error: Standard error of the logarithm of 1 and the change; ``None`` where launches were not compared.
        freedom: Degrees of freedom of that.
        confidence: That of the interval; where there are too few measurements for what was asked, what they give.
    """

    change: float
    low: float
    high: float
    p_value: float
    effect: float
    n: int
    unit: Literal["pair", "round", "launch"]
    confidence: float = CONFIDENCE
    error: float | None = None
    freedom: float | None = None

    @property
    def is_significant(self) -> bool:
        """Whether chance is an unlikely reason; rounds of one launch cannot say that."""
        return self.unit != "round" and self.p_value < 1 - self.confidence

    def is_slower(self, margin: float = MARGIN) -> bool:
        """Return whether B became slower: chance is an unlikely reason, and the change is above ``margin``.

        This says that there is a change, not that it is larger than ``margin``: ``p_beyond`` says that.

        Args:
            margin: Relative change that does not matter.
        """
        return self.is_significant and self.change > margin

    def p_beyond(self, limit: float) -> float:
        """Return how likely a B that is slower by ``limit`` looks at least as much slower, by chance alone.

        Small only where B is slower by more than that. The one-sided t-test, with the limit in place of no change, as
        tests of non-inferiority have it (Wellek, 2010, "Testing Statistical Hypotheses of Equivalence and
        Noninferiority", 2.2). It is 1 where there are too few launches.

        Args:
            limit: Relative change, as 0.1 for 10 %.
        """
        if self.error is None or self.freedom is None:
            return 1.0
        t = (math.log1p(self.change) - math.log1p(limit)) / self.error
        half = student_two_sided(t, self.freedom) / 2
        return half if t > 0 else 1 - half

    def severity(self, margin: float = MARGIN) -> Severity:
        """Return how bad it is; see ``severity``.

        Args:
            margin: Relative change that does not matter.
        """
        return severity(self, margin)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "change": self.change,
            "low": self.low,
            "high": self.high,
            "p_value": self.p_value,
            "effect": self.effect,
            "n": self.n,
            "unit": self.unit,
            "confidence": self.confidence,
        }


def severity(compared: Comparison, margin: float = MARGIN) -> Severity:
    """Say how bad a change is.

    Args:
        compared: The change.
        margin: Relative change that does not matter.

    Returns:
        ``none`` where it is within the margin, ``unclear`` where it is not but chance may be the reason,
        ``improvement``; else ``minor`` up to 10 %, ``moderate`` up to 25 %, ``severe`` above.
    """
    if abs(compared.change) <= margin:
        return "none"
    if not compared.is_significant:
        return "unclear"
    return named(compared.change)


def named(change: float) -> Severity:
    """Name a significant change by its size.

    Args:
        change: Relative change.

    Returns:
        The name of the change.
    """
    if change < 0:
        return "improvement"
    return "severe" if change > _SEVERE else "moderate" if change > _MODERATE else "minor"


def paired(a: Values, b: Values, *, confidence: float = CONFIDENCE) -> Comparison:
    """Compare times that were measured side by side, round by round.

    What slows a round down slows down both, and falls out of their ratio. The change is the Hodges-Lehmann estimate
    over the logarithms of the ratios. The p-value is that of the exact signed-rank test, and the interval is that test
    inverted (Hollander, Wolfe and Chicken, "Nonparametric Statistical Methods", 3.1-3.3). It holds 0 if and only if the
    p-value is at least 1 - confidence. Below six rounds no interval has 95 %: it is then the widest there is, with the
    confidence that this has, and nothing is significant.

    Args:
        a: Times, at least one, in any unit.
        b: Times of the same rounds.
        confidence: That of the interval.

    Returns:
        The change, its interval and its p-value.
    """
    logs = np.log(np.asarray(b, float) / np.asarray(a, float))
    n = len(logs)
    # Walsh averages: their median is the estimate, and how many are above 0 is the signed-rank statistic.
    sums = np.add.outer(logs, logs)[np.triu_indices(n)] / 2
    changed = logs[logs != 0]
    ranks = rank(np.abs(changed))
    effect = (2 * ranks[changed > 0].sum() - ranks.sum()) / ranks.sum() if len(changed) else 0.0
    chances = signed_rank_chances(np.arange(1, n + 1, dtype=float))[::2]  # ranks without ties have whole sums
    return _tested(sums, chances, float(effect), n, "pair", confidence)


def unpaired(a: Values, b: Values, *, confidence: float = CONFIDENCE) -> Comparison:
    """Compare times that were measured at different times.

    As ``paired``, with all pairs of one of each, and the exact rank-sum test (Hollander, Wolfe and Chicken, 4.1-4.3).

    Args:
        a: Times, at least one, in any unit.
        b: Times.
        confidence: That of the interval.

    Returns:
        The change, its interval and its p-value.
    """
    first, second = np.log(np.asarray(a, float)), np.log(np.asarray(b, float))
    differences = np.subtract.outer(second, first).ravel()
    slower = float((differences > 0).sum() + (differences == 0).sum() / 2)
    chances = rank_sum_chances(len(first), len(second))
    effect = 2 * slower / len(differences) - 1
    return _tested(differences, chances, effect, min(len(first), len(second)), "round", confidence)


def between(a: Sequence[Values], b: Sequence[Values], *, confidence: float = CONFIDENCE) -> Comparison:
    """Compare two benchmark runs, each of one or several launches.

    A launch of a browser is faster or slower than the next one for as long as it lasts. So its rounds say less than as
    many independent measurements. From ``LAUNCHES`` of each side on, these are what is compared, by Welch's
    t-test over their median logarithms. With fewer, the rounds are, as ``unpaired`` does, and the result is never
    significant: a change cannot be told from how launches differ by chance.

    Args:
        a: Times of rounds, by launch.
        b: Times of rounds, by launch.
        confidence: That of the interval.

    Returns:
        The change, its interval and its p-value.
    """
    if min(len(a), len(b)) < LAUNCHES:
        sides = [[time for launch in side for time in launch] for side in (a, b)]
        return unpaired(sides[0], sides[1], confidence=confidence)
    first, second = (np.array([np.median(np.log(launch)) for launch in side]) for side in (a, b))
    difference = float(second.mean() - first.mean())
    errors = np.array([side.var(ddof=1) / len(side) for side in (first, second)])
    error = math.sqrt(float(errors.sum()))
    if error == 0:
        error = 1e-12  # equal to the last bit: a difference is then as sure as can be
    # Welch's degrees of freedom (Satterthwaite's formula); any number does where neither side varies.
    freedom = float(errors.sum() ** 2 / (errors**2 / [len(first) - 1, len(second) - 1]).sum()) if errors.any() else 1.0
    reach = student_quantile(freedom, confidence) * error
    order = np.sign(np.subtract.outer(second, first))
    return Comparison(
        change=math.expm1(difference),
        low=math.expm1(difference - reach),
        high=math.expm1(difference + reach),
        p_value=student_two_sided(difference / error, freedom),
        effect=float(order.mean()),
        n=min(len(first), len(second)),
        unit="launch",
        confidence=confidence,
        error=error,
        freedom=freedom,
    )


def _tested(
    differences: NDArray[np.float64],
    chances: NDArray[np.float64],
    effect: float,
    n: int,
    unit: Literal["pair", "round"],
    confidence: float,
) -> Comparison:
    """Return the comparison: the p-value of no change, and the changes that the same test would not refuse.

    The statistic is how many differences are above 0; those that are 0 count for whichever side leaves more to chance.
    """
    tails = 2 * np.cumsum(chances)  # two-sided chance of so few differences, or fewer, on one side
    fewest = min((differences >= 0).sum(), (differences <= 0).sum())
    refused = int((tails < 1 - confidence).sum())  # counts from 0 on that the test refuses
    if not refused:
        confidence = max(0.0, float(1 - tails[0]))
    # A change is not refused once ``refused`` differences lie at or below it, and as many at or above it.
    ordered = np.sort(differences)
    outside = max(0, refused - 1)
    low, middle, high = np.expm1([ordered[outside], np.median(ordered), ordered[len(ordered) - 1 - outside]])
    p_value = min(1.0, float(tails[fewest]))
    return Comparison(float(middle), float(low), float(high), p_value, effect, n, unit, confidence)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for there being many of them, so that the share of false ones among the significant is kept.

    By Benjamini and Hochberg (1995), "Controlling the false discovery rate", J. R. Statist. Soc. B 57.

    Args:
        p_values: Chances, in any order.

    Returns:
        Corrected chances, in the same order.
    """
    count = len(p_values)
    order = sorted(range(count), key=lambda at: p_values[at], reverse=True)
    corrected, least = [1.0] * count, 1.0
    for place, at in enumerate(order):
        least = min(least, p_values[at] * count / (count - place))
        corrected[at] = least
    return corrected
