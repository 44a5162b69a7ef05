"""Layout of an examination: one block for each browser, then the browsers that are not installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from webinfer import Placement, Verdict, WebinferError
from webinfer.api.services.browsers import Installation
from webinfer.cli.output.layout import BACKEND_NAMES, browser_name, heading, pairs
from webinfer.cli.output.units import seconds, size
from webinfer.core.capabilities import Capabilities, Speeds
from webinfer.core.options import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The result of a backend on the probe model. Times are in seconds."""

    backend: Backend
    verdict: Verdict
    error: WebinferError | None = None
    load: float | None = None
    run: float | None = None
    placement: Placement | None = None
    speeds: Speeds | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the trial as values of JSON."""
        return {
            "works": self.error is None,
            "error": self.error.to_dict() if self.error else None,
            "verdict": self.verdict.kind,
            "evidence": list(self.verdict.evidence),
            "placement": self.placement.to_dict() if self.placement else None,
            "load": self.load,
            "run": self.run,
            "speeds": self.speeds.to_dict() if self.speeds else None,
        }


@dataclass(slots=True, kw_only=True)
class Examination:
    """What a browser can do, as far as it was tried.

    Attributes:
        start: Seconds until its page reported.
        capabilities: Its page's report; ``None`` if it did not start.
        error: Why it did not start.
        gpu: GPU devices that its processes hold open after the trials; ``None`` if that is unknown.
    """

    installation: Installation
    version: str | None
    start: float | None = None
    capabilities: Capabilities | None = None
    error: WebinferError | None = None
    gpu: tuple[str, ...] | None = None
    trials: list[Trial] = field(default_factory=list)

    @property
    def works(self) -> bool:
        """Whether at least one backend gave the right answer."""
        return any(trial.error is None for trial in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """Return the examination as values of JSON."""
        installation = self.installation
        return {
            "name": installation.name,
            "engine": installation.engine,
            "version": self.version,
            "executable": installation.executable,
            "source": installation.source,
            "start": self.start,
            "error": self.error.to_dict() if self.error else None,
            "backends": {trial.backend: trial.to_dict() for trial in self.trials},
            "gpu": None if self.gpu is None else list(self.gpu),
            "capabilities": self.capabilities.report if self.capabilities else None,
        }


_FEATURES = ("shader-f16", "subgroups", "timestamp-query")  # features that models use; --json lists all
_LIMITS = (
    ("buffer", "maxBufferSize"),
    ("binding", "maxStorageBufferBindingSize"),
    ("workgroup storage", "maxComputeWorkgroupStorageSize"),
)


def view(machine: Mapping[str, Any], examinations: Sequence[Examination], missing: Mapping[str, str]) -> RenderableType:
    """Return the layout of the examination of all browsers.

    Args:
        machine: The machine and the program.
        examinations: What each browser can do.
        missing: The way to get each browser that is not installed.
    """
    cores = "1 core" if machine["cores"] == 1 else f"{machine['cores']} cores"
    about = f"Python {machine['python']}, {machine['system']}, {cores}"
    parts: list[RenderableType] = [Text.assemble((f"webinfer {machine['webinfer']}", "title"), "  ", (about, "quiet"))]
    for examination in examinations:
        parts += _browser(examination)
    if missing:
        parts += [heading("Not installed"), pairs(((name, Text(way)) for name, way in missing.items()), style="")]
    if not any(examination.works for examination in examinations):
        parts.append(Padding(Text("No backend works in any browser. " + _advice(missing), style="bad"), (1, 0, 0, 0)))
    return Padding(Group(*parts), (1, 0, 1, 2), expand=False)


def _browser(examination: Examination) -> list[RenderableType]:
    installation = examination.installation
    name = browser_name(installation.name)
    where = (_home(installation.executable), "quiet")
    title = Text.assemble((name, "title"), f" {examination.version or ''}  ", where, overflow="ellipsis", no_wrap=True)
    if examination.error is not None:
        return [Padding(title, (1, 0, 0, 0)), pairs([("Broken", Text(str(examination.error), style="bad"))])]
    assert examination.capabilities is not None
    rows = [
        (BACKEND_NAMES[trial.backend], _trial(trial, examination.capabilities.errors)) for trial in examination.trials
    ]
    if examination.gpu is not None:
        rows.append(("GPU in use", Text("; ".join(examination.gpu) or "its processes hold no GPU device open")))
    return [Padding(title, (1, 0, 0, 0)), pairs(rows + _report(examination.capabilities, examination.start or 0.0))]


def _trial(trial: Trial, missing: Mapping[str, str]) -> Text:
    if trial.backend in missing:
        return Text.assemble(("not available", "warn"), f": {missing[trial.backend].rstrip('.')}")
    if trial.error is not None:
        return Text.assemble(("fails", "bad"), f": {trial.error}")
    style = "good" if trial.verdict.kind == "hardware" else "warn"
    evidence = f": {'; '.join(trial.verdict.evidence)}"
    return Text.assemble(("works", "good"), ", in ", (trial.verdict.kind, style), evidence)


def _report(capabilities: Capabilities, start: float) -> list[tuple[str, Text]]:
    rows: list[tuple[str, Text]] = []
    report = capabilities.details
    if report is not None:
        if capabilities.adapter is not None:
            over = f"  over {capabilities.adapter.backend}" if capabilities.adapter.backend else ""
            rows.append(("Adapter", Text.assemble(str(capabilities.adapter), (over, "quiet"))))
            rows.append(("Features", _features(report.webgpu.features)))
            rows.append(("Limits", Text(_limits(report.webgpu.limits))))
        if capabilities.webnn:
            contexts = report.webnn.contexts.items()
            rows.append(("Contexts", _joined(*(_yes(f"WebNN {device}", context.ok) for device, context in contexts))))
        wasm = (("SIMD", report.wasm.simd), ("threads", report.wasm.threads), ("JSPI", report.wasm.jspi))
        isolated = _yes("cross-origin isolated", report.cross_origin_isolated)
        rows.append(("WASM", _joined(*(_yes(name, has) for name, has in wasm), isolated)))
    cores = "1 core" if capabilities.cores == 1 else f"{capabilities.cores} cores"
    rows.append(("Page", Text(f"{cores}, {capabilities.platform}, ready after {seconds(start)}")))
    return rows


def _features(names: Sequence[str]) -> Text:
    known = [_yes(name, name in names) for name in _FEATURES]
    return _joined(*known, Text(f"{len(names)} in all"))


def _limits(limits: Mapping[str, Any]) -> str:
    known = [f"{name} {size(limits[key])}" for name, key in _LIMITS if key in limits]
    if "maxComputeInvocationsPerWorkgroup" in limits:
        known.append(f"{limits['maxComputeInvocationsPerWorkgroup']:.0f} invocations")
    return ", ".join(known) or "unknown"


def _yes(name: str, has: bool) -> Text:
    return Text.assemble(f"{name} ", ("yes", "good") if has else ("no", "warn"))


def _joined(*parts: Text) -> Text:
    return Text(", ").join(parts)


def _home(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _advice(missing: Mapping[str, str]) -> str:
    return (
        f"Try: {missing['embedded']}" if "embedded" in missing else "Run with -vv for the log, or try another browser."
    )
