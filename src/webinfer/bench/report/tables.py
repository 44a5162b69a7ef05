"""A benchmark as rows of text, which Markdown and the terminal lay out in their own ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from webinfer.bench.cell import Cell, LoadTimes
from webinfer.bench.measurement.interval import cost_interval, relative_costs_by_launch
from webinfer.bench.record import ConcurrentRates, Record
from webinfer.bench.report.numbers import NONE, format_figure, format_median, format_milliseconds
from webinfer.core.statistics import Interval, Limit, Occupancy, Scaling, limit, outliers, scaling
from webinfer.core.statistics.interval import spread

SPEED = ("Model", "Where", "Verdict", "ms per item", "Items/s", "Of native", "p95 ms", "Outliers", "Answers")
LOADING = ("Model", "Where", "Start", "Cold", "Warm", "Cached", "First run, cold", "First run, warm", "Memory")
_WITH_INTERVAL = ("ms per item", "Of native")


@dataclass(frozen=True, slots=True)
class ScalingCurve:
    """Throughput of one configuration by the number of requests at once.

    Attributes:
        name: The configuration, without its concurrency.
        rates: Items per second by concurrency.
        law: The fitted scaling law; ``None`` for fewer than three concurrencies.
        limit: What limits the highest concurrency.
    """

    name: str
    rates: dict[int, float]
    law: Scaling | None
    limit: Limit


def speed_headings(record: Record) -> tuple[str, ...]:
    """Return the headings of ``speed_row``. They say so if the intervals are those of one launch.

    Args:
        record: The benchmark.
    """
    if record.method.launches > 1:
        return SPEED
    return tuple(f"{name}, within one launch" if name in _WITH_INTERVAL else name for name in SPEED)


def speed_row(record: Record, cell: Cell) -> list[str]:
    """Return a row about the speed of one configuration.

    Args:
        record: The benchmark.
        cell: A measured configuration.

    Returns:
        Texts below ``speed_headings``.
    """
    times = [seconds for turn in cell.turns for seconds in turn.seconds]
    interval = cell.interval
    star = "" if cell.reached else "*"
    return [
        cell.configuration.name,
        cell.configuration.place,
        cell.verdict or NONE,
        format_milliseconds(interval, star, _low_confidence(interval, record) if interval else ""),
        format_figure(1 / interval.estimate) if interval else NONE,
        _share_of_native(record, cell),
        format_figure(float(np.quantile(times, 0.95)) * 1e3),
        f"{outliers(times).sum()} of {len(times)}",
        describe_answers(cell),
    ]


def loading_row(cell: Cell) -> list[str]:
    """Return a row about the loading of one configuration.

    Args:
        cell: A measured configuration.

    Returns:
        Texts below ``LOADING``.
    """

    def load_time(loads: Sequence[LoadTimes]) -> str:
        return format_median([load.seconds for load in loads])

    def first_run(loads: Sequence[LoadTimes]) -> str:
        return format_median([load.first_run for load in loads])

    return [
        cell.configuration.name,
        cell.configuration.place,
        format_median(cell.starts),
        load_time(cell.cold),
        load_time(cell.warm),
        load_time(cell.cached),
        first_run(cell.cold),
        first_run(cell.warm),
        f"{cell.memory_mb:.0f} MB" if cell.memory_mb else NONE,
    ]


def describe_answers(cell: Cell) -> str:
    """Compare a configuration's answers with native onnxruntime's, in words.

    Args:
        cell: A measured configuration.

    Returns:
        Text such as ``within 1e-06``.
    """
    agreement = cell.agreement
    if agreement is None:
        return "not checked"
    hashes = {turn.digest for turn in cell.turns}
    repeated = "" if len(hashes) <= 1 else f", {len(hashes)} different hashes"
    if agreement.digest == agreement.native:
        return f"equal to the bit{repeated}"
    if not agreement.passed:
        return f"WRONG: {agreement.fault}"
    return f"within {agreement.difference:.1g}{repeated}"


def scaling_curves(record: Record) -> list[ScalingCurve]:
    """Return a curve for each configuration that was measured at several concurrencies.

    Args:
        record: The benchmark.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in record.measured:
        configuration = cell.configuration
        name = f"{configuration.name}, {configuration.backend} in {configuration.browser}"
        groups.setdefault(name, []).append(cell)
    curves = []
    for name, cells in groups.items():
        rates = {cell.configuration.concurrency: 1 / cell.interval.estimate for cell in cells if cell.interval}
        if len(rates) > 1:
            most = max(cells, key=lambda cell: cell.configuration.concurrency)
            curves.append(ScalingCurve(name, dict(sorted(rates.items())), scaling(rates), limit(_load(most))))
    return curves


