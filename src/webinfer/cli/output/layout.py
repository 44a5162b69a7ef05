"""Parts that the commands' answers share in their layout."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webinfer import Verdict
from webinfer.cli.output.units import seconds

_KINDS = {"hardware": "good", "software": "warn", "mixed": "warn", "unproven": "warn"}
_BROWSERS = {"embedded": "embedded Chromium", "chrome": "Google Chrome", "edge": "Microsoft Edge", "webkit": "WebKit"}
BACKEND_NAMES = {"webgpu": "WebGPU", "webnn": "WebNN", "wasm": "WebAssembly"}


def heading(text: str) -> RenderableType:
    """Return a heading with an empty line above it.

    Args:
        text: The heading.

    Returns:
        Something to print.
    """
    return Padding(Text(text, style="title"), (1, 0, 0, 0))


def pairs(rows: Iterable[tuple[str, RenderableType]], style: str = "label") -> Table:
    """Lay out names and their values in two columns.

    Args:
        rows: Names and values.
        style: Style of the names.

    Returns:
        A table.
    """
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style=style, no_wrap=True)
    table.add_column()
    for name, value in rows:
        table.add_row(name, value)
    return table


def verdict(judged: Verdict) -> Text:
    """Write a verdict with its evidence.

    Args:
        judged: The verdict.

    Returns:
        Text.
    """
    return Text.assemble((judged.kind, _KINDS[judged.kind]), f": {'; '.join(judged.evidence)}")


def browser_name(name: str) -> str:
    """Return a browser's name as people write it.

    Args:
        name: Name of the browser in options and results.

    Returns:
        The name, such as ``Google Chrome``.
    """
    return _BROWSERS.get(name, name.capitalize())


def timed(value: float, note: str) -> Text:
    """Write a time with a note.

    Args:
        value: Seconds.
        note: What took the time.

    Returns:
        Text.
    """
    return Text.assemble(f"{seconds(value):>10}  ", (note, "quiet"))
