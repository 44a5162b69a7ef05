"""How a contest looks in a terminal, while it runs and after."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from webinfer import Progress, Standing, Tuning, TuningProgress
from webinfer.cli.output.layout import heading
from webinfer.cli.output.table import table
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.output.units import duration
from webinfer.core.statistics import Interval


class ContestBar:
    """The progress of a contest: a bar that fills with its budget in a terminal, a line per opening elsewhere.

    Call it with a ``TuningProgress``, from any thread.

    Args:
        terminal: Where to draw.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._console = terminal.err
        self._silent = terminal.quiet
        self._drawn = self._console.is_terminal and not terminal.quiet
        self._last = ""
        self._bars = Bars(
            SpinnerColumn(style="label"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30, complete_style="label", finished_style="label", pulse_style="label"),
            TextColumn("{task.fields[amount]}", style="quiet", markup=False),
            console=self._console,
            transient=True,
            disable=not self._drawn,
        )
        self._task = self._bars.add_task("", total=None, amount="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, progress: TuningProgress) -> None:
        """Show how far a contest is."""
        if not progress.budget:
            self.show(progress.text)
            return
        amount = f"{progress.seconds:.0f} of {progress.budget:.0f} s, {progress.left} of {progress.total} are in"
        if progress.leader is not None:
            amount += f", {progress.leader} leads"
        spent = min(progress.seconds, progress.budget)
        self._bars.update(self._task, description=progress.text, completed=spent, total=progress.budget, amount=amount)
        if not progress.text.startswith("round"):
            self._line(f"{progress.text} ({amount})")

    def load(self, progress: Progress) -> None:
        """Show a step before the contest; see ``webinfer.cli.output.progress.Steps``."""
        self.show(progress.stage)

    def show(self, text: str) -> None:
        """Show a step whose length is not known."""
        self._bars.update(self._task, description=text, total=None, amount="")
        self._line(text)

    def _line(self, text: str) -> None:
        if not self._drawn and not self._silent and text != self._last:
            self._last = text
            self._console.print(Text(f"==> {text}"), soft_wrap=True)


def view(tuning: Tuning) -> RenderableType:
    """Lay out what a contest found: the winner, how everyone did, and who could not take part.

    Args:
        tuning: The result.

    Returns:
        Tables and sentences, to be printed.
    """
    measured = [standing for standing in tuning.standings if standing.rounds]
    absent = [standing for standing in tuning.standings if not standing.rounds]
    columns = ("Candidate", "ms per item", "Rounds", "Left because")
    parts: list[RenderableType] = [
        heading(f"{tuning.name}: {tuning.winner}"),
        _line(f"{milliseconds(tuning.standings[0])} ms per item, {lead(tuning)}"),
        heading("Standings"),
        table(columns, [_row(standing, is_winner=standing.candidate == tuning.winner) for standing in measured]),
    ]
    if absent:
        grouped: dict[str, list[str]] = {}
        for standing in absent:
            grouped.setdefault(standing.reason or "", []).append(str(standing.candidate))
        rows = [[Text("; ".join(names)), Text(why)] for why, names in grouped.items()]
        parts += [heading("Not measured"), table(("Candidates", "Why"), rows)]
    closing = f"It took {duration(tuning.cost)}. auto takes the winner from now on, as long as its browser stays at "
    return Group(*parts, Text(), _line(Text(f"{closing}{tuning.version}.", style="quiet")))


def lead(tuning: Tuning) -> str:
    """Return by how much the winner won."""
    if tuning.gain is None or tuning.runner_up is None:
        return "the only one that was measured"
    gain = ratio(tuning.gain)
    if tuning.gain.low <= 1:
        return f"not told apart from the next, {tuning.runner_up}, which takes {gain} times as long"
    return f"{gain} times as fast as the next, {tuning.runner_up}"


def ratio(interval: Interval) -> str:
    """Return a ratio with its interval: ``1.80 (1.72–1.89)``."""
    return f"{interval.estimate:.2f} ({interval.low:.2f}–{interval.high:.2f})"


def milliseconds(standing: Standing) -> str:
    """Return a candidate's time with its interval, in milliseconds."""
    if standing.interval is None:
        return "–"
    low, middle, high = (f"{value * 1e3:.3g}" for value in _ends(standing.interval))
    return f"{middle} ({low}–{high})"


def _ends(interval: Interval) -> Sequence[float]:
    return interval.low, interval.estimate, interval.high


def _row(standing: Standing, *, is_winner: bool) -> list[Text]:
    style = "good" if is_winner else ""
    reason = "it won" if is_winner else standing.reason or "it was in until the end"
    return [
        Text(str(standing.candidate), style=style),
        Text(milliseconds(standing)),
        Text(str(standing.rounds)),
        Text(reason, style=style),
    ]


def _line(text: str | Text) -> RenderableType:
    return Padding(text if isinstance(text, Text) else Text(text), (0, 0, 0, 2))
