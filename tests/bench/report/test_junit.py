"""JUnit's XML is read by its readers, whatever errors hold."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.bench.records import WASM, WEBNN, record
from webinfer.bench import compare
from webinfer.bench.report.junit import comparison_junit, record_junit


def test_junit_is_xml_whatever_an_error_holds() -> None:
    made = record(9, cells=(WASM, WEBNN))
    one, two = made.cells
    one.status, one.why, one.code = "failed", "\x1b[31mboom\x00\ud800\ufffe <ä🙂>\n\t]]>", "a\x08"
    two.status, two.why = "cannot", "none\x7f\x0b"
    failed, skipped = ElementTree.fromstring(record_junit(made).encode())
    assert failed[0].attrib == {"message": "[31mboom <ä🙂>\n\t]]>", "type": "a"}
    assert skipped[0].attrib == {"message": "none\x7f"}
    found = compare(record(9, cells=(WASM, WEBNN)), made)
    (broken, _) = ElementTree.fromstring(comparison_junit(found).encode())
    assert broken[0].get("message") == "[31mboom <ä🙂>\n\t]]>"


def test_junit_has_the_moment_in_utc_and_the_sum_of_times_as_its_readers_want_them() -> None:
    made = record(10, cells=(WASM, WEBNN))
    made.started = "2026-01-01T01:30:00.123456+02:00"
    text = record_junit(made)
    suite = ElementTree.fromstring(text.encode())
    assert text.startswith("<?xml version='1.0' encoding='utf-8'?>")
    assert suite.get("timestamp") == "2025-12-31T23:30:00"
    times = [float(case.get("time", "")) for case in suite]
    assert times == pytest.approx([0.02, 0.02], rel=0.1)
    assert suite.get("time") == f"{sum(times):.3f}"
    made.started = ""
    assert "timestamp" not in ElementTree.fromstring(record_junit(made).encode()).attrib
    compared = ElementTree.fromstring(comparison_junit(compare(made, made)))
    assert compared.get("time") == "0.000"
