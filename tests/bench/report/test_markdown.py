"""Reports in Markdown: nothing is left out, and what is wrong is seen."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console

from tests.bench.records import WASM, WEBNN, WRONG, record
from webinfer.bench import Configuration, compare, storage
from webinfer.bench.report.junit import comparison_junit, record_junit
from webinfer.bench.report.markdown import comparison_markdown, record_markdown
from webinfer.bench.report.tables import absent_rows
from webinfer.cli.output.terminal import THEME
from webinfer.cli.views.bench import view
from webinfer.telemetry.database.connection import connect
from webinfer.telemetry.report.findings import gather


def test_markdown_tells_the_figures_the_absences_and_the_method() -> None:
    made = record(1)
    made.cells[1].status, made.cells[1].why = "cannot", "the browser has no navigator.ml"
    text = record_markdown(made)
    assert "| random:bert-tiny | wasm in embedded | software |" in text
    assert "| random:bert-tiny, webnn in embedded | the browser has no navigator.ml |" in text
    assert "3 launches of each browser" in text
    assert "fixed piece of work scattered by" in text


def test_intervals_of_one_launch_say_so_wherever_they_are_shown(tmp_path: Path) -> None:
    one, several = record(9, launched=1), record(9)
    assert "ms per item, within one launch | Items/s | Of native, within one launch" in record_markdown(one)
    assert "intervals of figures are those within one launch" in record_markdown(one)
    assert "within one launch" not in record_markdown(several)
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


def test_wrong_answers_are_seen_in_every_report() -> None:
    made = record(3, cells=(WASM,), agreement=WRONG)
    assert "WRONG: y is off by 0.3 of its largest value, over 0.001" in record_markdown(made)
    suite = ElementTree.fromstring(record_junit(made))
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")


def test_what_has_one_reason_is_told_once() -> None:
    made = record(4, cells=(WASM, WEBNN))
    for cell in made.cells:
        cell.status, cell.why = "cannot", "no browser found"
    assert absent_rows(made) == [["random:bert-tiny (full); wasm, webnn in embedded", "no browser found"]]
    assert 'skipped="2"' in record_junit(made)


def test_a_table_stays_one_whatever_a_model_is_called() -> None:
    for model, cell in (("<b>a|b</b>\nc", r"| \<b>a\|b\</b> c |"), (r"a\|b", r"| a\\\|b |")):  # no cell ends early
        made = record(1, cells=(Configuration(model=model, browser="embedded", backend="wasm"),))
        assert f"{cell} wasm in embedded |" in record_markdown(made)


def test_a_comparison_names_what_fails() -> None:
    a, b = record(7), record(8, slower=1.4)
    found = compare(a, b, limit=0.10)
    text = comparison_markdown(a, b, found, gate=True)
    assert text.count("**severely slower**") == 2
    assert "2 of 2 fail. A configuration fails if it is more than 10% slower" in text
    assert "| p-value, >10% |" in text
    assert "fail" not in comparison_markdown(a, b, found)  # without a limit, it only tells
    suite = ElementTree.fromstring(comparison_junit(found))
    assert suite.get("failures") == "2"
