"""What the statistics of benchmarks keep of their promises, on made-up times whose truth is known.

Times have a normal logarithm: one part that a whole launch of a browser has, one of each round. No browser is started,
and every run prints the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import parser, show
from webinfer.bench.runner import interval
from webinfer.statistics import between

ROUNDS, SCATTER = 8, 0.02  # rounds of a launch, and their standard deviation
APART = (0.0, 0.01, 0.02, 0.05, 0.10)  # standard deviations of launches
LAUNCHES = (1, 2, 3, 4, 5)
LIMIT = 0.10
CHANGES = (0.0, 0.08, 0.10, 0.12, 0.15, 0.20, 0.25)
GATES = ((0.01, 3), (0.02, 3), (0.02, 5), (0.02, 10), (0.05, 5))


def times(
    chance: np.random.Generator, trials: int, launches: int, apart: float, change: float = 0.0
) -> NDArray[np.float64]:
    """Return times by trial, launch and round, whose true median is 1 and the change."""
    levels = chance.normal(0, apart, (trials, launches, 1))
    made: NDArray[np.float64] = (1 + change) * np.exp(levels + chance.normal(0, SCATTER, (trials, launches, ROUNDS)))
    return made


def intervals(trials: int) -> None:
    """Show how often an interval holds the true median of launches at large, and how wide it is."""
    rows = []
    for apart in APART:
        row = [f"{apart:.0%}"]
        for launches in LAUNCHES:
            made = times(np.random.default_rng(1), trials, launches, apart)
            found = [interval(list(each), 0.95) for each in made]
            held = sum(each.low <= 1 <= each.high for each in found) / trials
            row.append(f"{held:.1%}, ±{np.median([each.margin for each in found]):.1%}")
        rows.append(row)
    columns = ["Launches differ by", *("within 1 launch" if n == 1 else f"{n} launches" for n in LAUNCHES)]
    show(
        f"95 % intervals: how often they hold the truth, and their median half-width; {trials:,} trials", columns, rows
    )


def gates(trials: int) -> None:
    """Show how often a change is told, and how often it fails as one beyond the limit."""
    rows = []
    for change in CHANGES:
        row = [f"{change:+.0%}"]
        for apart, launches in GATES:
            chance = np.random.default_rng(2)
            sides = (times(chance, trials, launches, apart, slower) for slower in (0.0, change))
            found = [between(list(a), list(b)) for a, b in zip(*sides, strict=True)]
            told = sum(each.severity() not in ("none", "unclear") for each in found) / trials
            fails = sum(each.p_beyond(LIMIT) < 0.05 for each in found) / trials
            row.append(f"{told:.1%}, {fails:.1%}")
        rows.append(row)
    columns = ["True change", *(f"{launches} launches that differ by {apart:.0%}" for apart, launches in GATES)]
    show(f"Told as a change, and failing as slower by more than {LIMIT:.0%}; {trials:,} trials", columns, rows)


def main(trials: int) -> None:
    intervals(trials)
    gates(trials // 4)


if __name__ == "__main__":
    main(200 if parser(__doc__).parse_args().quick else 4000)
