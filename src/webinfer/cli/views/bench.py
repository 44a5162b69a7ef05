"""Layout of a benchmark and a comparison in a terminal, while they run and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from webinfer.bench import Cell, Finding, Record, exit_code
from webinfer.bench.measurement.runner import BenchmarkStep
from webinfer.bench.report.comparison import (
    comparison_headings,
    comparison_row,
    describe_outcome,
    describe_title,
    explain_columns,
)
from webinfer.bench.report.numbers import format_figure, format_milliseconds
from webinfer.bench.report.tables import (
    LOADING,
    absent_rows,
    concurrent_headings,
    concurrent_rows,
    describe_law,
    describe_noise,
    describe_star,
    loading_row,
    scaling_curves,
    speed_headings,
    speed_row,
)
from webinfer.bench.run import SOFTWARE
from webinfer.cli.output.layout import VERDICT_STYLES, heading, indent
from webinfer.cli.output.table import table
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.output.units import duration

SEVERITIES = {
    "none": "quiet",
    "unclear": "warn",
    "improvement": "good",
    "minor": "bad",
    "moderate": "bad",
    "severe": "bad",
}


class BenchmarkProgress:
    """Shows how far a benchmark is: a growing table in a terminal, a line for each launch elsewhere.

    Both say how many configurations are done, and how long it took. Call it with a step.

    Args:
        terminal: Where to draw.
        now: The clock, in seconds.
    """

    def __init__(self, terminal: Terminal, now: Callable[[], float] = time.perf_counter) -> None:
        self._err = terminal.err
        self._drawn = self._err.is_terminal and not terminal.quiet
        self._silent = terminal.quiet
        self._printed: set[tuple[str, int]] = set()
        self._step = BenchmarkStep("")
        self._now = now
        self._began = now()
        self._spinner = Spinner("dots", style="label")
        self._live = Live(console=self._err, get_renderable=self.frame, transient=True, refresh_per_second=8)

    def __enter__(self) -> Self:
        if self._drawn:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._live.stop()

    def __call__(self, step: BenchmarkStep) -> None:
        """Show a step.

        Args:
            step: The current step.
        """
        self._step = step
        key = (step.text, step.done)
        if self._silent or key in self._printed:
            return
        if step.ahead is not None:
            self._err.print(Text(f"==> {step.text}: {_ahead(step)}"), soft_wrap=True)
        elif not self._drawn and "round" not in step.text:
            self._printed.add(key)
            self._err.print(Text(f"==> {self._line()}"), soft_wrap=True)

    @property
    def left(self) -> list[str]:
        """A sentence for an interrupted benchmark: how much is done, and how to continue."""
        done, total = self._step.done, self._step.total
        if not total:
            return []
        return [f"{done} of {total} configurations are done. The same command with --resume continues."]

    def _line(self) -> str:
        """Return the step, with the number of finished configurations and the time so far."""
        if not self._step.total:
            return self._step.text
        elapsed = duration(self._now() - self._began)
        return f"{self._step.done}/{self._step.total}, {elapsed}: {self._step.text}"

    def frame(self) -> RenderableType:
        """Return the layout of the latest step."""
        self._spinner.update(text=Text(self._line(), style="label"))
        return Group(self._spinner, _block(self._step.block))


def view(record: Record) -> RenderableType:
    """Return the layout of a benchmark's figures.

    Args:
        record: The benchmark.
    """
    parts: list[RenderableType] = []
    for name in dict.fromkeys(cell.configuration.name for cell in record.measured):
        # The heading has the model's name, because a terminal's table is too narrow for it.
        cells = [cell for cell in record.measured if cell.configuration.name == name]
        parts += [
            heading(f"Speed of {name}"),
            table(speed_headings(record)[1:], [_speed(record, cell) for cell in cells]),
        ]
        parts += [heading(f"Loading {name}"), table(LOADING[1:], [_plain(loading_row(cell)[1:]) for cell in cells])]
    for curve in scaling_curves(record):
        rates = ", ".join(f"{count} at once {format_figure(rate)} items/s" for count, rate in curve.rates.items())
        parts += [heading(f"Scaling of {curve.name}"), indent(f"{rates}; {describe_law(curve.law)}")]
        limit = ("limited by ", (curve.limit.kind, "title"), f": {'; '.join(curve.limit.evidence)}")
        parts.append(indent(Text.assemble(*limit)))
    for concurrent in record.together:
        count = len(concurrent.models)
        parts.append(heading(f"{count} models at once: {concurrent.gain:.2f} times the work of one after the other"))
        parts.append(table(concurrent_headings(concurrent), [_plain(row) for row in concurrent_rows(concurrent)]))
    if absent := absent_rows(record):
        parts += [heading("Not measured"), table(("Configuration", "Why"), [_plain(row) for row in absent])]
    notes = [
        describe_star(record) if any(not cell.reached for cell in record.measured) else None,
        describe_noise(record),
        *dict.fromkeys(cell.note for cell in record.cells if cell.note),
        f"Saved as {record.id}. To compare it with another one: webinfer compare NAME {record.id}",
        "The exit code is 2, because only software computed." if exit_code(record) == SOFTWARE else None,
    ]
    return Group(*parts, Text(), *(indent(Text(note, style="quiet")) for note in notes if note))


def comparison_view(a: Record, b: Record, findings: Sequence[Finding], *, gate: bool = False) -> RenderableType:
    """Return the layout of a comparison: a table for each model, the outcome, and what the columns mean.

    Args:
        a: The earlier benchmark.
        b: The later one.
        findings: What the comparison found.
        gate: Whether configurations can fail.
    """
    parts: list[RenderableType] = [heading(describe_title(a, b))]
    columns = comparison_headings(findings)
    for name in dict.fromkeys(finding.configuration.name for finding in findings):
        of_model = [finding for finding in findings if finding.configuration.name == name]
        parts += [heading(name), table(columns, [_comparison(finding, gate) for finding in of_model])]
        parts += [indent(f"{finding.configuration.place}: {finding.why}") for finding in of_model if finding.why]
    parts += [Text(), *(indent(line) for line in describe_outcome(a, b, findings, gate=gate))]
    if explanations := explain_columns(findings):
        parts += [Text(), *(indent(Text(line, style="quiet")) for line in explanations)]
    return Group(*parts)


def _comparison(finding: Finding, gate: bool) -> list[Text]:
    row = _plain(comparison_row(finding))
    row[1].stylize("bad" if gate and finding.fails else SEVERITIES[finding.severity])
    return row


def _ahead(step: BenchmarkStep) -> str:
    """Return how many configurations wait, and how long they may take, in words."""
    if not step.total:
        return "no configuration can be measured here"
    left = step.total - step.done
    if not left:
        return "all configurations are done"
    waiting = f"{left} of {step.total} configurations wait" if step.done else _counted(left)
    return f"{waiting}, at most about {duration(step.ahead or 0)} of measuring, without loads"


def _counted(count: int) -> str:
    return "1 configuration" if count == 1 else f"{count} configurations"


def _block(cells: Sequence[Cell]) -> RenderableType:
    rows = [
        [
            Text(str(cell.configuration)),
            Text(format_milliseconds(cell.interval) + " ms" if cell.interval else cell.status, style="quiet"),
            Text(_margin(cell), style="good" if cell.reached else "warn"),
            Text(f"{len(cell.turns)} rounds", style="quiet"),
        ]
        for cell in cells
    ]
    return table(("", "", "", ""), rows)


def _margin(cell: Cell) -> str:
    if cell.interval is None:
        return ""
    return f"±{cell.interval.margin:.1%}" + (" within one launch" if cell.interval.scope == "within one launch" else "")


def _speed(record: Record, cell: Cell) -> list[Text]:
    values = speed_row(record, cell)
    row = _plain(values)
    row[2].stylize(VERDICT_STYLES.get(values[2], ""))
    if cell.agreement is not None and not cell.agreement.passed:
        row[-1].stylize("bad")
    return row[1:]


def _plain(values: Sequence[str]) -> list[Text]:
    return [Text(value) for value in values]
