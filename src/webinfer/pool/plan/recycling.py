"""When lanes and browsers are worn and replaced: by age, by runs, by memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from webinfer.pool.plan.preferences import STANDINS

RESERVE = 0.1
"""Share of the machine's memory below which what is available counts as pressure."""

SAMPLES = 8
"""The fewest measurements that a browser's growth is computed from."""

REST = 30.0
"""Seconds for which a browser that was relieved for its memory is left alone: what loads its models anew may well be
as large again, and would be replaced for ever."""


@dataclass(frozen=True, slots=True)
class Wear:
    """What a lane or a browser may come to; ``None`` for no limit.

    Attributes:
        age: Seconds since it started.
        runs: Requests that it answered.
    """

    age: float | None = None
    runs: int | None = None

    def worn(self, age: float, runs: int) -> str | None:
        """Return why it is to be replaced, or ``None``.

        Args:
            age: Seconds since it started.
            runs: Requests that it was sent.
        """
        if self.runs is not None and runs >= self.runs:
            return f"it has run {runs:,} requests"
        if self.age is not None and age >= self.age:
            return f"it is {age:.0f} s old"
        return None


class Sample(NamedTuple):
    """A browser's memory, in megabytes, after so many runs."""

    runs: int
    mb: float


def growth(samples: Sequence[Sample]) -> float:
    """Return the megabytes by which memory grows with a run: the slope of the least-squares line.

    Args:
        samples: Measurements, two at least.
    """
    count = len(samples)
    runs = sum(sample.runs for sample in samples) / count
    mb = sum(sample.mb for sample in samples) / count
    spread = sum((sample.runs - runs) ** 2 for sample in samples)
    return sum((sample.runs - runs) * (sample.mb - mb) for sample in samples) / spread if spread else 0.0


def overgrown(samples: Sequence[Sample], limit_mb: float | None, growth_mb: float | None) -> str | None:
    """Return why a browser's memory is too much, or ``None``.

    Args:
        samples: Measurements, the newest last.
        limit_mb: What it may have.
        growth_mb: What it may grow by over the samples, by their slope: a single peak does not count.
    """
    if not samples:
        return None
    now = samples[-1]
    if limit_mb is not None and now.mb > limit_mb:
        return f"it takes {now.mb:.0f} MB, over its limit of {limit_mb:.0f}"
    if growth_mb is not None and len(samples) >= SAMPLES:
        grown = growth(samples) * (now.runs - samples[0].runs)
        if grown > growth_mb:
            return f"it has grown by {grown:.0f} MB over {now.runs - samples[0].runs:,} runs"
    return None


def limit_of(name: str, limits: Mapping[str, float]) -> float | None:
    """Return a browser's limit: its own, else that of a browser which it stands in for.

    Args:
        name: The browser's name.
        limits: Megabytes by name.
    """
    if name in limits:
        return limits[name]
    return next((limits[wish] for wish, others in STANDINS.items() if name in others and wish in limits), None)


def pressing(available: float, total: float) -> bool:
    """Return whether the machine itself is short of memory; both in the same unit.

    Args:
        available: Memory that is free, in any unit.
        total: All memory, in the same unit.
    """
    return available < RESERVE * total
