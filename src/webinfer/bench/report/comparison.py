"""A comparison of two benchmarks as rows and sentences, which Markdown and the terminal share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from webinfer.bench.compare import Finding
from webinfer.bench.record import Record
from webinfer.bench.report.numbers import NONE, format_change, format_p_value

_SEVERITIES = {
    "none": "same",
    "unclear": "unclear",
    "improvement": "faster",
    "minor": "slightly slower",
    "moderate": "moderately slower",
    "severe": "severely slower",
}
_KINDS = {
    "broken": "no longer runs",
    "repaired": "runs again",
    "wrong": "wrong answers",
    "added": "only in B",
    "removed": "only in A",
    "unmeasured": "not measured",
}


def comparison_headings(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return the headings of ``comparison_row``.

    Args:
        findings: What the comparison found.
    """
    return "Where", "Result", "Change", "p-value", _beyond(findings), "Time alone", "Native alone"


def comparison_row(finding: Finding) -> list[str]:
    """Return a row about one configuration.

    Args:
        finding: What the comparison found for it.

    Returns:
        Texts below ``comparison_headings``.
    """
    change = finding.counted
    return [
        finding.configuration.place,
        describe_result(finding),
        format_change(finding.relative),
        format_p_value(change.p_value) if change else NONE,
        format_p_value(finding.p_beyond),
        format_change(finding.raw),
        format_change(finding.native),
    ]


def describe_result(finding: Finding) -> str:
    """Return in a few words what changed for a configuration, such as ``slightly slower``.

    Args:
        finding: What the comparison found for it.
    """
    return _SEVERITIES[finding.severity] if finding.kind == "compared" else _KINDS[finding.kind]


def describe_title(a: Record, b: Record) -> str:
    """Return a title with the names of both benchmarks.

    Args:
        a: The earlier benchmark.
        b: The later one.
    """
    return f"Comparison of B, {b.id}, with A, {a.id}"


def describe_outcome(a: Record, b: Record, findings: Sequence[Finding], *, gate: bool = False) -> list[str]:
    """Summarize a comparison.

    Args:
        a: The earlier benchmark.
        b: The later one.
        findings: What the comparison found.
        gate: Whether configurations can fail.

    Returns:
        Sentences, a paragraph each.
    """
    counts = Counter(describe_result(finding) for finding in findings)
    total = "1 configuration" if len(findings) == 1 else f"{len(findings)} configurations"
    lines = [f"{total}: {', '.join(f'{count} {result}' for result, count in counts.items())}."]
    if gate:
        limit = _percent(findings[0].limit)
        failing = sum(finding.fails for finding in findings)
        lines.append(
            f"{failing} of {len(findings)} fail. A configuration fails if it is more than {limit} slower and chance "
            "does not explain that. It also fails if it no longer runs or gives wrong answers."
        )
    if a.machine.get("id") != b.machine.get("id"):
        lines.append("A and B ran on different machines. Compare only the column Change.")
    return lines


def explain_columns(findings: Sequence[Finding]) -> list[str]:
    """Explain the columns of a comparison, as far as they have figures.

    Args:
        findings: What the comparison found.

    Returns:
        Sentences, a paragraph each.
    """
    if not any(finding.counted for finding in findings):
        return []
    limit = _percent(findings[0].limit)
    lines = [
        "Change: how the time of B differs from that of A. Both are divided by native onnxruntime's time in the same "
        "rounds. So a slower machine does not look like a slower program.",
        "p-value: the probability that chance alone gives such a change.",
        f"{_beyond(findings)}: the probability that a configuration that is exactly {limit} slower looks so slow by "
        f"chance. A small value means that it is slower by more than {limit}.",
        "Time alone, Native alone: the changes of the two times before the division.",
    ]
    if any(finding.counted and not finding.relative for finding in findings):
        lines.append("Without native onnxruntime's time there is no Change, and the result follows Time alone.")
    if any(finding.severity == "unclear" for finding in findings):
        lines.append(
            "unclear: there may be a change, but chance can explain it. Measure with more launches: "
            "webinfer bench --launches N."
        )
    return lines


def _beyond(findings: Sequence[Finding]) -> str:
    return f"p-value, >{_percent(findings[0].limit)}"


def _percent(limit: float) -> str:
    return f"{100 * limit:.3g}%"
