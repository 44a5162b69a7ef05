"""The table of a contest and its progress, of results that are made up here."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from webinfer import Tuning, TuningProgress
from webinfer.cli.output.terminal import THEME, Terminal
from webinfer.cli.views.tune import ContestBar, lead, view
from webinfer.core.statistics import Interval
from webinfer.tuning.candidate import Candidate
from webinfer.tuning.tuning import Standing

WINNER, NEXT, OUT = (
    Candidate(browser="firefox", backend="wasm", precision=precision) for precision in ("int8", "fp32", "fp16")
)
TUNING = Tuning(
    model="f" * 64,
    name="MiniLM",
    machine="m1",
    version="151.0",
    winner=WINNER,
    runner_up=NEXT,
    gain=Interval(1.8, 1.72, 1.89),
    seconds=0.0123,
    at="2026-11-30T12:00:00+00:00",
    cost=61.4,
    standings=(
        Standing(candidate=WINNER, seconds=0.0123, interval=Interval(0.0123, 0.012, 0.0131), rounds=24),
        Standing(candidate=NEXT, seconds=0.0221, interval=Interval(0.0221, 0.022, 0.023), rounds=24),
        Standing(candidate=OUT, reason="there is no file"),
    ),
)


def drawn(tuning: Tuning) -> str:
    console = Console(theme=THEME, width=120)
    with console.capture() as captured:
        console.print(view(tuning))
    return captured.get()


def test_view_shows_the_winner_its_lead_and_why_others_left() -> None:
    text = drawn(TUNING)
    assert "MiniLM: wasm in firefox, int8" in text
    assert "12.3 (12–13.1) ms per item, 1.80 (1.72–1.89) times as fast as the next, wasm in firefox, fp32" in text
    assert "it stayed until the end" in text
    assert "there is no file" in text
    assert "It took 1 min 1 s." in text
    assert "151.0" in text


def test_lead_that_is_not_sure_is_said_to_be_none() -> None:
    tie = replace(TUNING, gain=Interval(1.01, 0.98, 1.03))
    assert (
        lead(tie) == "not told apart from the next, wasm in firefox, fp32, which takes 1.01 (0.98–1.03) times as long"
    )
    assert lead(replace(TUNING, gain=None, runner_up=None)) == "the only one that was measured"


def test_progress_has_a_line_for_each_opening_where_there_are_no_bars() -> None:
    terminal = Terminal()
    terminal.err = Console(theme=THEME, width=120, force_terminal=False)
    steps = [
        TuningProgress(text="start firefox"),
        TuningProgress(text="open wasm in firefox, fp32", seconds=1.2, budget=60, left=3, total=3),
        TuningProgress(text="round 1", seconds=4, budget=60, left=3, total=3),
        TuningProgress(text="close wasm in firefox, fp16", seconds=9, budget=60, left=2, total=3, leader=WINNER),
    ]
    with terminal.err.capture() as captured, ContestBar(terminal) as bar:
        for step in steps:
            bar(step)
    assert captured.get().splitlines() == [
        "==> start firefox",
        "==> open wasm in firefox, fp32 (1 of 60 s, 3 of 3 candidates left)",
        "==> close wasm in firefox, fp16 (9 of 60 s, 2 of 3 candidates left, wasm in firefox, int8 leads)",
    ]
