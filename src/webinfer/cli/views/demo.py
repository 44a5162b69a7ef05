"""How a demonstration looks: the similarities, then what computed them, then the times."""

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
    first_run: float
    later_runs: list[float]
    native: str
    native_runs: list[float]

    @property
    def ratios(self) -> list[float]:
        """The browser's time by the native one, round by round."""
        return [ours / theirs for ours, theirs in zip(self.later_runs, self.native_runs, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, and the medians, ready for JSON."""
        medians = {
            "later_run_median": statistics.median(self.later_runs),
            "native_run_median": statistics.median(self.native_runs),
            "time_by_native_median": statistics.median(self.ratios),
        }
        return asdict(self) | medians | {"verdict": self.verdict.kind, "evidence": list(self.verdict.evidence)}


_ALIKE = 0.25  # From here on a cell is shaded.
_LIGHT, _DEEP = (112, 156, 205), (22, 88, 160)  # White text reads on both, and both show on dark and light terminals.
_WHITE = Color.from_rgb(255, 255, 255)
_CELL = 6  # columns
_FIRST_WORK = {"webnn": "; makes a session", "webgpu": "; compiles shaders", "wasm": ""}


def view(seen: Demonstration) -> RenderableType:
    """Lay out a demonstration, for 100 columns and some 40 lines."""
    parts = (
        Text.assemble(
            (f"webinfer {webinfer.__version__}", "title"),
            ("  "),
            (f"{seen.model}, {seen.weights} weights, {size(seen.nbytes)}", "quiet"),
        ),
        heading("How alike the sentences are, as the browser embedded them (cosine)"),
        _similarities(seen),
        heading("What did it"),
        pairs(_who(seen)),
        heading("How long it took"),
        pairs(_times(seen)),
        heading("Try next"),
        pairs(_next(seen)),
    )
    return Padding(Group(*parts), (1, 0, 1, 2), expand=False)


def _similarities(seen: Demonstration) -> Table:
    table = Table.grid()
    table.add_column(style="quiet", no_wrap=True)
    table.add_column()
    for _ in seen.sentences:
        table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    numbers = [Text(str(number).center(_CELL), style="quiet") for number in range(1, len(seen.sentences) + 1)]
    table.add_row("", "", *numbers, Text("  to native", style="quiet"))
    rows = zip(seen.sentences, seen.similarity, seen.cosine_to_native, strict=True)
    for number, (sentence, row, cosine) in enumerate(rows, 1):
        said = Text(f"{sentence}  ", no_wrap=True, overflow="ellipsis")
        table.add_row(f"{number} ", said, *map(_cell, row), f"{cosine:.6f}")
    return table


def _cell(cosine: float) -> Text:
    text = f"{cosine:5.2f}".ljust(_CELL)
    if cosine < _ALIKE:
        return Text(text, style="quiet")
    depth = (cosine - _ALIKE) / (1 - _ALIKE)
    ground = Color.from_rgb(*(light + (deep - light) * depth for light, deep in zip(_LIGHT, _DEEP, strict=True)))
    return Text(text, style=Style(color=_WHITE, bgcolor=ground))


def _who(seen: Demonstration) -> list[tuple[str, Text]]:
    chosen = f"chosen among {', '.join(seen.backends)}" if seen.asked == "auto" else "as asked"
    unused = "  (not used)" if seen.adapter and seen.backend != "webgpu" else ""
    return [
        ("Browser", Text(f"{browser_name(seen.browser)} {seen.engine_version} on {seen.system}")),
        ("Backend", Text.assemble((BACKEND_NAMES[seen.backend], "title"), f", {chosen}")),
        ("Runtime", Text(f"{seen.runtime}, {_threads(seen)} allowed")),
        ("Adapter", Text.assemble(seen.adapter or "none", (unused, "quiet"))),
        ("Verdict", verdict(seen.verdict)),
    ]


def _times(seen: Demonstration) -> list[tuple[str, Text]]:
    later, native = statistics.median(seen.later_runs), statistics.median(seen.native_runs)
    spread = f"{seconds(min(seen.later_runs))} to {seconds(max(seen.later_runs))}"
    ratio = f"{times(statistics.median(seen.ratios)):>10}"
    return [
        ("Browser start", timed(seen.browser_start, "until its page had told what it can do")),
        ("Cold load", timed(seen.load, f"fetch {seconds(seen.fetch)}, create the session {seconds(seen.create)}")),
        ("First run", timed(seen.first_run, _first(seen))),
        ("Later runs", timed(later, f"median of {len(seen.later_runs)}, {spread}")),
        ("Native runs", timed(native, f"{seen.native}, {_threads(seen)}, in turns")),
        ("Ratio", Text.assemble((ratio, "title"), ("  the native time, median of the turns", "quiet"))),
    ]


def _first(seen: Demonstration) -> str:
    together = f"{len(seen.sentences)} sentences"
    if not seen.shape:
        return f"{together} at once"
    padded = " x ".join(str(length) for length in seen.shape.values())
    return f"{together}, padded to {padded}{_FIRST_WORK[seen.backend]}"


def _next(seen: Demonstration) -> list[tuple[str, Text]]:
    other = "firefox" if seen.engine == "chromium" else "embedded"
    commands = {
        "All browsers here": "webinfer doctor",
        "Your own text": f'webinfer run {seen.reference} "Hello" --embed',
        "Another browser": f"webinfer demo --browser {other}",
    }
    return [(what, Text(command, style="command")) for what, command in commands.items()]


def _threads(seen: Demonstration) -> str:
    return "1 thread" if seen.threads == 1 else f"{seen.threads} threads"
