"""Reports: nothing is left out, and what is wrong is seen."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from tests.bench.records import WASM, WEBNN, WRONG, record
from webinfer.bench import Configuration, compare, junit, report, storage
from webinfer.cli.output.terminal import THEME
from webinfer.cli.views.bench import view
from webinfer.core.errors import BenchmarkError
from webinfer.core.statistics import Scaling, within_launch
from webinfer.telemetry.database.connection import connect
from webinfer.telemetry.report.findings import gather


def test_markdown_tells_the_figures_the_absences_and_the_method() -> None:
    made = record(1)
    made.cells[1].status, made.cells[1].why = "cannot", "the browser has no navigator.ml"
    text = report.markdown(made)
    assert "| random:bert-tiny | wasm in embedded | software |" in text
    assert "| random:bert-tiny, webnn in embedded | the browser has no navigator.ml |" in text
    assert "3 launches of each browser" in text
    assert "fixed piece of work scattered by" in text


def test_a_ratio_to_native_is_that_of_their_times() -> None:
    made = record(2)
    row = report.speed(made, made.cells[0])
    assert float(row[report.SPEED.index("Of native")].split()[0]) == pytest.approx(0.25, rel=0.05)


def test_intervals_of_one_launch_say_so_wherever_they_are_shown(tmp_path: Path) -> None:
    one, several = record(9, launched=1), record(9)
    assert "ms per item, within one launch | Items/s | Of native, within one launch" in report.markdown(one)
    assert "intervals are those within one launch" in report.markdown(one)
    assert "within one launch" not in report.markdown(several)
    assert one.to_dict()["cells"][0]["interval"]["scope"] == "within one launch"
    console = Console(width=200, theme=THEME, color_system=None)
    with console.capture() as captured:
        console.print(view(one))
    assert captured.get().count("within one launch") == 2
    for made, scope in ((one, "within one launch"), (several, "over launches")):
        path = str(tmp_path / f"{scope}.duckdb")
        with storage.opened(path) as store:
            assert store is not None
            storage.write(store, made)
        assert {row["scope"] for row in gather(connect(path))["benched"]} == {scope}


def test_too_few_rounds_for_the_confidence_are_seen() -> None:
    made = record(9, launched=1)
    made.cells[0].interval = within_launch([0.02, 0.021, 0.022])
    row = report.speed(made, made.cells[0])
    assert row[report.SPEED.index("ms per item")] == "21* (20–22 at 75%)"


@pytest.mark.parametrize(("value", "written"), [(0.041871, "0.04187"), (9999.4, "9999"), (23881.2, "23,881")])
def test_figures_have_four_digits_that_count_and_no_exponent(value: float, written: str) -> None:
    assert report.figure(value) == written


def test_wrong_answers_are_seen_in_every_report() -> None:
    made = record(3, cells=(WASM,), agreement=WRONG)
    assert "WRONG: y is off by 0.3 of its largest value, over 0.001" in report.markdown(made)
    suite = ElementTree.fromstring(junit.of_record(made))
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")


def test_junit_is_xml_whatever_an_error_holds() -> None:
    made = record(9, cells=(WASM, WEBNN))
    one, two = made.cells
    one.status, one.why, one.code = "failed", "\x1b[31mboom\x00\ud800\ufffe <ä🙂>\n\t]]>", "a\x08"
    two.status, two.why = "cannot", "none\x7f\x0b"
    failed, skipped = ElementTree.fromstring(junit.of_record(made).encode())
    assert failed[0].attrib == {"message": "[31mboom <ä🙂>\n\t]]>", "type": "a"}
    assert skipped[0].attrib == {"message": "none\x7f"}
    found = compare(record(9, cells=(WASM, WEBNN)), made)
    (broken, _) = ElementTree.fromstring(junit.of_findings(found).encode())
    assert broken[0].get("message") == "[31mboom <ä🙂>\n\t]]>"


def test_junit_has_the_moment_in_utc_and_the_sum_of_times_as_its_readers_want_them() -> None:
    made = record(10, cells=(WASM, WEBNN))
    made.started = "2026-01-01T01:30:00.123456+02:00"
    text = junit.of_record(made)
    suite = ElementTree.fromstring(text.encode())
    assert text.startswith("<?xml version='1.0' encoding='utf-8'?>")
    assert suite.get("timestamp") == "2025-12-31T23:30:00"
    times = [float(case.get("time", "")) for case in suite]
    assert times == pytest.approx([0.02, 0.02], rel=0.1)
    assert suite.get("time") == f"{sum(times):.3f}"
    made.started = ""
    assert "timestamp" not in ElementTree.fromstring(junit.of_record(made).encode()).attrib
    compared = ElementTree.fromstring(junit.of_findings(compare(made, made)))
    assert compared.get("time") == "0.000"


def test_what_has_one_reason_is_told_once() -> None:
    made = record(4, cells=(WASM, WEBNN))
    for cell in made.cells:
        cell.status, cell.why = "cannot", "no browser found"
    assert report.absences(made) == [["random:bert-tiny (full); wasm, webnn in embedded", "no browser found"]]
    assert 'skipped="2"' in junit.of_record(made)


def test_a_table_stays_one_whatever_a_model_is_called() -> None:
    assert report.table(("A",), [["<b>a|b</b>\nc"]]).splitlines()[2] == r"| \<b>a\|b\</b> c |"
    assert report.table(("A",), [[r"a\|b"]]).splitlines()[2] == r"| a\\\|b |"  # or the bar would end the cell


def test_outliers_are_counted_and_not_dropped() -> None:
    made = record(5, cells=(WASM,))
    made.cells[0].turns[0].seconds[0] = 5.0
    row = report.speed(made, made.cells[0])
    told = row[report.SPEED.index("Outliers")]
    assert told.endswith("of 120")
    assert int(told.split()[0]) >= 1


def test_several_concurrencies_tell_what_limits_them() -> None:
    lanes = [Configuration(model=WASM.model, browser="embedded", backend="wasm", concurrency=n) for n in (1, 2, 4)]
    made = record(6, cells=tuple(lanes))
    ((name, rates, law, held),) = report.curves(made)
    assert name == "random:bert-tiny, wasm in embedded"
    assert list(rates) == [1, 2, 4]
    assert law is not None
    assert law.contention == pytest.approx(1, abs=0.1)  # what was made up is as fast with four as with one
    assert held.kind == "callers"
    assert "## Scaling" in report.markdown(made)
    assert f"off by {law.error:.1%} at most" in report.markdown(made)


def test_a_law_that_nothing_tests_says_so() -> None:
    law = Scaling(rate=100, contention=0.1, crosstalk=0.01, error=None)
    assert report.fitted(law) == "contention 0.100, crosstalk 0.0100, nothing is left to test it with"


def test_a_comparison_names_what_fails() -> None:
    a, b = record(7), record(8, slower=1.4)
    found = compare(a, b, limit=0.10)
    text = report.compared(a, b, found, gate=True)
    assert text.count("**slower, severe**") == 2
    assert "2 of 2 fail: slower by over 10% and more than chance explains" in text
    assert "| p-value, by over 10% |" in text
    assert "fail" not in report.compared(a, b, found)  # without a limit, it only tells
    suite = ElementTree.fromstring(junit.of_findings(found))
    assert suite.get("failures") == "2"


def test_the_summary_goes_where_github_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(report.SUMMARY, str(tmp_path / "summary.md"))
    report.to_summary("# One")
    report.to_summary("# Two")
    assert (tmp_path / "summary.md").read_text() == "# One\n# Two\n"
    monkeypatch.delenv(report.SUMMARY)
    with pytest.raises(BenchmarkError, match=report.SUMMARY):
        report.to_summary("# Three")
