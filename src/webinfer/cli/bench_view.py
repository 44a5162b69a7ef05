"""How a benchmark and a comparison look in a terminal, while they run and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from webinfer.bench import Cell, Finding, Record, report
from webinfer.bench.runner import Step
from webinfer.cli.layout import heading
from webinfer.cli.terminal import Terminal

_VERDICTS = {"hardware": "good", "software": "warn", "mixed": "warn", "unproven": "warn"}
_SEVERITIES = {
    "none": "quiet",
    "unclear": "warn",
    "improvement": "good",
    "minor": "bad",
    "moderate": "bad",
    "severe": "bad",
}


class Progress:
    """What a benchmark is at: a table that grows in a terminal, a line per launch elsewhere. Call it with a step.

    Args:
        terminal: Where to draw.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._err = terminal.err
        self._drawn = self._err.is_terminal and not terminal.quiet
        self._silent = terminal.quiet
        self._live = Live(console=self._err, transient=True, refresh_per_second=8)
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        if self._drawn:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._live.stop()

    def __call__(self, step: Step) -> None:
        """Show a step."""
        if self._drawn:
            self._live.update(_drawn(step))
        elif not self._silent and "round" not in step.text and step.text not in self._said:
            self._said.add(step.text)
            self._err.print(Text(f"==> {step.text}"))


def view(record: Record) -> RenderableType:
    """Lay out what a benchmark found."""
    parts: list[RenderableType] = []
    for name in dict.fromkeys(cell.configuration.name for cell in record.measured):
        cells = [cell for cell in record.measured if cell.configuration.name == name]  # a table has no room for names
        speeds = [_styled(report.speed(record, cell), cell)[1:] for cell in cells]
        loads = [_plain(report.loading(cell))[1:] for cell in cells]
        parts += [heading(f"Speed of {name}"), table(report.headings(record)[1:], speeds)]
        parts += [heading(f"Loading {name}"), table(report.LOADING[1:], loads)]
    for name, rates, law, held in report.curves(record):
        told = ", ".join(f"{n} at once {report.figure(rate)} items/s" for n, rate in rates.items())
        parts += [heading(f"Scaling of {name}"), Text(f"  {told}; {report.fitted(law)}")]
        parts.append(Text.assemble("  limited by ", (held.kind, "title"), f": {'; '.join(held.evidence)}"))
    for each in record.together:
        parts.append(heading(f"{len(each.models)} models at once: {each.gain:.2f} times one after the other"))
        columns = (f"{each.place}, {each.lanes} lanes", "Items/s alone", "Items/s together")
        parts.append(table(columns, [_plain(row) for row in report.rates(each)]))
    if absent := report.absences(record):
        parts += [heading("Not measured"), table(("Configuration", "Why"), [_plain(row) for row in absent])]
    notes = dict.fromkeys(cell.note for cell in record.cells if cell.note)
    wide = any(not cell.reached for cell in record.measured)
    last = [
        report.star(record) if wide else None,
        report.noise_line(record),
        *notes,
        f"Kept as {record.id}: webinfer compare takes that name.",
    ]
    return Group(*parts, Text(), *(Text(f"  {line}", style="quiet") for line in last if line))


def findings_view(findings: Sequence[Finding], *, gate: bool = False) -> RenderableType:
    """Lay out what a comparison found; as a gate, with what fails."""
    rows = []
    for each in findings:
        said = each.severity if each.kind == "compared" else each.kind
        style = "bad" if gate and each.fails else _SEVERITIES[each.severity]
        changes = (each.relative, each.raw, each.native)
        rows.append(
            [
                Text(str(each.configuration)),
                Text(said, style=style),
                *(Text(report.percent(change) if change else "–") for change in changes),
                Text(f"{each.counted.p_value:.2g}" if each.counted else "–"),
                Text(report.beyond(each)),
            ]
        )
    columns = (
        "Configuration",
        "Severity",
        "Time against native",
        "Time",
        "Native's own",
        "p-value",
        f"p-value, {report.over(findings)}",
    )
    whys = [Text(f"  {each.configuration}: {each.why}") for each in findings if each.why]
    if gate:
        whys.append(Text(f"  {report.tally(findings)}", style="quiet"))
    return Group(heading("Changes"), table(columns, rows), *whys)


_GAP = 2  # between columns


def table(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> RenderableType:
    """Lay out rows below their headings; words stay whole where the terminal is wide enough for it."""
    return Padding(_Table(columns, rows), (0, 0, 0, 2))


@dataclass(frozen=True)
class _Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        longest = [
            max(map(len, " ".join((column, *(row[number].plain for row in self.rows))).split()), default=0)
            for number, column in enumerate(self.columns)
        ]
        fits = sum(longest) + _GAP * len(longest) <= options.max_width
        made = Table(box=None, padding=(0, _GAP, 0, 0), header_style="label")
        for column, letters in zip(self.columns, longest, strict=True):
            made.add_column(column, overflow="fold", min_width=letters if fits else None)
        for row in self.rows:
            made.add_row(*row)
        yield made


def _drawn(step: Step) -> RenderableType:
    rows = [
        [
            Text(str(cell.configuration)),
            Text(report.milliseconds(cell.interval) + " ms" if cell.interval else cell.status, style="quiet"),
            Text(_margin(cell), style="good" if cell.reached else "warn"),
            Text(f"{len(cell.turns)} rounds", style="quiet"),
        ]
        for cell in step.block
    ]
    return Group(Spinner("dots", Text(step.text), style="label"), table(("", "", "", ""), rows))


def _margin(cell: Cell) -> str:
    if cell.interval is None:
        return ""
    return f"±{cell.interval.margin:.1%}" + (" within one launch" if cell.interval.scope == "within one launch" else "")


def _styled(values: Sequence[str], cell: Cell) -> list[Text]:
    row = _plain(values)
    row[2].stylize(_VERDICTS.get(values[2], ""))
    if cell.agreement is not None and not cell.agreement.passed:
        row[-1].stylize("bad")
    return row


def _plain(values: Sequence[str]) -> list[Text]:
    return [Text(value) for value in values]
