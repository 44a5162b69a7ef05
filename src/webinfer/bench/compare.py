"""Comparison of two benchmarks: what became slower, and whether that is the program or the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from webinfer.bench.cell import Cell, Configuration
from webinfer.bench.measurement.interval import costs_by_launch, relative_costs_by_launch
from webinfer.bench.record import Record
from webinfer.core.errors import BenchmarkError
from webinfer.core.statistics import Comparison, Severity, between
from webinfer.core.statistics.comparison import LAUNCHES, MARGIN, adjusted

Kind = Literal["compared", "broken", "wrong", "repaired", "added", "removed", "unmeasured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The comparison of one configuration.

    Attributes:
        configuration: The configuration.
        kind: ``compared``; ``broken`` if it ran in A only, and ``repaired`` if in B only; ``wrong`` if its answers
            agreed with native onnxruntime's in A only; ``added`` and ``removed`` if only one benchmark has it;
            ``unmeasured`` if one was interrupted before it.
        raw: The change of its time.
        relative: The change of its time in units of native onnxruntime's in the same rounds. This takes the machine's
            own speed out. ``None`` if native onnxruntime was not measured in both.
        native: The change of native onnxruntime's time.
        severity: Severity of the change that counts, whatever the limit.
        limit: Relative slowdown that is allowed.
        p_beyond: Probability that a configuration that is slower by exactly the limit looks at least as slow, corrected
            for the number of configurations.
        why: Why it is broken, wrong or unmeasured.
    """

    configuration: Configuration
    kind: Kind
    raw: Comparison | None = None
    relative: Comparison | None = None
    native: Comparison | None = None
    severity: Severity = "none"
    limit: float = MARGIN
    p_beyond: float | None = None
    why: str | None = None

    @property
    def counted(self) -> Comparison | None:
        """The change that counts: the relative one, else the raw one."""
        return self.relative or self.raw

    @property
    def fails(self) -> bool:
        """Whether it is slower by more than the limit and chance does not explain that, or is broken or wrong."""
        if self.kind in ("broken", "wrong"):
            return True
        return self.counted is not None and self.p_beyond is not None and self.p_beyond < 1 - self.counted.confidence

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as values of JSON."""
        changes = {"raw": self.raw, "relative": self.relative, "native": self.native}
        return {
            "configuration": {name: getattr(self.configuration, name) for name in self.configuration.__slots__},
            "kind": self.kind,
            "severity": self.severity,
            "limit": self.limit,
            "p_beyond": self.p_beyond,
            "fails": self.fails,
            "why": self.why,
            **{name: change.to_dict() if change else None for name, change in changes.items()},
        }


def compare(a: Record, b: Record, margin: float = MARGIN, limit: float = MARGIN) -> list[Finding]:
    """Compare two benchmarks, configuration by configuration.

    A configuration has changed if chance does not explain the difference. It fails if chance does not explain that it
    is slower by more than the limit. The p-values are corrected for the number of configurations. Without that, one in
    twenty would look significant by chance.

    Args:
        a: The earlier benchmark.
        b: The later one.
        margin: Relative change that does not matter.
        limit: Relative slowdown that is allowed.

    Returns:
        A finding for each configuration.

    Raises:
        BenchmarkError: The benchmarks have no configuration in common.
    """
    first, second = ({cell.configuration: cell for cell in record.cells} for record in (a, b))
    if not first.keys() & second.keys():
        raise BenchmarkError(f"{a.id} and {b.id} have no configuration in common: nothing can be compared.")
    findings = []
    for configuration in dict.fromkeys([*first, *second]):
        finding = _finding(a, b, first.get(configuration), second.get(configuration), configuration)
        if finding is not None:
            findings.append(finding)
    return [
        replace(finding, severity=finding.counted.severity(margin) if finding.counted else "none")
        for finding in _corrected(findings, limit)
    ]


def check_launches(a: Record, b: Record) -> None:
    """Refuse benchmarks with too few launches to tell a change from chance.

    Args:
        a: The earlier benchmark.
        b: The later one.

    Raises:
        BenchmarkError: One has too few launches.
    """
    for record in (a, b):
        if record.method.launches < LAUNCHES:
            raise BenchmarkError(
                f"{record.id} has too few launches of each browser: {record.method.launches}. One launch can be slow "
                f"by chance. Measure with --launches {LAUNCHES} or more."
            )


def check_finished(a: Record, b: Record) -> None:
    """Refuse interrupted benchmarks, because a configuration that was not measured may have become slower.

    Args:
        a: The earlier benchmark.
        b: The later one.

    Raises:
        BenchmarkError: One is not finished.
    """
    for record in (a, b):
        if left := sum(not cell.done for cell in record.cells):
            raise BenchmarkError(
                f"{record.id} was interrupted: {left} of its {len(record.cells)} configurations are not measured yet. "
                "Run the same `webinfer bench` command with --resume, then compare."
            )


def _finding(
    a: Record, b: Record, before: Cell | None, now: Cell | None, configuration: Configuration
) -> Finding | None:
    """Return the comparison of one configuration; ``None`` if it runs in neither benchmark."""
    if before is None or now is None:
        return Finding(configuration=configuration, kind="added" if before is None else "removed")
    if left := [record.id for record, cell in ((a, before), (b, now)) if not cell.done]:
        why = f"not measured yet in {' and '.join(left)}: `webinfer bench --resume` measures it"
        return Finding(configuration=configuration, kind="unmeasured", why=why)
    if before.status != "measured" or now.status != "measured":
        if before.status == now.status or "measured" not in (before.status, now.status):
            return None
        kind: Kind = "broken" if before.status == "measured" else "repaired"
        return Finding(configuration=configuration, kind=kind, why=now.why or before.why)
    confidence = min(a.method.confidence, b.method.confidence)
    raw = between(costs_by_launch(before.turns), costs_by_launch(now.turns), confidence=confidence)
    natives = a.reference(before), b.reference(now)
    # In units of native onnxruntime's time the machine's own speed cancels, since both ran in the same rounds.
    relative = native = None
    if natives[0] is not None and natives[1] is not None:
        earlier = relative_costs_by_launch(before.turns, natives[0])
        later = relative_costs_by_launch(now.turns, natives[1])
        relative = between(earlier, later, confidence=confidence)
        native_costs = [costs_by_launch(reference.turns) for reference in (natives[0], natives[1])]
        native = between(native_costs[0], native_costs[1], confidence=confidence)
    finding = Finding(configuration=configuration, kind="compared", raw=raw, relative=relative, native=native)
    if before.agreement and now.agreement and before.agreement.passed and not now.agreement.passed:
        why = f"its answers were right and are wrong now: {now.agreement.fault}"
        return replace(finding, kind="wrong", why=why)
    return finding


def _corrected(findings: Sequence[Finding], limit: float) -> list[Finding]:
    """Return findings that are tested against the limit, with p-values corrected for the number of changes."""
    changes = [finding.counted for finding in findings]
    p_values = iter(adjusted([change.p_value for change in changes if change]))
    p_beyond = iter(adjusted([change.p_beyond(limit) for change in changes if change]))
    corrected = []
    for finding, change in zip(findings, changes, strict=True):
        if change is None:
            corrected.append(replace(finding, limit=limit))
            continue
        # ``severity`` reads the p-value, so the corrected one takes the place of the raw one.
        change = replace(change, p_value=next(p_values))
        finding = replace(finding, relative=change) if finding.relative else replace(finding, raw=change)
        corrected.append(replace(finding, limit=limit, p_beyond=next(p_beyond)))
    return corrected
