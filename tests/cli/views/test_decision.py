"""A decision is shown with what each place takes, where that is known from, and why it was not taken."""

from __future__ import annotations

from rich.console import Console

from webinfer.cli.terminal import THEME
from webinfer.cli.views.decision import decision_view
from webinfer.pool.learning.bandit import Arm, Record
from webinfer.pool.learning.decision import Decision
from webinfer.pool.learning.lane_count import LaneCount

WASM, WEBNN, LESS = Arm("embedded", "wasm"), Arm("embedded", "webnn"), Arm("firefox", "wasm", "q8")


def test_each_place_has_a_line_with_its_time_its_source_and_why_it_was_not_taken() -> None:
    records = {WEBNN: Record("1", 0).add(0.010, "1"), WASM: Record().add(0.020, "1").add(0.020, "1")}
    decision = Decision(
        taken=WEBNN,
        source="learned",
        reason="measured",
        arms=[WASM, WEBNN],
        records=records,
        barred={LESS: "its cosine is 0.4"},
        tried={WASM},
        lanes=LaneCount(1, "1 of 2 lanes are enough"),
    )
    console = Console(width=120, theme=THEME, color_system=None)
    with console.capture() as captured:
        console.print(decision_view(decision))
    lines = [" ".join(line.split()) for line in captured.get().splitlines() if line.strip()]
    assert lines == [
        "What the router takes",
        "embedded Chromium, WebNN, fp32 10.0 ms in 1 run learned taken",
        "embedded Chromium, WebAssembly, fp32 20.0 ms in 2 runs tried 2.00 times as slow",
        "Firefox, WebAssembly, q8 not measured by the table its cosine is 0.4",
        "- measured",
        "- 1 of 2 lanes are enough",
    ]
