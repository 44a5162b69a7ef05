"""How an explanation looks: facts and times with a column for each backend, then the operators, then the words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webinfer import Alternative, Decision, Placement, Profile, SessionLoaded, Verdict, WebinferError
from webinfer.api.services.models import ModelPackage
from webinfer.api.services.native import Deviation
from webinfer.cli.output.layout import BACKEND_NAMES, browser_name, heading
from webinfer.cli.output.units import seconds
from webinfer.core.capabilities import Capabilities
from webinfer.core.options import Backend
from webinfer.core.placement import Operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a backend did with a model. All times in seconds; those of runs are medians over the later ones.

    Attributes:
        error: Why it did nothing.
        first: The first run, in the runtime.
        compile: By how much the first run was longer than the later ones.
        profile: The parts of a run and its operators, measured apart from those runs.
        unmeasured: Why there is no profile.
    """

    backend: Backend
    verdict: Verdict
    error: WebinferError | None = None
    placement: Placement | None = None
    rewritten: Mapping[str, int] | None = None
    loaded: SessionLoaded | None = None
    first: float = 0.0
    compile: float = 0.0
    queue: float = 0.0
    transfer: float = 0.0
    run: float = 0.0
    profile: Profile | None = None
    unmeasured: str | None = None
    deviations: tuple[Deviation, ...] = ()
    fault: str | None = None

    @property
    def parts(self) -> dict[str, float | None]:
        """The parts of a request's time; those of its run are ``None`` where the runtime did not tell."""
        phases = self.profile.phases if self.profile else None
        parts = phases.to_dict() if phases else {"upload": None, "run": self.run, "readback": None}
        return {"queue": self.queue, "transfer": self.transfer, **parts}

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        if self.error is not None:
            return {"error": self.error.to_dict()}
        assert self.loaded is not None
        return {
            "error": None,
            "verdict": self.verdict.kind,
            "evidence": list(self.verdict.evidence),
            "placement": self.placement.to_dict() if self.placement else None,
            "rewritten": dict(self.rewritten or {}),
            "load": {"fetch": self.loaded.fetch, "create": self.loaded.create, "nbytes": self.loaded.nbytes},
            **{name: getattr(self, name) for name in ("first", "compile", "queue", "transfer", "run", "fault")},
            "parts": self.parts,
            "profile": self.profile.to_dict() if self.profile else None,
            "unmeasured": self.unmeasured,
            "deviations": [each.to_dict() for each in self.deviations],
        }


_OPERATORS = 8  # shown; --json has all
_BAR = 10  # cells
_NATIVE = "native onnxruntime"
_SOURCES = {"override": "as asked", "table": "by the table", "tuned": "tuned"}
_PARTS = {
    "queue": "Queue",
    "transfer": "Transfer",
    "upload": "Upload",
    "run": "Run",
    "readback": "Readback",
}


def view(
    package: ModelPackage,
    capabilities: Capabilities,
    accounts: Sequence[Account],
    native: Sequence[Operator],
    words: Sequence[str],
) -> RenderableType:
    """Lay out an explanation."""
    about = f"{package.precision}, {capabilities.engine} {capabilities.engine_version}"
    ran = [each for each in accounts if each.error is None]
    parts: list[RenderableType] = [Text.assemble((package.name, "title"), "  ", (about, "quiet")), _facts(ran)]
    if ran:
        parts += [heading("Where the time of a request goes"), _times(ran)]
        parts += [heading("Operators, the most time first"), _operators(ran, native), *_untold(ran)]
    parts.append(heading("Why"))
    parts += [Text(f"- {each}") for each in words]
    return Padding(Group(*parts), (1, 0, 1, 2), expand=False)


def _facts(ran: Sequence[Account]) -> RenderableType:
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="label", no_wrap=True)
    for _ in ran:
        table.add_column()
    table.add_row("", *(Text(BACKEND_NAMES[each.backend], style="title") for each in ran))
    rows: list[tuple[str, Callable[[Account], str]]] = [
        ("Nodes", lambda each: str(each.placement or "not told")),
        ("Copies between", lambda each: str(each.placement.copies) if each.placement else "not told"),
        ("Verdict", lambda each: each.verdict.kind),
        ("Load: fetch", lambda each: seconds(each.loaded.fetch) if each.loaded else ""),
        ("Load: create", lambda each: seconds(each.loaded.create) if each.loaded else ""),
        ("First run", lambda each: seconds(each.first)),
        ("  of it compiling", lambda each: seconds(each.compile)),
        ("Later runs", lambda each: seconds(each.run)),
        ("Largest error", lambda each: f"{max((one.error for one in each.deviations), default=0.0):.1g}"),
    ]
    for name, tell in rows:
        table.add_row(name, *(tell(each) for each in ran))
    return table


