from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Task, TaskID

from webinfer.cli.output.progress import Steps, _Amount
from webinfer.cli.output.terminal import THEME, console
from webinfer.core.progress import Progress


def drawn(steps: Steps) -> None:
    with steps:
        steps(Progress("fetch model[1]", 0, 2_000_000))
        steps(Progress("fetch model[1]", 2_000_000, 2_000_000))
        with steps.step("start the browser"):
            steps(Progress("load", 10, None))
        with steps.step("ask", brief=True):
            pass


def test_a_pipe_gets_one_line_for_each_step() -> None:
    file = io.StringIO()
    drawn(Steps(console(file)))
    assert file.getvalue() == "==> fetch model[1], 2.00 MB\n==> start the browser\n==> load\n"


def test_silent_steps_print_nothing() -> None:
    file = io.StringIO()
    drawn(Steps(console(file), silent=True))
    assert file.getvalue() == ""


def test_a_terminal_gets_bars_that_leave_nothing_behind() -> None:
    file = io.StringIO()
    with Steps(Console(file=file, theme=THEME, force_terminal=True, width=100)) as steps:
        steps(Progress("fetch", 500_000, 2_000_000))
    text = file.getvalue()
    assert "fetch" in text
    assert "500 kB of 2.00 MB" in text
    assert text.endswith("\x1b[2K")  # the last thing is to wipe the bar


@pytest.mark.parametrize("brief", [True, False])
def test_an_exception_in_a_step_gets_through(brief: bool) -> None:
    steps = Steps(console(io.StringIO()))
    with pytest.raises(ZeroDivisionError), steps, steps.step("fail", brief=brief):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("total", "done", "text"),
    [
        (1, 1, "2.00 s"),
        (None, 0, "9.00 s"),
        (2e6, 5e5, "500 kB of 2.00 MB, 9.00 s"),
        (2e6, 2e6, "2.00 MB of 2.00 MB, 2.00 s"),
    ],
)
def test_a_finished_step_keeps_its_own_time(total: float | None, done: float, text: str) -> None:
    ended = 2.0 if done == total else None
    task = Task(TaskID(0), "step", total, done, finished_time=ended, _get_time=lambda: 9.0)
    task.start_time = 0.0
    assert _Amount().render(task).plain == text
