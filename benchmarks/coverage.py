"""What the statistics of benchmarks keep of their promises, on made-up times whose truth is known.

Times have a normal logarithm: one part that a whole launch of a browser has, one of each round. No browser is started,
and every run prints the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import parser, show
from webinfer.bench.measurement.interval import cost_interval
from webinfer.core.statistics import between, changes

ROUNDS, SCATTER = 8, 0.02  # rounds of a launch, and their standard deviation
APART = (0.0, 0.01, 0.02, 0.05, 0.10)  # standard deviations of launches
LAUNCHES = (1, 2, 3, 4, 5)
LIMIT = 0.10
CHANGES = (0.0, 0.08, 0.10, 0.12, 0.15, 0.20, 0.25)
GATES = ((0.01, 3), (0.02, 3), (0.02, 5), (0.02, 10), (0.05, 5))
STEPS = ((0.02, 3), (0.02, 5), (0.02, 10), (0.05, 5), (0.05, 10))  # scatter of benchmarks, how many before the step
AFTER = (2, 3, 4, 5, 6, 8, 10)
LENGTHS = (6, 8, 10, 15, 30)

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]


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
            found = [cost_interval(list(costs), 0.95) for costs in made]
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


def steps(trials: int) -> None:
    """Show how often a history tells a step of 15 %, at its place, by how many benchmarks follow."""
    rows = []
    for scatter, before in STEPS:
        row = [f"{scatter:.0%}, after {before}"]
        for after in AFTER:
            chance = np.random.default_rng(3)
            levels = np.where(np.arange(before + after) < before, 1.0, 1.15)
            histories = levels * chance.lognormal(0, scatter, (trials, before + after))
            found = [changes(each, seed=trial) for trial, each in enumerate(histories)]
            row.append(f"{sum([each.index for each in every] == [before] for every in found) / trials:.0%}")
        rows.append(row)
    show(f"A step of 15 % told, by benchmarks that follow; {trials:,} trials", ["Scatter", *map(str, AFTER)], rows)


def alarms(trials: int) -> None:
    """Show how often a history without a change shows one."""
    kinds: dict[str, Draw] = {
        "normal, 5 %": lambda chance, shape: np.exp(chance.normal(0, 0.05, shape)),
        "Student's t of 3, 5 %": lambda chance, shape: np.exp(0.05 * chance.standard_t(3, shape)),
        "one in seven some 20 to 200 % slower": lambda chance, shape: (
            np.exp(chance.normal(0, 0.02, shape))
            * np.where(chance.random(shape) < 1 / 7, chance.uniform(1.2, 3, shape), 1.0)
        ),
        "either of two speeds, 15 % apart": lambda chance, shape: (
            np.exp(chance.normal(0, 0.01, shape)) * np.where(chance.random(shape) < 0.5, 1.15, 1.0)
        ),
    }
    rows = []
    for kind, draw in kinds.items():
        row = [kind]
        for count in LENGTHS:
            histories = draw(np.random.default_rng(4), (trials, count))
            shown = sum(bool(changes(each, margin=0.0, seed=trial)) for trial, each in enumerate(histories))
            row.append(f"{shown / trials:.1%}")
        rows.append(row)
    show(f"False changes, by benchmarks in a history; {trials:,} trials", ["Times", *map(str, LENGTHS)], rows)


def main(trials: int) -> None:
    intervals(trials)
    gates(trials // 4)
    steps(trials // 10)
    alarms(trials // 4)


if __name__ == "__main__":
    main(200 if parser(__doc__).parse_args().quick else 4000)
