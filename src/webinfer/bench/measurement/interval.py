"""Costs of turns, in seconds or in units of native onnxruntime's, and how well their median is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from webinfer.bench.cell import Cell, Turn
from webinfer.bench.record import Method, NativeReference
from webinfer.core.statistics import Interval, over_launches, within_launch


def costs_by_launch(turns: Iterable[Turn]) -> list[list[float]]:
    """Return the costs of turns, by launch.

    Args:
        turns: Turns of one configuration.

    Returns:
        Seconds per item, a list for each launch.
    """
    by_launch: dict[int, list[float]] = {}
    for turn in turns:
        by_launch.setdefault(turn.launch, []).append(turn.cost)
    return [by_launch[launch] for launch in sorted(by_launch)]


def relative_costs_by_launch(turns: Iterable[Turn], reference: NativeReference) -> list[list[float]]:
    """Return the costs of turns in units of native onnxruntime's cost in the same round.

    Args:
        turns: Turns of one configuration.
        reference: Native onnxruntime in the same rounds.

    Returns:
        Ratios, a list for each launch.
    """
    return costs_by_launch(_relative(turns, reference))


def cost_interval(costs: Sequence[Sequence[float]], confidence: float) -> Interval:
    """Return the interval of the median cost.

    With several launches it covers how launches differ. With one launch it covers only that launch.

    Args:
        costs: Costs by launch.
        confidence: Confidence of the interval, from 0 to 1.
    """
    return within_launch(costs[0], confidence) if len(costs) == 1 else over_launches(costs, confidence)


def update_intervals(cells: Sequence[Cell], launch: int, method: Method) -> bool:
    """Update the interval of every cell, and tell whether a launch has enough rounds.

    More rounds narrow the interval within a launch only. They cannot tell how launches differ, so that the interval
    over all launches does not decide here.

    Args:
        cells: Cells that are being measured.
        launch: Number of the current launch.
        method: Margin and confidence.

    Returns:
        Whether every cell's median is known well enough within this launch.
    """
    enough = True
    for cell in cells:
        if not cell.done and cell.turns:
            cell.interval = cost_interval(costs_by_launch(cell.turns), method.confidence)
            cell.reached = cell.interval.is_within(method.margin, method.confidence)
            costs = [turn.cost for turn in cell.turns if turn.launch == launch]
            known = bool(costs) and within_launch(costs, method.confidence).is_within(method.margin, method.confidence)
            enough = enough and known
    return enough


def _relative(turns: Iterable[Turn], reference: NativeReference) -> Iterator[Turn]:
    native = {(turn.launch, turn.round): turn.cost for turn in reference.turns}
    for turn in turns:
        ratio = turn.cost / native[turn.launch, turn.round]
        yield Turn(launch=turn.launch, round=turn.round, seconds=[ratio], elapsed=ratio)
