"""Layout of the atlas: its surveys, the rows of an operator, what changed, and the progress of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from webinfer import WebinferError
from webinfer.api.services.atlas import OUTCOMES, AtlasDifference, AtlasRow, Step, Survey
from webinfer.cli.output.layout import heading, pairs
from webinfer.cli.output.table import table
from webinfer.cli.output.terminal import Terminal

STYLES = {"right": "good", "fallback": "label", "wrong": "bad", "refused": "warn", "kills": "bad"}
_EVERY = 200  # cases between lines where no bar can be drawn
_MOST = 40  # changes shown of a survey; --json has all


class SurveyBar:
    """The progress of a run: a bar in a terminal, a line now and then elsewhere.

    Args:
        terminal: Where to draw.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._console = terminal.err
        self._silent = terminal.quiet
        self._drawn = self._console.is_terminal and not terminal.quiet
        self._where = ""
        self._counts: dict[str, int] = {}
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

    def begin(self, where: str, total: int) -> None:
        """Show that a backend's cases begin.

        Args:
            where: The browser and backend.
            total: How many cases there are.
        """
        self._where, self._counts = where, {}
        self._bars.update(self._task, description=where, completed=0, total=total, amount="")
        self._line(f"{where}, {total} cases")

    def show(self, step: Step) -> None:
        """Show how far it is.

        Args:
            step: The case that came last.
        """
        if step.verdict is not None:
            self._counts[step.verdict.outcome] = self._counts.get(step.verdict.outcome, 0) + 1
        counts = ", ".join(f"{self._counts[outcome]} {outcome}" for outcome in OUTCOMES if outcome in self._counts)
        amount = f"{step.done} of {step.total}" + (f": {counts}" if counts else "")
        self._bars.update(self._task, completed=step.done, amount=amount)
        if step.done % _EVERY == 0:
            self._line(f"{self._where}, {amount}")

    def _line(self, text: str) -> None:
        if not self._drawn and not self._silent:
            self._console.print(Text(f"==> {text}"), soft_wrap=True)


def surveys_view(surveys: Sequence[Survey], failures: Mapping[str, WebinferError] | None = None) -> RenderableType:
    """Lay out surveys with their counts.

    Args:
        surveys: The surveys.
        failures: Why there is none, by browser and backend.

    Returns:
        Something to print.
    """
    parts: list[RenderableType] = []
    if surveys:
        rows = [_survey(survey) for survey in sorted(surveys, key=lambda survey: survey.ground.key)]
        parts.append(table(["survey", *OUTCOMES, "version", "date"], rows))
    else:
        parts.append(Text("  The atlas is empty: run `webinfer atlas run`.", style="warn"))
    if failures:
        parts.append(pairs([(f"  {where}", Text(str(error), style="warn")) for where, error in failures.items()]))
    return Padding(Group(*parts), (1, 0, 1, 0), expand=False)


def _survey(survey: Survey) -> list[Text]:
    counts, ground = survey.counts(), survey.ground
    cells = [Text(str(counts[outcome]), style=STYLES[outcome] if counts[outcome] else "quiet") for outcome in OUTCOMES]
    return [Text(ground.name), *cells, Text(ground.engine_version), Text(ground.at[:10], style="quiet")]


def rows_view(rows: Sequence[AtlasRow]) -> RenderableType:
    """Lay out the rows of an operator, survey by survey.

    Args:
        rows: The rows.

    Returns:
        Something to print.
    """
    parts: list[RenderableType] = []
    for name in dict.fromkeys(row.ground.name for row in rows):
        parts.append(heading(f"  {name}"))
        for row in (row for row in rows if row.ground.name == name):
            outcome = row.verdict.outcome
            about = ", ".join(f"{key}={value}" for key, value in row.case.facts.attributes.items())
            parts.append(
                Padding(
                    Text.assemble(
                        (f"{outcome:9}", STYLES[outcome]), f"{row.case.name}  ", (about, "quiet"),
                        f"  {row.verdict.note}" if row.verdict.note else "",
                    ),
                    (0, 0, 0, 4),
                )
            )  # fmt: skip
    return Padding(Group(*parts), (0, 0, 1, 0), expand=False)


def differences_view(differences: Sequence[AtlasDifference]) -> RenderableType:
    """Lay out what changed between surveys.

    Args:
        differences: One for each pair of surveys.

    Returns:
        Something to print.
    """
    parts: list[RenderableType] = []
    for one in differences:
        before, after = one.before, one.after
        broke = sum(change.direction == "broke" for change in one.changes)
        parts.append(heading(f"  {before.name} {before.engine_version} → {after.name} {after.engine_version}"))
        summary = f"{one.both} cases in both, {broke} broke, {len(one.changes) - broke} mended"
        parts.append(Text(f"  {summary}", style="bad" if broke else "good"))
        for change in sorted(one.changes, key=lambda change: change.direction)[:_MOST]:
            style = "bad" if change.direction == "broke" else "good"
            words = f"{change.before.outcome} → {change.after.outcome}"
            note = f"  {change.after.note}" if change.after.note else ""
            parts.append(Text.assemble("    ", (f"{change.direction:7}", style), f"{change.case.name}  {words}{note}"))
        if len(one.changes) > _MOST:
            parts.append(Text(f"    and {len(one.changes) - _MOST} more: --json has all", style="quiet"))
    return Padding(Group(*parts), (0, 0, 1, 0), expand=False)
