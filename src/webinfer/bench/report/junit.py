"""A benchmark and a comparison as JUnit's XML, which Jenkins, GitLab and others read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree

from webinfer.bench.compare import Finding
from webinfer.bench.record import Record
from webinfer.bench.report.comparison import describe_result
from webinfer.bench.report.numbers import format_change, format_p_value
from webinfer.bench.report.tables import describe_answers

_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot have, even escaped, such as a terminal's colour codes."""


def record_junit(record: Record) -> str:
    """Return a benchmark as JUnit's XML: a case for each configuration, with the time of one item.

    Args:
        record: The benchmark.
    """
    suite = ElementTree.Element("testsuite", name=f"webinfer bench {record.id}")
    if record.started:
        moment = datetime.fromisoformat(record.started).astimezone(UTC)
        suite.set("timestamp", f"{moment:%Y-%m-%dT%H:%M:%S}")  # readers of JUnit's XML accept no time zone
    for cell in record.cells:
        case = _case(suite, "webinfer.bench", str(cell.configuration), cell.interval.estimate if cell.interval else 0)
        if cell.status == "failed":
            ElementTree.SubElement(case, "error", message=cell.why or "", type=cell.code or "")
        elif cell.status != "measured":
            ElementTree.SubElement(case, "skipped", message=cell.why or "not done")
        elif cell.agreement is not None and not cell.agreement.passed:
            ElementTree.SubElement(case, "failure", message=describe_answers(cell), type="wrong")
    return _document(suite)


def comparison_junit(findings: Sequence[Finding]) -> str:
    """Return a comparison as JUnit's XML: a case for each configuration. Those that fail are failures.

    Args:
        findings: What the comparison found.
    """
    suite = ElementTree.Element("testsuite", name="webinfer compare")
    for finding in findings:
        case = _case(suite, "webinfer.compare", str(finding.configuration), 0)
        if finding.fails:
            message = finding.why or (
                f"{describe_result(finding)}: {format_change(finding.counted)}; slower by more than "
                f"{100 * finding.limit:.3g}%: p = {format_p_value(finding.p_beyond)}"
            )
            ElementTree.SubElement(case, "failure", message=message, type=finding.kind)
        elif finding.kind in ("added", "removed"):
            message = f"{describe_result(finding)}: there is nothing to compare it with"
            ElementTree.SubElement(case, "skipped", message=message)
        elif finding.kind == "unmeasured":
            ElementTree.SubElement(case, "skipped", message=finding.why or "not measured")
    return _document(suite)


def _case(suite: ElementTree.Element, group: str, name: str, seconds: float) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=group, name=name, time=f"{seconds:.6f}")


def _document(suite: ElementTree.Element) -> str:
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f".//{tag}"))))
    suite.set("tests", str(len(suite)))
    suite.set("time", f"{sum(float(case.get('time', 0)) for case in suite):.3f}")  # Jenkins needs the sum
    for element in suite.iter():
        for name, value in element.items():
            element.set(name, _FORBIDDEN.sub("", value))
    ElementTree.indent(suite)
    text: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return text.decode() + "\n"