def _times(ran: Sequence[Account]) -> RenderableType:
    """Lay out the parts of a request, a bar beginning where the one above it ends."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="label", no_wrap=True)
    for _ in ran:
        table.add_column(justify="right", no_wrap=True)
        table.add_column(width=_BAR)
    names = ((Text(BACKEND_NAMES[each.backend], style="title"), "") for each in ran)
    table.add_row("", *(cell for pair in names for cell in pair))
    wholes = [sum(part or 0.0 for part in each.parts.values()) for each in ran]
    before = [0.0] * len(ran)
    for name, said in _PARTS.items():
        cells: list[RenderableType] = []
        for column, each in enumerate(ran):
            part = each.parts[name]
            after = before[column] + (part or 0.0)
            bar = Bar(wholes[column] or 1.0, before[column], after, width=_BAR, color="cyan")
            cells += ["not told", ""] if part is None else [seconds(part), bar]
            before[column] = after
        table.add_row(said, *cells)
    table.add_row("Whole", *(cell for whole in wholes for cell in (seconds(whole), "")))
    return table


def _operators(ran: Sequence[Account], native: Sequence[Operator]) -> RenderableType:
    """Lay out the operators that take most anywhere, with a column for each who tells their times."""
    told = {BACKEND_NAMES[each.backend]: each.profile.timed for each in ran if each.profile and each.profile.timed}
    told[_NATIVE] = tuple(native)
    shares = {name: _shares(operators) for name, operators in told.items()}
    names = dict.fromkeys(operator for column in shares.values() for operator in column)
    top = sorted(names, key=lambda name: -max(column.get(name, 0.0) for column in shares.values()))[:_OPERATORS]
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="label", no_wrap=True)
    for _ in told:
        table.add_column(justify="right", no_wrap=True)
    table.add_row("", *(Text(name, style="quiet" if name == _NATIVE else "title") for name in told))
    for name in top:
        table.add_row(name, *(_cell(told[column], name, shares[column].get(name, 0.0)) for column in told))
    return table


def _shares(operators: Iterable[Operator]) -> dict[str, float]:
    spent: dict[str, float] = {}
    for each in operators:
        spent[each.name] = spent.get(each.name, 0.0) + (each.seconds or 0.0)
    total = sum(spent.values())
    return {name: part / total if total else 0.0 for name, part in spent.items()}


def _cell(operators: Sequence[Operator], name: str, share: float) -> str:
    found = [each for each in operators if each.name == name]
    if not found:
        return ""
    return (
        f"{seconds(sum(each.seconds or 0.0 for each in found))} {share:>4.0%} {sum(each.nodes for each in found):>4} x"
    )


def _untold(ran: Sequence[Account]) -> list[RenderableType]:
    """Say what is not told of operators, and what else there is."""
    said = []
    for each in ran:
        if each.profile is None:
            said.append(f"{BACKEND_NAMES[each.backend]} could not be measured: {each.unmeasured}")
        elif each.profile.untold is not None:
            said.append(f"{each.profile.untold} Native onnxruntime's times are the nearest there is.")
    return [Text(each, style="quiet") for each in said]


def decision_view(decision: Decision) -> RenderableType:
    """Lay out what was taken, what else there was, and why not that."""
    table = Table.grid(padding=(0, 3, 0, 0))
    for style in ("label", "", "quiet", ""):
        table.add_column(style=style)
    for candidate in decision.candidates:
        table.add_row(
            _candidate_place(candidate),
            _candidate_time(candidate),
            _SOURCES[candidate.source],
            candidate.why_not or "taken",
        )
    parts = [heading("What the router takes"), table, Text(f"- {decision.reason}")]
    return Padding(Group(*parts), (0, 0, 1, 2), expand=False)


def _candidate_place(candidate: Alternative) -> str:
    browser, backend, precision = candidate.place
    return f"{browser_name(browser)}, {BACKEND_NAMES[backend]}, {precision}"


def _candidate_time(candidate: Alternative) -> str:
    if candidate.seconds is None:
        return "not measured"
    return f"{seconds(candidate.seconds)} in {candidate.runs} run{'s' if candidate.runs > 1 else ''}"