def describe_law(law: Scaling | None) -> str:
    """Return a scaling law in words, and how well it fits if that can be tested.

    Args:
        law: The law; ``None`` if there are too few concurrencies.
    """
    if law is None:
        return "no law: it needs three concurrencies"
    fit = "it fits exactly, so that nothing tests it" if law.error is None else f"off by {law.error:.1%} at most"
    return f"contention {law.contention:.3f}, crosstalk {law.crosstalk:.4f}, {fit}"


def concurrent_headings(rates: ConcurrentRates) -> tuple[str, ...]:
    """Return the headings of ``concurrent_rows``.

    Args:
        rates: Rates of models that ran at once.
    """
    return f"{rates.place}, {rates.lanes} lanes", "Items/s alone", "Items/s together"


def concurrent_rows(rates: ConcurrentRates) -> list[list[str]]:
    """Return a row for each model: its rate alone, and beside the others.

    Args:
        rates: Rates of models that ran at once.

    Returns:
        Texts below ``concurrent_headings``.
    """
    rows = zip(rates.models, rates.alone, rates.together, strict=True)
    return [[model, format_figure(alone), format_figure(together)] for model, alone, together in rows]


def absent_rows(record: Record) -> list[list[str]]:
    """Return the configurations that were not measured, grouped by the reason.

    Args:
        record: The benchmark.

    Returns:
        Rows of the configurations and the reason.
    """
    by_reason: dict[str, list[Cell]] = {}
    for cell in record.cells:
        if cell.status != "measured":
            by_reason.setdefault(cell.why or "not done yet: --resume continues", []).append(cell)
    return [[_join_names(cells), why] for why, cells in by_reason.items()]


def describe_star(record: Record) -> str:
    """Return a sentence that explains the star at a figure.

    Args:
        record: The benchmark.
    """
    return f"* The interval is wider than ±{record.method.margin:.0%}."


def describe_noise(record: Record) -> str | None:
    """Describe how steady the machine was, from the fixed piece of work in every round.

    Args:
        record: The benchmark.

    Returns:
        A sentence; ``None`` for fewer than two rounds.
    """
    times = record.yardstick
    if len(times) < 2:
        return None
    middle = median(times)
    return (
        f"The machine's noise: a fixed piece of work scattered by {spread(times) / middle:.1%} over {len(times)} "
        f"rounds. Its slowest run took {max(times) / middle:.2f} times the median."
    )


def _share_of_native(record: Record, cell: Cell) -> str:
    """Return the throughput in units of native onnxruntime's, as text."""
    reference = record.reference(cell)
    if reference is None:
        return NONE
    relative = cost_interval(relative_costs_by_launch(cell.turns, reference), record.method.confidence)
    # Throughput is the reciprocal of time, so the bounds change places.
    low, middle, high = (1 / value for value in (relative.high, relative.estimate, relative.low))
    return f"{middle:.3f} ({low:.3f}–{high:.3f}{_low_confidence(relative, record)})"


def _low_confidence(interval: Interval, record: Record) -> str:
    """Return the confidence of an interval as text, if there are too few measurements for the requested one."""
    return f" at {interval.confidence:.0%}" if interval.confidence < record.method.confidence else ""


def _load(cell: Cell) -> Occupancy:
    def middle(share: Callable[..., float | None]) -> float:
        values = [value for turn in cell.turns if (value := share(turn)) is not None]
        return float(median(values)) if values else 0.0

    return Occupancy(
        cores=middle(lambda turn: turn.cores),
        python=middle(lambda turn: turn.python),
        lanes=middle(lambda turn: turn.lanes),
        transfer=middle(lambda turn: turn.transfer),
        hardware=cell.verdict == "hardware",
    )


def _join_names(cells: Sequence[Cell]) -> str:
    """Return the names of several configurations in one short text."""
    if len(cells) == 1:
        return str(cells[0].configuration)
    names = []
    for part in ("model", "precision", "backend", "browser"):
        values = list(dict.fromkeys(getattr(cell.configuration, part) for cell in cells))
        names.append(", ".join(values[:4]) + (f" and {len(values) - 4} more" if len(values) > 4 else ""))
    return f"{names[0]} ({names[1]}); {names[2]} in {names[3]}"
