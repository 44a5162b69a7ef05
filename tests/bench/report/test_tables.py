"""Rows of a benchmark: figures, answers, scaling and absences."""

from __future__ import annotations

import pytest

from tests.bench.records import WASM, record
from webinfer.bench import Configuration
from webinfer.bench.report.markdown import record_markdown
from webinfer.bench.report.tables import SPEED, describe_law, scaling_curves, speed_row
from webinfer.core.statistics import Scaling, within_launch


def test_a_ratio_to_native_is_that_of_their_times() -> None:
    made = record(2)
    row = speed_row(made, made.cells[0])
    assert float(row[SPEED.index("Of native")].split()[0]) == pytest.approx(0.25, rel=0.05)


def test_too_few_rounds_for_the_confidence_are_seen() -> None:
    made = record(9, launched=1)
    made.cells[0].interval = within_launch([0.02, 0.021, 0.022])
    row = speed_row(made, made.cells[0])
    assert row[SPEED.index("ms per item")] == "21* (20–22 at 75%)"


def test_outliers_are_counted_and_not_dropped() -> None:
    made = record(5, cells=(WASM,))
    made.cells[0].turns[0].seconds[0] = 5.0
    row = speed_row(made, made.cells[0])
    told = row[SPEED.index("Outliers")]
    assert told.endswith("of 120")
    assert int(told.split()[0]) >= 1


def test_several_concurrencies_tell_what_limits_them() -> None:
    lanes = [Configuration(model=WASM.model, browser="embedded", backend="wasm", concurrency=n) for n in (1, 2, 4)]
    made = record(6, cells=tuple(lanes))
    (curve,) = scaling_curves(made)
    assert curve.name == "random:bert-tiny, wasm in embedded"
    assert list(curve.rates) == [1, 2, 4]
    assert curve.law is not None
    assert curve.law.contention == pytest.approx(1, abs=0.1)  # what was made up is as fast with four as with one
    assert curve.limit.kind == "callers"
    assert "## Scaling" in record_markdown(made)
    assert f"off by {curve.law.error:.1%} at most" in record_markdown(made)


def test_a_law_that_nothing_tests_says_so() -> None:
    law = Scaling(rate=100, contention=0.1, crosstalk=0.01, error=None)
    assert describe_law(law) == "contention 0.100, crosstalk 0.0100, it fits exactly, so that nothing tests it"
