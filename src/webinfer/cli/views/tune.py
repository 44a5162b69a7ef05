"""Layout of a contest in a terminal, while it runs and after."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.text import Text

from webinfer import Progress, Standing, Tuning, TuningProgress
from webinfer.cli.output.layout import heading, indent
from webinfer.cli.output.progress import Display
from webinfer.cli.output.table import table
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.output.units import duration
from webinfer.core.statistics import Interval


class ContestBar(Display):
    """The progress of a contest: a bar that fills with its budget in a terminal, a line per opening elsewhere.

    Call it with a ``TuningProgress``, from any thread.

    Args:
        terminal: Where to draw.
    """

    def __init__(self, terminal: Terminal) -> None:
        columns = (
            SpinnerColumn(style="label"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30, complete_style="label", finished_style="label", pulse_style="label"),
            TextColumn("{task.fields[amount]}", style="quiet", markup=False),
        )
        super().__init__(terminal.err, columns, silent=terminal.quiet)
        self._last = ""
        self._task = self._bars.add_task("", total=None, amount="")

    def __call__(self, progress: TuningProgress) -> None:
        """Show how far a contest is.

        Args:
            progress: The current step, with the seconds and candidates so far.
        """
        if not progress.budget:
            self.show(progress.text)
            return
        amount = (
            f"{progress.seconds:.0f} of {progress.budget:.0f} s, {progress.left} of {progress.total} candidates left"
        )
        if progress.leader is not None:
            amount += f", {progress.leader} leads"
        spent = min(progress.seconds, progress.budget)
        self._bars.update(self._task, description=progress.text, completed=spent, total=progress.budget, amount=amount)
        if not progress.text.startswith("round"):
            self._line(f"{progress.text} ({amount})")

    def load(self, progress: Progress) -> None:
        """Show a step before the contest, such as the model's load.

        Args:
            progress: The step.
        """
        self.show(progress.stage)

    def show(self, text: str) -> None:
        """Show a step whose length is not known.

        Args:
            text: Description of the step.
        """
        self._bars.update(self._task, description=text, total=None, amount="")
        self._line(text)

    def _line(self, text: str) -> None:
        if not self._drawn and not self._silent and text != self._last:
            self._last = text
            self._console.print(Text(f"==> {text}"), soft_wrap=True)


def view(tuning: Tuning) -> RenderableType:
    """Return the layout of a contest's result: the winner, the standings, and the candidates that were not measured.

    Args:
        tuning: The result.
    """
    measured = [standing for standing in tuning.standings if standing.rounds]
    absent = [standing for standing in tuning.standings if not standing.rounds]
    columns = ("Candidate", "ms per item", "Rounds", "Outcome")
    parts: list[RenderableType] = [
        heading(f"{tuning.name}: {tuning.winner}"),
        indent(f"{milliseconds(tuning.standings[0])} ms per item, {lead(tuning)}"),
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
    return Group(*parts, Text(), indent(Text(f"{closing}{tuning.version}.", style="quiet")))


def lead(tuning: Tuning) -> str:
    """Return by how much the winner won, in words.

    Args:
        tuning: The result.
    """
    if tuning.gain is None or tuning.runner_up is None:
        return "the only one that was measured"
    gain = ratio(tuning.gain)
    if tuning.gain.low <= 1:
        return f"not told apart from the next, {tuning.runner_up}, which takes {gain} times as long"
    return f"{gain} times as fast as the next, {tuning.runner_up}"


def ratio(interval: Interval) -> str:
    """Return a ratio with its interval as text: ``1.80 (1.72–1.89)``.

    Args:
        interval: The ratio and its bounds.
    """
    return f"{interval.estimate:.2f} ({interval.low:.2f}–{interval.high:.2f})"


def milliseconds(standing: Standing) -> str:
    """Return a candidate's time per item with its interval, in milliseconds, as text: ``21.3 (20.9–21.8)``.

    Args:
        standing: How the candidate did; a dash stands for one that was not measured.
    """
    if standing.interval is None:
        return "–"
    interval = standing.interval
    low, middle, high = (f"{value * 1e3:.3g}" for value in (interval.low, interval.estimate, interval.high))
    return f"{middle} ({low}–{high})"


def _row(standing: Standing, *, is_winner: bool) -> list[Text]:
    style = "good" if is_winner else ""
    reason = "it won" if is_winner else standing.reason or "it stayed until the end"
    return [
        Text(str(standing.candidate), style=style),
        Text(milliseconds(standing)),
        Text(str(standing.rounds)),
        Text(reason, style=style),
    ]
