"""A comparison is told in plain words: what changed, what fails, and what the columns mean."""

from __future__ import annotations

from tests.bench.records import WASM, WEBNN, WRONG, record
from webinfer.bench import compare
from webinfer.bench.report.comparison import (
    comparison_headings,
    comparison_row,
    describe_outcome,
    describe_result,
    explain_columns,
)


def test_a_row_has_a_text_below_each_heading() -> None:
    findings = compare(record(1), record(2, slower=1.4), limit=0.1)
    row = dict(zip(comparison_headings(findings), comparison_row(findings[0]), strict=True))
    assert row["Where"] == "wasm in embedded"
    assert row["Result"] == "severely slower"
    assert row["Change"].startswith("+")
    assert float(row["p-value, >10%"]) < 0.05


def test_results_have_words_of_their_own() -> None:
    now = record(2, cells=(WASM,), agreement=WRONG)
    assert [describe_result(finding) for finding in compare(record(1), now)] == ["wrong answers", "only in A"]
    now = record(2, cells=(WASM, WEBNN))
    now.cells[0].status, now.cells[1].status = "failed", "waiting"
    assert [describe_result(finding) for finding in compare(record(1), now)] == ["no longer runs", "not measured"]


def test_an_outcome_counts_the_results_and_says_when_machines_differ() -> None:
    a, b = record(1), record(2, slower=1.4)
    assert describe_outcome(a, b, compare(a, b)) == ["2 configurations: 2 severely slower."]
    b.machine["id"] = "another"
    counts, failing, machines = describe_outcome(a, b, compare(a, b, limit=0.1), gate=True)
    assert counts == "2 configurations: 2 severely slower."
    assert failing.startswith("2 of 2 fail. A configuration fails if it is more than 10% slower")
    assert machines == "A and B ran on different machines. Compare only the column Change."


def test_only_columns_with_figures_are_explained() -> None:
    assert [line.split(":")[0] for line in explain_columns(compare(record(1), record(2, slower=1.4)))] == [
        "Change",
        "p-value",
        "p-value, >5%",
        "Time alone, Native alone",
    ]
    unclear = compare(record(1, launched=1), record(2, slower=2, launched=1))
    assert [line.split(":")[0] for line in explain_columns(unclear)][-1] == "unclear"
    broken = record(2, cells=(WASM,))
    broken.cells[0].status = "failed"
    assert explain_columns(compare(record(1, cells=(WASM,)), broken)) == []


def test_explanations_are_short_sentences() -> None:
    a, b = record(1, launched=1), record(2, slower=2, launched=1)
    b.machine["id"] = "another"
    findings = compare(a, b)
    for line in [*describe_outcome(a, b, findings, gate=True), *explain_columns(findings)]:
        for sentence in line.replace(": ", ". ").split(". "):
            assert len(sentence.split()) <= 25, sentence
