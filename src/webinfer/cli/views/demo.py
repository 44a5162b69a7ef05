"""Layout of a demonstration: the similarities, then what computed them, then the times."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

from rich.color import Color
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

import webinfer
from webinfer import Verdict
from webinfer.cli.output.layout import BACKEND_NAMES, browser_name, heading, pairs, timed, verdict
from webinfer.cli.output.units import seconds, size, times


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """What a demonstration observed. All times in seconds."""

    reference: str
    model: str
    weights: str
    nbytes: int
    sentences: tuple[str, ...]
    similarity: list[list[float]]  # of each sentence to each, in the browser
    cosine_to_native: list[float]  # of each sentence's two vectors
    browser: str
    engine: str
    engine_version: str
    system: str
    runtime: str
    adapter: str | None
    asked: str
    backend: str
    backends: tuple[str, ...]
    verdict: Verdict
    shape: dict[str, int]  # that the sentences were padded to; empty where they were not
    threads: int
    browser_start: float
    load: float
    fetch: float
    create: float
    check: float  # by the gate, the first time on this machine; 0 afterwards
    first_run: float
    later_runs: list[float]
    native: str
    native_runs: list[float]

    @property
    def ratios(self) -> list[float]:
        """The browser's time divided by the native time, for each round."""
        return [ours / theirs for ours, theirs in zip(self.later_runs, self.native_runs, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, and the medians, as values of JSON."""
        medians = {
            "later_run_median": statistics.median(self.later_runs),
            "native_run_median": statistics.median(self.native_runs),
            "time_by_native_median": statistics.median(self.ratios),
        }
        return asdict(self) | medians | {"verdict": self.verdict.kind, "evidence": list(self.verdict.evidence)}


_ALIKE = 0.25  # cosine from which a cell is shaded
_LIGHT, _DEEP = (112, 156, 205), (22, 88, 160)  # white text is readable on both, and both show on any terminal
_WHITE = Color.from_rgb(255, 255, 255)
_CELL = 6  # columns
_FIRST_WORK = {"webnn": "; makes a session", "webgpu": "; compiles shaders", "wasm": ""}


def view(shown: Demonstration) -> RenderableType:
    """Return the layout of a demonstration, for 100 columns and some 40 lines.

    Args:
        shown: What was observed.
    """
    parts = (
        Text.assemble(
            (f"webinfer {webinfer.__version__}", "title"),
            ("  "),
            (f"{shown.model}, {shown.weights} weights, {size(shown.nbytes)}", "quiet"),
        ),
        heading("Similarity of the sentences, from the browser's vectors (cosine)"),
        _similarities(shown),
        heading("What ran it"),
        pairs(_who(shown)),
        heading("Times"),
        pairs(_times(shown)),
        heading("Try next"),
        pairs(_next(shown)),
    )
    return Padding(Group(*parts), (1, 0, 1, 2), expand=False)


def _similarities(shown: Demonstration) -> Table:
    table = Table.grid()
    table.add_column(style="quiet", no_wrap=True)
    table.add_column()
    for _ in shown.sentences:
        table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    numbers = [Text(str(number).center(_CELL), style="quiet") for number in range(1, len(shown.sentences) + 1)]
    table.add_row("", "", *numbers, Text("  to native", style="quiet"))
    rows = zip(shown.sentences, shown.similarity, shown.cosine_to_native, strict=True)
    for number, (sentence, row, cosine) in enumerate(rows, 1):
        text = Text(f"{sentence}  ", no_wrap=True, overflow="ellipsis")
        table.add_row(f"{number} ", text, *map(_cell, row), f"{cosine:.6f}")
    return table


def _cell(cosine: float) -> Text:
    text = f"{cosine:5.2f}".ljust(_CELL)
    if cosine < _ALIKE:
        return Text(text, style="quiet")
    depth = (cosine - _ALIKE) / (1 - _ALIKE)
    ground = Color.from_rgb(*(light + (deep - light) * depth for light, deep in zip(_LIGHT, _DEEP, strict=True)))
    return Text(text, style=Style(color=_WHITE, bgcolor=ground))


def _who(shown: Demonstration) -> list[tuple[str, Text]]:
    chosen = f"chosen among {', '.join(shown.backends)}" if shown.asked == "auto" else "as asked"
    unused = "  (not used)" if shown.adapter and shown.backend != "webgpu" else ""
    return [
        ("Browser", Text(f"{browser_name(shown.browser)} {shown.engine_version} on {shown.system}")),
        ("Backend", Text.assemble((BACKEND_NAMES[shown.backend], "title"), f", {chosen}")),
        ("Runtime", Text(f"{shown.runtime}, {_threads(shown)} allowed")),
        ("Adapter", Text.assemble(shown.adapter or "none", (unused, "quiet"))),
        ("Verdict", verdict(shown.verdict)),
    ]


def _times(shown: Demonstration) -> list[tuple[str, Text]]:
    later, native = statistics.median(shown.later_runs), statistics.median(shown.native_runs)
    spread = f"{seconds(min(shown.later_runs))} to {seconds(max(shown.later_runs))}"
    ratio = f"{times(statistics.median(shown.ratios)):>10}"
    return [
        ("Browser start", timed(shown.browser_start, "until its page reported its capabilities")),
        ("Cold load", timed(shown.load, _load(shown))),
        ("First run", timed(shown.first_run, _first(shown))),
        ("Later runs", timed(later, f"median of {len(shown.later_runs)}, {spread}")),
        ("Native runs", timed(native, f"{shown.native}, {_threads(shown)}, in turns")),
        ("Ratio", Text.assemble((ratio, "title"), ("  the native time, median of the turns", "quiet"))),
    ]


def _load(shown: Demonstration) -> str:
    parts = f"fetch {seconds(shown.fetch)}, create the session {seconds(shown.create)}"
    return f"{parts}, check its answers {seconds(shown.check)}, once" if shown.check else parts


def _first(shown: Demonstration) -> str:
    together = f"{len(shown.sentences)} sentences"
    if not shown.shape:
        return f"{together} at once"
    padded = " x ".join(str(length) for length in shown.shape.values())
    return f"{together}, padded to {padded}{_FIRST_WORK[shown.backend]}"


def _next(shown: Demonstration) -> list[tuple[str, Text]]:
    other = "firefox" if shown.engine == "chromium" else "embedded"
    commands = {
        "All browsers here": "webinfer doctor",
        "Your own text": f'webinfer run {shown.reference} "Hello" --embed',
        "Another browser": f"webinfer demo --browser {other}",
    }
    return [(what, Text(command, style="command")) for what, command in commands.items()]


def _threads(shown: Demonstration) -> str:
    return "1 thread" if shown.threads == 1 else f"{shown.threads} threads"
