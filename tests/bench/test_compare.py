"""Two benchmarks side by side: what fails, and what must not."""

from __future__ import annotations

import pytest

from tests.bench.records import RIGHT, WASM, WEBNN, WRONG, record
from webinfer.bench.compare import check_finished, check_launches, compare
from webinfer.bench.report.junit import comparison_junit
from webinfer.core.errors import BenchmarkError


def test_a_slower_program_fails_and_an_equal_one_does_not() -> None:
    assert all(finding.fails for finding in compare(record(1), record(2, slower=1.25), limit=0.10))
    assert not any(finding.fails for finding in compare(record(1), record(2), limit=0.10))


def test_a_change_is_told_where_it_may_be_as_small_as_the_limit_and_does_not_fail() -> None:
    slower = compare(record(1), record(2, slower=1.12), limit=0.10)
    assert [finding.severity for finding in slower] == ["moderate", "moderate"]
    assert not any(finding.fails for finding in slower)
    assert {finding.to_dict()["limit"] for finding in slower} == {0.10}
    assert all(0.05 < finding.to_dict()["p_beyond"] < 1 and finding.to_dict()["fails"] is False for finding in slower)


def test_benchmarks_that_are_slower_by_the_limit_seldom_fail() -> None:
    pairs = [compare(record(seed), record(100 + seed, slower=1.10), limit=0.10) for seed in range(40)]
    assert sum(any(finding.fails for finding in found) for found in pairs) <= 4
    changed = [found.severity in ("minor", "moderate") for findings in pairs for found in findings]
    assert sum(changed) >= 0.8 * len(changed)  # that there is a change is seen all the same


def test_equal_benchmarks_seldom_raise_an_alarm() -> None:
    pairs = [compare(record(seed), record(100 + seed), limit=0.0) for seed in range(20)]
    assert sum(any(finding.severity not in ("none", "unclear") for finding in found) for found in pairs) <= 1
    assert sum(any(finding.fails for finding in found) for found in pairs) <= 1


def test_a_slower_machine_is_no_slower_program() -> None:
    for found in compare(record(3), record(4, machine=1.5), limit=0.10):
        assert found.raw is not None
        assert found.raw.change == pytest.approx(0.5, abs=0.1)
        assert not found.fails


def test_a_faster_machine_hides_no_slower_program() -> None:
    assert all(found.fails for found in compare(record(5), record(6, slower=1.3, machine=0.7), limit=0.10))


def test_what_no_longer_runs_or_answers_wrongly_fails() -> None:
    now = record(8)
    now.cells[0].status, now.cells[0].why = "failed", "the lane was lost"
    broken, _ = compare(record(7), now)
    assert (broken.kind, broken.why, broken.fails) == ("broken", "the lane was lost", True)
    wrong, _ = compare(record(7, agreement=RIGHT), record(8, agreement=WRONG))
    assert (wrong.kind, wrong.fails) == ("wrong", True)
    assert not any(found.fails for found in compare(record(7, agreement=WRONG), record(8, agreement=WRONG)))


@pytest.mark.parametrize("interrupted", ["before", "after"])
def test_what_was_interrupted_is_neither_broken_nor_repaired_and_no_gate(interrupted: str) -> None:
    before, after = record(11), record(12)
    check_finished(before, after)
    unfinished = before if interrupted == "before" else after
    unfinished.status, unfinished.cells[1].status, unfinished.cells[1].turns = "interrupted", "waiting", []
    compared, left = compare(before, after)
    assert (compared.kind, left.kind, left.fails) == ("compared", "unmeasured", False)
    assert left.why is not None
    assert unfinished.id in left.why
    assert "--resume" in left.why
    suite = comparison_junit([left])
    assert 'skipped="1"' in suite
    assert left.why in suite
    with pytest.raises(BenchmarkError, match=f"{unfinished.id} was interrupted: 1 of its 2 .* --resume"):
        check_finished(before, after)


def test_what_only_one_asked_for_is_told_and_fails_nothing() -> None:
    found = compare(record(9, cells=(WASM,)), record(10, cells=(WASM, WEBNN)))
    assert [finding.kind for finding in found] == ["compared", "added"]
    assert not any(finding.fails for finding in found[1:])


def test_benchmarks_of_different_things_are_refused() -> None:
    with pytest.raises(BenchmarkError, match="no configuration in common"):
        compare(record(1, cells=(WASM,)), record(2, cells=(WEBNN,)))


def test_one_launch_is_too_few_to_judge_by() -> None:
    with pytest.raises(BenchmarkError, match="too few launches"):
        check_launches(record(1), record(2, launched=1))
    assert {finding.severity for finding in compare(record(1, launched=1), record(2, slower=2, launched=1))} == {
        "unclear"
    }
