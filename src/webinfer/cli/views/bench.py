"""How a benchmark and a comparison look in a terminal, while they run and after."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
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
from webinfer.cli.output.layout import heading
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.output.units import duration

_VERDICTS = {"hardware": "good", "software": "warn", "mixed": "warn", "unproven": "warn"}
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
        self._said: set[tuple[str, int]] = set()
        self._step = Step("")
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

    def __call__(self, step: Step) -> None:
        """Show a step."""
        self._step = step
        said = (step.text, step.done)
        if self._silent or said in self._said:
            return
        if step.ahead is not None:
            self._err.print(Text(f"==> {step.text}: {_ahead(step)}"), soft_wrap=True)
        elif not self._drawn and "round" not in step.text:
            self._said.add(said)
            self._err.print(Text(f"==> {self._headed()}"), soft_wrap=True)

    @property
    def left(self) -> list[str]:
        """What to say of the rest when it ends here, if it had begun."""
        done, total = self._step.done, self._step.total
        if not total:
            return []
        return [f"{done} of {total} configurations are done: the same command with --resume goes on from there."]

    def _headed(self) -> str:
        """Say what is done, how many of how many are done, and since when."""
        if not self._step.total:
            return self._step.text
        elapsed = duration(self._now() - self._began)
        return f"{self._step.done}/{self._step.total}, {elapsed}: {self._step.text}"

    def frame(self) -> RenderableType:
        """Lay out the latest step."""
        self._spinner.update(text=Text(self._headed(), style="label"))
        return Group(self._spinner, _block(self._step.block))


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
        parts += [heading(f"Scaling of {name}"), _line(f"{told}; {report.fitted(law)}")]
        parts.append(_line(Text.assemble("limited by ", (held.kind, "title"), f": {'; '.join(held.evidence)}")))
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
    return Group(*parts, Text(), *(_line(Text(line, style="quiet")) for line in last if line))


def findings_view(a: Record, b: Record, findings: Sequence[Finding], *, gate: bool = False) -> RenderableType:
    """Lay out what a comparison found; as a gate, with what fails."""
    parts: list[RenderableType] = [heading(f"{b.id} against {a.id}")]
    sure = ("p-value", f"p-value, {report.over(findings)}")
    columns = ("Where", "Verdict", "Time against native", *sure, "Time", "Native's own")
    for name in dict.fromkeys(each.configuration.name for each in findings):
        known = [each for each in findings if each.configuration.name == name]
        parts += [heading(name), table(columns, [_found(each, gate) for each in known])]
        parts += [_line(f"{each.configuration.place}: {each.why}") for each in known if each.why]
    if told := report.outcome(a, b, findings, gate=gate):
        parts += [Text(), *(_line(line) for line in told)]
    return Group(*parts)


def _found(finding: Finding, gate: bool) -> list[Text]:
    style = "bad" if gate and finding.fails else SEVERITIES[finding.severity]
    relative, raw, native = (
        Text(report.percent(change) if change else "–") for change in (finding.relative, finding.raw, finding.native)
    )
    sure = Text(f"{finding.counted.p_value:.2g}" if finding.counted else "–"), Text(report.beyond(finding))
    return [Text(finding.configuration.place), Text(report.said(finding), style=style), relative, *sure, raw, native]


def _line(text: str | Text) -> RenderableType:
    """Lay out a sentence, whose further lines begin where its first does."""
    return Padding(text if isinstance(text, Text) else Text(text), (0, 0, 0, 2))


_GAP = 2  # between columns
_SHORT = 9  # letters of a cell that is never broken
_FIRST = 24  # letters of the first column that are kept together, if it comes to that


def table(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> RenderableType:
    """Lay out rows below their headings. What is too wide goes on below, each part with the first column."""
    return Padding(_Table(columns, rows), (0, 0, 0, 2))


@dataclass(frozen=True)
class _Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        told = [[column, *(row[number].plain for row in self.rows)] for number, column in enumerate(self.columns)]
        words = [max(len(word) for text in texts for word in _words(text)) for texts in told]
        words[0] = min(words[0], _FIRST)
        whole = [max(map(len, texts)) for texts in told]
        for part in _parts(words, options.max_width):
            widths = _widths([words[each] for each in part], [whole[each] for each in part], options.max_width)
            made = Table(box=None, padding=(0, _GAP, 0, 0), header_style="label")
            for number, width in zip(part, widths, strict=True):
                made.add_column(self.columns[number], overflow="fold", width=width)
            for row in self.rows:
                made.add_row(*(row[number] for number in part))
            yield made


def _parts(widths: Sequence[int], room: int) -> list[list[int]]:
    """Divide columns into parts that fit, each of them with the first column."""
    parts = [[0]]
    for number in range(1, len(widths)):
        taken = sum(widths[each] + _GAP for each in parts[-1])
        if len(parts[-1]) > 1 and taken + widths[number] + _GAP > room:
            parts.append([0])
        parts[-1].append(number)
    return parts


def _ahead(step: Step) -> str:
    """Say how much lies ahead, and how long that may take."""
    if not step.total:
        return "no configuration can be measured here"
    left = step.total - step.done
    if not left:
        return "all configurations are done"
    waiting = f"{left} of {step.total} configurations wait" if step.done else _counted(left)
    return f"{waiting}, at most about {duration(step.ahead or 0)} of measuring, loads aside"


def _counted(count: int) -> str:
    return "1 configuration" if count == 1 else f"{count} configurations"


def _words(text: str) -> list[str]:
    """Return what of a cell should stay on one line: words, what stands in brackets, and a figure with its unit."""
    return [text] if len(text) <= _SHORT else re.findall(r"\([^)]*\)|\S+", text)


def _widths(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Return the widths of columns: from what keeps words whole up, first where the least makes the texts whole."""
    widths = list(least)
    for number in sorted(range(len(widths)), key=lambda number: most[number] - least[number]):
        left = max(0, room - sum(widths) - _GAP * len(widths))
        widths[number] += max(0, min(left, most[number] - widths[number]))
    return widths


def _block(cells: Sequence[Cell]) -> RenderableType:
    rows = [
        [
            Text(str(cell.configuration)),
            Text(report.milliseconds(cell.interval) + " ms" if cell.interval else cell.status, style="quiet"),
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


def _styled(values: Sequence[str], cell: Cell) -> list[Text]:
    row = _plain(values)
    row[2].stylize(_VERDICTS.get(values[2], ""))
    if cell.agreement is not None and not cell.agreement.passed:
        row[-1].stylize("bad")
    return row


def _plain(values: Sequence[str]) -> list[Text]:
    return [Text(value) for value in values]
