"""Layout of an explanation: facts and times with a column for each backend, then the operators, then the reasons."""

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
    """What a backend did with a model. Times are in seconds. Times of runs are medians over the later runs.

    Attributes:
        error: Why the backend could not run the model.
        first: The first run, in the runtime.
        compile: Time that the first run took longer than the later ones.
        profile: The parts of a run and its operators, from a separate measurement.
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
        """The parts of a request's time. A part is ``None`` if the runtime does not report it."""
        phases = self.profile.phases if self.profile else None
        parts = phases.to_dict() if phases else {"upload": None, "run": self.run, "readback": None}
        return {"queue": self.queue, "transfer": self.transfer, **parts}

    def to_dict(self) -> dict[str, Any]:
        """Return the account as values of JSON."""
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
            "deviations": [deviation.to_dict() for deviation in self.deviations],
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
    """Return the layout of an explanation.

    Args:
        package: The model.
        capabilities: What the browser can do.
        accounts: What each backend did.
        native: Native onnxruntime's operators, with times.
        words: The reasons, one sentence each.
    """
    about = f"{package.precision}, {capabilities.engine} {capabilities.engine_version}"
    ran = [account for account in accounts if account.error is None]
    parts: list[RenderableType] = [Text.assemble((package.name, "title"), "  ", (about, "quiet")), _facts(ran)]
    if ran:
        parts += [heading("Where the time of a request goes"), _times(ran)]
        parts += [heading("Operators, the most time first"), _operators(ran, native), *_missing_times(ran)]
    parts.append(heading("Why"))
    parts += [Text(f"- {account}") for account in words]
    return Padding(Group(*parts), (1, 0, 1, 2), expand=False)


def _facts(ran: Sequence[Account]) -> RenderableType:
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="label", no_wrap=True)
    for _ in ran:
        table.add_column()
    table.add_row("", *(Text(BACKEND_NAMES[account.backend], style="title") for account in ran))
    rows: list[tuple[str, Callable[[Account], str]]] = [
        ("Nodes", lambda account: str(account.placement or "unknown")),
        ("Copies between", lambda account: str(account.placement.copies) if account.placement else "unknown"),
        ("Verdict", lambda account: account.verdict.kind),
        ("Load: fetch", lambda account: seconds(account.loaded.fetch) if account.loaded else ""),
        ("Load: create", lambda account: seconds(account.loaded.create) if account.loaded else ""),
        ("First run", lambda account: seconds(account.first)),
        ("  of it compiling", lambda account: seconds(account.compile)),
        ("Later runs", lambda account: seconds(account.run)),
        ("Largest error", lambda account: f"{max((one.error for one in account.deviations), default=0.0):.1g}"),
    ]
    for name, value_of in rows:
        table.add_row(name, *(value_of(account) for account in ran))
    return table


def _times(ran: Sequence[Account]) -> RenderableType:
    """Return the layout of a request's parts. Each bar starts where the bar above it ends."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="label", no_wrap=True)
    for _ in ran:
        table.add_column(justify="right", no_wrap=True)
        table.add_column(width=_BAR)
    names = ((Text(BACKEND_NAMES[account.backend], style="title"), "") for account in ran)
    table.add_row("", *(cell for pair in names for cell in pair))
    wholes = [sum(part or 0.0 for part in account.parts.values()) for account in ran]
    before = [0.0] * len(ran)
    for name, label in _PARTS.items():
        cells: list[RenderableType] = []
        for column, account in enumerate(ran):
            part = account.parts[name]
            after = before[column] + (part or 0.0)
            bar = Bar(wholes[column] or 1.0, before[column], after, width=_BAR, color="cyan")
            cells += ["unknown", ""] if part is None else [seconds(part), bar]
            before[column] = after
        table.add_row(label, *cells)
    table.add_row("Whole", *(cell for whole in wholes for cell in (seconds(whole), "")))
    return table


def _operators(ran: Sequence[Account], native: Sequence[Operator]) -> RenderableType:
    """Return the layout of the slowest operators, with a column for each backend that reports times."""
    columns = {
        BACKEND_NAMES[account.backend]: account.profile.timed
        for account in ran
        if account.profile and account.profile.timed
    }
    columns[_NATIVE] = tuple(native)
    shares = {name: _shares(operators) for name, operators in columns.items()}
    names = dict.fromkeys(operator for shares_of in shares.values() for operator in shares_of)
    top = sorted(names, key=lambda name: -max(shares_of.get(name, 0.0) for shares_of in shares.values()))[:_OPERATORS]
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="label", no_wrap=True)
    for _ in columns:
        table.add_column(justify="right", no_wrap=True)
    table.add_row("", *(Text(name, style="quiet" if name == _NATIVE else "title") for name in columns))
    for name in top:
        table.add_row(
            name, *(_cell(columns[shares_of], name, shares[shares_of].get(name, 0.0)) for shares_of in columns)
        )
    return table


def _shares(operators: Iterable[Operator]) -> dict[str, float]:
    spent: dict[str, float] = {}
    for operator in operators:
        spent[operator.name] = spent.get(operator.name, 0.0) + (operator.seconds or 0.0)
    total = sum(spent.values())
    return {name: part / total if total else 0.0 for name, part in spent.items()}


def _cell(operators: Sequence[Operator], name: str, share: float) -> str:
    matching = [operator for operator in operators if operator.name == name]
    if not matching:
        return ""
    spent, nodes = sum(operator.seconds or 0.0 for operator in matching), sum(operator.nodes for operator in matching)
    return f"{seconds(spent)} {share:>4.0%} {nodes:>4} x"


def _missing_times(ran: Sequence[Account]) -> list[RenderableType]:
    """Return sentences on the operators' times that are missing, and on what to look at instead."""
    sentences = []
    for account in ran:
        if account.profile is None:
            sentences.append(f"{BACKEND_NAMES[account.backend]} could not be measured: {account.unmeasured}")
        elif account.profile.untold is not None:
            sentences.append(f"{account.profile.untold} Native onnxruntime's times are the best substitute.")
    return [Text(account, style="quiet") for account in sentences]


def decision_view(decision: Decision) -> RenderableType:
    """Return the layout of the router's choice, the alternatives, and why it did not take them.

    Args:
        decision: The router's decision.
    """
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
