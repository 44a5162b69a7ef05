"""Two benchmarks side by side: what became slower, and whether that is the program or the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from webinfer.bench.record import Cell, Configuration, Record, launches, ratios
from webinfer.core.errors import BenchmarkError
from webinfer.core.statistics import Comparison, Severity, between
from webinfer.core.statistics.comparison import LAUNCHES, MARGIN, adjusted

Kind = Literal["compared", "broken", "wrong", "repaired", "added", "removed", "unmeasured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one configuration.

    Attributes:
        configuration: What it is.
        kind: ``compared``; ``broken`` where it ran in A and not in B, ``repaired`` the other way round; ``wrong`` where
            its answers agreed with native in A and do not in B; ``added`` and ``removed`` where only one asked for it;
            ``unmeasured`` where one was interrupted before it.
        raw: How its times changed.
        relative: How they changed in units of native onnxruntime's, measured in the same rounds: what is left of the
            change when the machine's own speed is taken out. ``None`` where native was not measured in both.
        native: How native's times changed.
        severity: Of what counts: ``relative``, or else ``raw``. It tells a change, whatever the limit.
        limit: How much slower it may become.
        p_beyond: How likely chance alone makes one that is slower by the limit look as slow, corrected for the number
            of configurations.
        why: Of one that is broken, wrong or unmeasured.
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
        """The change that counts."""
        return self.relative or self.raw

    @property
    def fails(self) -> bool:
        """Whether it is slower by more than the limit beyond chance, no longer runs, or answers wrongly."""
        if self.kind in ("broken", "wrong"):
            return True
        return self.counted is not None and self.p_beyond is not None and self.p_beyond < 1 - self.counted.confidence

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
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
    """Compare two benchmarks, configuration by configuration: whether each changed, and whether it fails.

    It changed where chance is an unlikely reason for any difference; it fails where chance is an unlikely reason for
    more than the limit. With several configurations, p-values are corrected for that: one in twenty would look
    significant by chance.

    Args:
        a: The earlier one.
        b: The later one.
        margin: Relative change that nobody minds.
        limit: Relative change from which on a configuration fails.

    Raises:
        BenchmarkError: They have no configuration in common.
    """
    first, second = ({cell.configuration: cell for cell in record.cells} for record in (a, b))
    if not first.keys() & second.keys():
        raise BenchmarkError(f"{a.id} and {b.id} have no configuration in common: nothing can be compared.")
    found = [_find(a, b, first.get(each), second.get(each), each) for each in dict.fromkeys([*first, *second])]
    told = [finding for finding in found if finding is not None]
    sure = _sure(told, limit)
    return [replace(each, severity=each.counted.severity(margin) if each.counted else "none") for each in sure]


def check_launches(a: Record, b: Record) -> None:
    """Refuse to judge by benchmarks that cannot tell a change from the chance of a launch.

    Args:
        a: The earlier benchmark.
        b: The later one.

    Raises:
        BenchmarkError: One has too few launches.
    """
    for record in (a, b):
        if record.method.launches < LAUNCHES:
            raise BenchmarkError(
                f"{record.id} has too few launches of each browser, {record.method.launches}, to tell a regression "
                f"from the chance of one launch: measure it with --launches {LAUNCHES} or more."
            )


def check_finished(a: Record, b: Record) -> None:
    """Refuse to judge by benchmarks that were interrupted: what is not measured may be what became slower.

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
                "Go on with it by the same `webinfer bench` with --resume, and compare then."
            )


def _find(a: Record, b: Record, before: Cell | None, now: Cell | None, asked: Configuration) -> Finding | None:
    if before is None or now is None:
        return Finding(configuration=asked, kind="added" if before is None else "removed")
    if left := [record.id for record, cell in ((a, before), (b, now)) if not cell.done]:
        why = f"not measured yet in {' and '.join(left)}: `webinfer bench --resume` goes on with it"
        return Finding(configuration=asked, kind="unmeasured", why=why)
    if before.status != "measured" or now.status != "measured":
        if before.status == now.status or "measured" not in (before.status, now.status):
            return None
        kind: Kind = "broken" if before.status == "measured" else "repaired"
        return Finding(configuration=asked, kind=kind, why=now.why or before.why)
    confidence = min(a.method.confidence, b.method.confidence)
    raw = between(launches(before.turns), launches(now.turns), confidence=confidence)
    natives = a.reference(before), b.reference(now)
    relative = native = None
    if natives[0] is not None and natives[1] is not None:
        sides = [
            launches(list(ratios(cell.turns, side))) for cell, side in zip((before, now), natives, strict=True) if side
        ]
        relative = between(sides[0], sides[1], confidence=confidence)
        native = between(launches(natives[0].turns), launches(natives[1].turns), confidence=confidence)
    made = Finding(configuration=asked, kind="compared", raw=raw, relative=relative, native=native)
    if before.agreement and now.agreement and before.agreement.passed and not now.agreement.passed:
        why = f"its answers are wrong, and were right before: {now.agreement.fault}"
        return replace(made, kind="wrong", why=why)
    return made


def _sure(findings: Sequence[Finding], limit: float) -> list[Finding]:
    """Test the changes of all, and correct the p-values for their number."""
    counted = [each.counted for each in findings]
    corrected = iter(adjusted([each.p_value for each in counted if each]))
    beyond = iter(adjusted([each.p_beyond(limit) for each in counted if each]))
    made = []
    for finding, change in zip(findings, counted, strict=True):
        if change is None:
            made.append(replace(finding, limit=limit))
            continue
        sure = replace(change, p_value=next(corrected))
        kept = replace(finding, relative=sure) if finding.relative else replace(finding, raw=sure)
        made.append(replace(kept, limit=limit, p_beyond=next(beyond)))
    return made
