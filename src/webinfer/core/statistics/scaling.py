"""What more lanes gain: the universal scalability law, fitted to throughputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Scaling:
    """Throughput by concurrency, as X(n) = rate n / (1 + contention (n - 1) + crosstalk n (n - 1)).

    Attributes:
        rate: Items per second of one.
        contention: Share of the work that only one can do at a time; alone, it is Amdahl's law.
        crosstalk: Cost of each pair of them, which makes throughput fall again.
        error: Largest relative difference between the law and a measurement; ``None`` where it has as many coefficients
            as there were measurements. Then it goes through all of them, and nothing is left to test it with.
    """

    rate: float
    contention: float
    crosstalk: float
    error: float | None

    def at(self, n: float) -> float:
        """Return the throughput with ``n`` at once.

        Args:
            n: How many requests are under way at once.
        """
        return self.rate * n / (1 + self.contention * (n - 1) + self.crosstalk * n * (n - 1))

    @property
    def peak(self) -> float:
        """Concurrency of the highest throughput; infinite without crosstalk."""
        return math.sqrt((1 - min(self.contention, 1)) / self.crosstalk) if self.crosstalk > 0 else math.inf

    @property
    def ceiling(self) -> float:
        """Highest throughput; infinite where nothing holds it."""
        if self.crosstalk > 0:
            return self.at(max(1.0, self.peak))
        return self.rate / self.contention if self.contention > 0 else math.inf

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; what is infinite is ``None``."""
        return {
            "rate": self.rate,
            "contention": self.contention,
            "crosstalk": self.crosstalk,
            "error": self.error,
            "peak": self.peak if math.isfinite(self.peak) else None,
            "ceiling": self.ceiling if math.isfinite(self.ceiling) else None,
        }


def scaling(throughputs: Mapping[int, float]) -> Scaling | None:
    """Fit the law (Gunther, "Guerrilla Capacity Planning", 2007, chapter 5) by least squares of relative errors.

    n / X is linear in 1, n - 1 and n (n - 1). None of the three coefficients can be negative: of the subsets whose
    fit has none, the best one counts.

    Args:
        throughputs: Items per second by concurrency.

    Returns:
        The fit; ``None`` with fewer than three concurrencies, which many curves fit. With three, it fits exactly unless
        a coefficient is 0: only a fourth one tests it.
    """
    if len(throughputs) < 3:
        return None
    n = np.array(sorted(throughputs), float)
    x = np.array([throughputs[int(count)] for count in n])
    target = n / x
    columns = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1)
    # Divided by the target, a residual is a relative error.
    fits = [fit for subset in _subsets() if (fit := _fit(columns / target[:, None], subset)) is not None]
    first, second, third = min(fits, key=lambda fit: fit[0])[1]
    law = Scaling(1 / first, second / first, third / first, None)
    if len(n) == sum(coefficient > 0 for coefficient in (first, second, third)):
        return law
    error = max(abs(law.at(count) / measured - 1) for count, measured in zip(n, x, strict=True))
    return replace(law, error=float(error))


def _subsets() -> list[tuple[int, ...]]:
    return [(0, *rest) for size in range(3) for rest in combinations((1, 2), size)]


def _fit(columns: NDArray[np.float64], subset: tuple[int, ...]) -> tuple[float, list[float]] | None:
    used = columns[:, subset]
    coefficients, *_ = np.linalg.lstsq(used, np.ones(len(used)), rcond=None)
    if coefficients[0] <= 0 or (coefficients < 0).any():
        return None
    whole = [0.0, 0.0, 0.0]
    for at, value in zip(subset, coefficients, strict=True):
        whole[at] = float(value)
    return float(((used @ coefficients - 1) ** 2).sum()), whole
