"""A benchmark and a comparison as JUnit's XML, as Jenkins, GitLab and their like read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree

from webinfer.bench.compare import Finding
from webinfer.bench.record import Record
from webinfer.bench.report import answers, beyond, over, percent

_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML may hold, escaped or not, as colours of a terminal."""


def of_record(record: Record) -> str:
    """Write a benchmark as JUnit's XML: one case per configuration, its time that of one item.

    Args:
        record: The benchmark.

    Returns:
        XML.
    """
    suite = ElementTree.Element("testsuite", name=f"webinfer bench {record.id}")
    if record.started:
        moment = datetime.fromisoformat(record.started).astimezone(UTC)
        suite.set("timestamp", f"{moment:%Y-%m-%dT%H:%M:%S}")  # a zone is more than its readers take
    for cell in record.cells:
        case = _case(suite, "webinfer.bench", str(cell.configuration), cell.interval.estimate if cell.interval else 0)
        if cell.status == "failed":
            ElementTree.SubElement(case, "error", message=cell.why or "", type=cell.code or "")
        elif cell.status != "measured":
            ElementTree.SubElement(case, "skipped", message=cell.why or "not done")
        elif cell.agreement is not None and not cell.agreement.passed:
            ElementTree.SubElement(case, "failure", message=answers(cell), type="wrong")
    return _written(suite)


def of_findings(findings: Sequence[Finding]) -> str:
    """Write a comparison as JUnit's XML: one case per configuration, those that fail as failures.

    Args:
        findings: What the comparison found.

    Returns:
        XML.
    """
    suite = ElementTree.Element("testsuite", name="webinfer compare")
    for each in findings:
        case = _case(suite, "webinfer.compare", str(each.configuration), 0)
        if each.fails:
            said = each.why or f"{percent(each.counted)} slower; {over(findings)}: p = {beyond(each)}"
            ElementTree.SubElement(case, "failure", message=said, type=each.kind)
        elif each.kind in ("added", "removed"):
            ElementTree.SubElement(case, "skipped", message=f"{each.kind}: nothing to compare with")
        elif each.kind == "unmeasured":
            ElementTree.SubElement(case, "skipped", message=each.why or "not measured")
    return _written(suite)


def _case(suite: ElementTree.Element, group: str, name: str, seconds: float) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=group, name=name, time=f"{seconds:.6f}")


def _written(suite: ElementTree.Element) -> str:
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f".//{tag}"))))
    suite.set("tests", str(len(suite)))
    suite.set("time", f"{sum(float(case.get('time', 0)) for case in suite):.3f}")  # as Jenkins wants it
    for element in suite.iter():
        for name, value in element.items():
            element.set(name, _FORBIDDEN.sub("", value))
    ElementTree.indent(suite)
    made: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return made.decode() + "\n"
