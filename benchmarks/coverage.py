"""What the statistics of benchmarks keep of their promises, on made-up times whose truth is known.

Times have a normal logarithm: one part that a whole launch of a browser has, one of each round. No browser is started,
and every run prints the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import parser, show
from webinfer.bench.runner import interval

ROUNDS, SCATTER = 8, 0.02  # rounds of a launch, and their standard deviation
APART = (0.0, 0.01, 0.02, 0.05, 0.10)  # standard deviations of launches
LAUNCHES = (1, 2, 3, 4, 5)


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


def main(trials: int) -> None:
    intervals(trials)


if __name__ == "__main__":
    main(200 if parser(__doc__).parse_args().quick else 4000)
