"""What the commands' answers have in common in how they look."""

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
    """Return a heading with a line of space above."""
    return Padding(Text(text, style="title"), (1, 0, 0, 0))


def pairs(rows: Iterable[tuple[str, RenderableType]], style: str = "label") -> Table:
    """Lay out names and what is said of them, in two columns."""
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style=style, no_wrap=True)
    table.add_column()
    for name, value in rows:
        table.add_row(name, value)
    return table


def verdict(judged: Verdict) -> Text:
    """Say a verdict and what it rests on."""
    return Text.assemble((judged.kind, _KINDS[judged.kind]), f": {'; '.join(judged.evidence)}")


def browser_name(name: str) -> str:
    """Return a browser's name as people write it."""
    return _BROWSERS.get(name, name.capitalize())


def timed(value: float, said: str) -> Text:
    """Say a time, and what it is the time of."""
    return Text.assemble(f"{seconds(value):>10}  ", (said, "quiet"))
