"""How a decision of the router looks in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webinfer import Alternative, Decision
from webinfer.cli.layout import BACKEND_NAMES, browser_name, heading
from webinfer.cli.units import seconds

_SOURCES = {"override": "as asked", "table": "by the table", "tuned": "tuned"}


def decision_view(decision: Decision) -> RenderableType:
    """Lay out what was taken, what else there was, and why not that."""
    table = Table.grid(padding=(0, 3, 0, 0))
    for style in ("label", "", "quiet", ""):
        table.add_column(style=style)
    for each in decision.candidates:
        table.add_row(_place(each), _measured(each), _SOURCES[each.source], each.why_not or "taken")
    parts = [heading("What the router takes"), table, Text(f"- {decision.reason}")]
    return Padding(Group(*parts), (0, 0, 1, 2), expand=False)


def _place(candidate: Alternative) -> str:
    browser, backend, precision = candidate.place
    return f"{browser_name(browser)}, {BACKEND_NAMES[backend]}, {precision}"


def _measured(candidate: Alternative) -> str:
    if candidate.seconds is None:
        return "not measured"
    return f"{seconds(candidate.seconds)} in {candidate.runs} run{'s' if candidate.runs > 1 else ''}"
