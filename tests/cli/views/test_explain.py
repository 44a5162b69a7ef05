"""A decision is shown with what each place takes, where that is known from, and why it was not taken."""

from __future__ import annotations

from rich.console import Console

from webinfer.cli.output.terminal import THEME
from webinfer.cli.views.explain.account import decision_view
from webinfer.inference.route import Alternative, Decision, Place

WASM, WEBNN, LESS = Place("embedded", "wasm"), Place("embedded", "webnn"), Place("firefox", "wasm", "q8")


def test_each_place_has_a_line_with_its_time_its_source_and_why_it_was_not_taken() -> None:
    decision = Decision(
        taken=WEBNN,
        source="tuned",
        reason="tuned on 2026-11-30: 2.0 (1.9\N{EN DASH}2.1) times the next",
        candidates=(
            Alternative(WEBNN, 0.010, 1, "tuned", None),
            Alternative(WASM, 0.020, 2, "tuned", "2.00 times as slow"),
            Alternative(LESS, None, 0, "table", "its cosine is 0.4"),
        ),
    )
    console = Console(width=120, theme=THEME, color_system=None)
    with console.capture() as captured:
        console.print(decision_view(decision))
    lines = [" ".join(line.split()) for line in captured.get().splitlines() if line.strip()]
    assert lines == [
        "What the router takes",
        "embedded Chromium, WebNN, fp32 10.0 ms in 1 run tuned taken",
        "embedded Chromium, WebAssembly, fp32 20.0 ms in 2 runs tuned 2.00 times as slow",
        "Firefox, WebAssembly, q8 not measured by the table its cosine is 0.4",
        "- tuned on 2026-11-30: 2.0 (1.9\N{EN DASH}2.1) times the next",
    ]
