"""When rounds are enough, and what that leaves open."""

from __future__ import annotations

import pytest

from webinfer.bench.cell import Cell, Configuration, Turn
from webinfer.bench.measurement.interval import update_intervals
from webinfer.bench.record import Method

METHOD = Method(margin=0.05)


def measured(*levels: float, rounds: int = 8) -> Cell:
    """Return a cell with launches of these levels, whose rounds scatter by some tenths of a percent."""
    cell = Cell(configuration=Configuration(model="m", browser="b", backend="wasm"))
    for launch, level in enumerate(levels):
        for number in range(rounds):
            seconds = level * (1 + 0.001 * (number % 4))
            cell.turns.append(Turn(launch=launch, round=number, seconds=[seconds], elapsed=seconds))
    return cell


def test_rounds_end_when_they_know_the_launch_even_where_launches_differ() -> None:
    cell = measured(0.9, 1.0, 1.1)
    assert update_intervals([cell], 2, METHOD)
    assert not cell.reached
    assert cell.interval is not None
    assert cell.interval.low < 0.9 < 1.1 < cell.interval.high


def test_launches_that_agree_reach_what_was_asked_for() -> None:
    cell = measured(1.0, 1.002, 0.999)
    assert update_intervals([cell], 2, METHOD)
    assert cell.reached


@pytest.mark.parametrize(
    "cell", [measured(1.0, rounds=5), measured(1.0)], ids=["five rounds", "no round of this launch"]
)
def test_rounds_go_on_while_too_few_are_there_to_say_anything(cell: Cell) -> None:
    assert not update_intervals([cell], 0 if len(cell.turns) == 5 else 1, METHOD)
    assert cell.reached == (len(cell.turns) == 8)


def test_one_wide_configuration_keeps_rounds_going_for_all() -> None:
    wide = measured(1.0)
    for turn in wide.turns[::2]:
        turn.seconds = [1.5]
    assert not update_intervals([measured(1.0), wide], 0, METHOD)
