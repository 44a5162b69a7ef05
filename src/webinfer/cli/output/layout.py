"""Parts that the commands' answers share in their layout."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webinfer import Verdict
from webinfer.cli.output.units import seconds

VERDICT_STYLES = {"hardware": "good", "software": "warn", "mixed": "warn", "unproven": "warn"}
_BROWSERS = {"embedded": "embedded Chromium", "chrome": "Google Chrome", "edge": "Microsoft Edge", "webkit": "WebKit"}
BACKEND_NAMES = {"webgpu": "WebGPU", "webnn": "WebNN", "wasm": "WebAssembly"}


def heading(text: str) -> RenderableType:
    """Return a heading with an empty line above it.

    Args:
        text: The heading.
    """
    return Padding(Text(text, style="title"), (1, 0, 0, 0))


def indent(text: str | Text) -> RenderableType:
    """Return a paragraph that is indented, all its lines alike.

    Args:
        text: The paragraph.
    """
    return Padding(text if isinstance(text, Text) else Text(text), (0, 0, 0, 2))


def pairs(rows: Iterable[tuple[str, RenderableType]], style: str = "label") -> Table:
    """Return a table of names and their values.

    Args:
        rows: Names and values.
        style: Style of the names.
    """
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style=style, no_wrap=True)
    table.add_column()
    for name, value in rows:
        table.add_row(name, value)
    return table


def verdict(judged: Verdict) -> Text:
    """Return a verdict with its evidence as text.

    Args:
        judged: The verdict.
    """
    return Text.assemble((judged.kind, VERDICT_STYLES[judged.kind]), f": {'; '.join(judged.evidence)}")


def browser_name(name: str) -> str:
    """Return a browser's name as people write it.

    Args:
        name: Name of the browser in options and results.

    Returns:
        The name, such as ``Google Chrome``.
    """
    return _BROWSERS.get(name, name.capitalize())


def timed(value: float, note: str) -> Text:
    """Return a time and a note as text.

    Args:
        value: Seconds.
        note: What took the time.
    """
    return Text.assemble(f"{seconds(value):>10}  ", (note, "quiet"))
