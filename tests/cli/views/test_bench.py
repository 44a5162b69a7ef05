"""How far a benchmark is, in a terminal and in a log."""

from __future__ import annotations

import io
import itertools

import pytest
from rich.console import Console
from rich.text import Text

from tests.bench.records import WASM, record
from webinfer.bench import Cell, exit_code
from webinfer.bench.measurement.runner import BenchmarkStep
from webinfer.cli.output.table import table
from webinfer.cli.output.terminal import THEME, Terminal
from webinfer.cli.views.bench import BenchmarkProgress, view

STEPS = (
    BenchmarkStep("look at embedded"),
    BenchmarkStep("start b", total=36, ahead=1600),
    BenchmarkStep("find m", total=36),
    BenchmarkStep("find m", total=36),
    BenchmarkStep("launch 1: m, wasm in embedded", total=36),
    BenchmarkStep("launch 1, round 1", total=36),
    BenchmarkStep("saved m", done=3, total=36),
)


def test_where_nothing_can_be_drawn_lines_say_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    minutes = itertools.count(0, 60)  # one passes with every look at the clock
    with BenchmarkProgress(Terminal(), lambda: next(minutes)) as progress:
        for step in STEPS:
            progress(step)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "==> look at embedded",
        "==> start b: 36 configurations, at most about 26 min 40 s of measuring, without loads",
        "==> 0/36, 1 min 0 s: find m",
        "==> 0/36, 2 min 0 s: launch 1: m, wasm in embedded",
        "==> 3/36, 3 min 0 s: saved m",
    ]


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (
            BenchmarkStep("resume b", done=24, total=36, ahead=60),
            "12 of 36 configurations wait, at most about 1 min 0 s of",
        ),
        (
            BenchmarkStep("start b", total=1, ahead=45),
            "1 configuration, at most about 45 s of measuring, without loads",
        ),
        (BenchmarkStep("start b", ahead=0), "start b: no configuration can be measured here"),
        (BenchmarkStep("resume b", done=2, total=2, ahead=0), "resume b: all configurations are done"),
    ],
)
def test_what_lies_ahead_is_said_first(step: BenchmarkStep, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    BenchmarkProgress(Terminal())(step)
    assert line in capsys.readouterr().err


def test_in_a_terminal_the_latest_step_is_drawn_and_what_lies_ahead_stays() -> None:
    terminal = Terminal()
    terminal.err = Console(file=io.StringIO(), theme=THEME, width=100, force_terminal=True)
    with BenchmarkProgress(terminal, lambda: 0.0) as progress:
        for step in STEPS:
            progress(step)
        progress(BenchmarkStep("launch 2, round 1", [Cell(configuration=WASM)], done=3, total=36))
        drawn = Console(file=io.StringIO(), theme=THEME, width=100)
        drawn.print(progress.frame())
    shown = drawn.file.getvalue()  # type: ignore[attr-defined]
    assert "3/36, 0 s: launch 2, round 1" in shown
    assert f"{WASM}  waiting" in shown
    assert "at most about 26 min 40 s" in terminal.err.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("width", "parts"), [(40, 2), (60, 2), (80, 1), (140, 1)])
def test_tables_break_no_word_and_go_on_below_where_the_terminal_is_narrow(width: int, parts: int) -> None:
    columns = ("Where", "Verdict", "Milliseconds", "Of native", "Answers")
    cells = ["wasm in embedded, 2 lanes", "software", "16.79* (13.73–22.95)", "0.507 (0.320–0.547)", "0.0282 s"]
    shown = Console(file=io.StringIO(), theme=THEME, width=width)
    shown.print(table(columns, [[Text(cell) for cell in cells]]))
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    for word in (*columns[1:3], *" ".join(cells[1:4]).split(), cells[4]):
        assert text.count(word) == 1
    assert text.count("Where") == parts


def test_what_is_left_says_how_to_go_on_once_it_had_begun(capsys: pytest.CaptureFixture[str]) -> None:
    progress = BenchmarkProgress(Terminal(quiet=True))
    progress(STEPS[0])
    assert progress.left == []
    progress(STEPS[-1])
    assert progress.left == ["3 of 36 configurations are done. The same command with --resume continues."]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["software", "hardware"])
def test_bench_says_why_its_exit_code_is_not_zero(kind: str) -> None:
    made = record(3)
    for cell in made.measured:
        cell.verdict = kind
    shown = Console(file=io.StringIO(), theme=THEME, width=200)
    shown.print(view(made))
    said = "The exit code is 2, because only software computed." in shown.file.getvalue()  # type: ignore[attr-defined]
    assert said is (exit_code(made) == 2) is (kind == "software")
