"""Progress of a command, on standard error: bars in a terminal, one line per step elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.progress_bar import ProgressBar
from rich.text import Text

from webinfer.cli.output.units import seconds, size
from webinfer.core.progress import Progress

_WHOLE = 1  # length of a finished step whose length was unknown


class Display:
    """Bars in a terminal. Subclasses print lines where none are drawn.

    Args:
        console: Where to draw.
        columns: The columns of the bars.
        silent: Draw nothing.
    """

    def __init__(self, console: Console, columns: Sequence[ProgressColumn], *, silent: bool) -> None:
        self._console = console
        self._silent = silent
        self._drawn = console.is_terminal and not silent
        self._bars = Bars(*columns, console=console, transient=True, disable=not self._drawn)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


class Steps(Display):
    """The steps of a command. Call it with a ``Progress``, from any thread.

    Args:
        console: Where to draw.
        silent: Draw nothing.
    """

    def __init__(self, console: Console, *, silent: bool = False) -> None:
        columns = (
            SpinnerColumn(style="label", finished_text="[good]\u2713[/]"),
            TextColumn("{task.description}", markup=False),
            _Bar(bar_width=30, complete_style="label", finished_style="label", pulse_style="label"),
            _Amount(),
        )
        super().__init__(console, columns, silent=silent)
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        """Show the progress of a step, in bytes.

        Args:
            progress: Bytes that are done, and bytes in all.
        """
        if progress.stage not in self._tasks:
            total = progress.total
            self._tasks[progress.stage] = self._begin(
                progress.stage + (f", {size(total)}" if total and not self._drawn else ""), total
            )
        self._bars.update(self._tasks[progress.stage], completed=progress.done, total=progress.total)

    @contextlib.contextmanager
    def step(self, text: str, *, brief: bool = False) -> Iterator[None]:
        """Show a step of unknown length while the block runs.

        Args:
            text: Description of the step.
            brief: Print no line for it where bars cannot be drawn.
        """
        if brief:
            task = self._bars.add_task(text, total=None)
            yield
            self._bars.remove_task(task)
            return
        task = self._begin(text, None)
        yield
        self._bars.update(task, completed=_WHOLE, total=_WHOLE)

    def _begin(self, text: str, total: int | None) -> TaskID:
        if not self._drawn and not self._silent:
            self._console.print(Text(f"==> {text}"))
        return self._bars.add_task(text, total=total)


class _Bar(BarColumn):
    """A bar of bytes, or a moving bar for a step of unknown length."""

    def render(self, task: Task) -> ProgressBar | Text:  # type: ignore[override]  # rich draws whatever it gets
        return Text("") if task.finished and task.total == _WHOLE else super().render(task)


class _Amount(ProgressColumn):
    """The bytes that are done, the bytes in all, and the time of a step."""

    def render(self, task: Task) -> Text:
        parts = [seconds((task.finished_time if task.finished else task.elapsed) or 0.0)]
        if task.total != _WHOLE and task.completed:
            parts.insert(0, size(task.completed) + (f" of {size(task.total)}" if task.total else ""))
        return Text(", ".join(parts), style="quiet")
