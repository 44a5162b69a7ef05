"""A result of tuning says what to take of what the caller allows, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from webinfer.core.options import Backend
from webinfer.core.statistics import Interval
from webinfer.tuning.candidate import Candidate
from webinfer.tuning.tuning import Standing, Tuning, is_alike

MODEL, MACHINE = "a" * 64, "m1"


def place(browser: str, backend: Backend, precision: str = "fp32", **size: Any) -> Candidate:
    return Candidate(browser=browser, backend=backend, precision=precision, **size)


FAST, NEXT, OTHER = place("firefox", "wasm", "q8", lanes=2), place("embedded", "webnn"), place("embedded", "wasm")
VERSIONS = {"firefox": "150.0", "embedded": "153.0.1"}


def result(**changes: Any) -> Tuning:
    """Return the result of a contest in which Firefox won before two places of Chromium."""
    known: dict[str, Any] = {
        "model": MODEL,
        "name": "m",
        "machine": MACHINE,
        "version": "150.0",
        "winner": FAST,
        "runner_up": NEXT,
        "gain": Interval(1.81, 1.72, 1.93),
        "seconds": 0.010,
        "at": "2026-11-30T12:00:00+00:00",
        "cost": 42.0,
        "standings": (
            Standing(candidate=FAST, seconds=0.010, rounds=20),
            Standing(candidate=NEXT, seconds=0.018, rounds=20),
            Standing(candidate=OTHER, seconds=0.030, rounds=5, reason="3.00 times the time"),
        ),
        "versions": VERSIONS,
    }
    return Tuning(**known | changes)


def test_winner_is_taken_where_everything_is_allowed() -> None:
    best = result().best(VERSIONS, lambda _: True)
    assert best is not None
    assert best.candidate == FAST


@pytest.mark.parametrize(
    ("versions", "allowed", "taken"),
    [
        (VERSIONS, {"fp32"}, NEXT),
        ({"embedded": "153.9"}, {"fp32", "q8"}, NEXT),
        ({"embedded": ""}, {"fp32"}, NEXT),
        ({"embedded": "154.0"}, {"fp32"}, None),
        ({"chrome": "153.0"}, {"fp32"}, None),
        (VERSIONS, {"q4"}, None),
    ],
    ids=["another precision", "no such browser", "version unknown", "newer browser", "not measured", "not in it"],
)
def test_next_best_is_taken_of_what_is_there_and_allowed(
    versions: dict[str, str], allowed: set[str], taken: Candidate | None
) -> None:
    best = result().best(versions, lambda candidate: candidate.precision in allowed)
    assert (best.candidate if best else None) == taken


def test_what_failed_or_never_ran_is_not_taken() -> None:
    failed = Standing(candidate=FAST, seconds=0.010, rounds=3, reason="it crashed", failed=True)
    unmeasured = Standing(candidate=NEXT, reason="the budget ended before its turn")
    assert result(standings=(failed, unmeasured)).best(VERSIONS, lambda _: True) is None


def test_result_is_stale_once_the_winners_browser_is_another_major_version() -> None:
    assert not result().is_stale(VERSIONS)
    assert not result().is_stale({"firefox": "150.7"})
    assert not result().is_stale({"embedded": "999"})
    assert not result().is_stale({"firefox": ""})
    assert result().is_stale({"firefox": "151.0"})


def test_versions_are_alike_by_their_first_number() -> None:
    assert is_alike("153.0.1", "153.9")
    assert not is_alike("15.3", "153.0")
    assert is_alike("", "153.0")


@pytest.mark.parametrize(
    ("changes", "candidate", "why"),
    [
        ({}, FAST, "tuned on 2026-11-30: 1.8 (1.7\N{EN DASH}1.9) times the next"),
        (
            {"gain": Interval(1.04, 1.01, 1.07)},
            FAST,
            "tuned on 2026-11-30: 1.04 (1.01\N{EN DASH}1.07) times the next",
        ),
        ({"gain": None, "runner_up": None}, FAST, "tuned on 2026-11-30: nothing else could be measured"),
        ({}, NEXT, "tuned on 2026-11-30: webnn in embedded, fp32 is the fastest that is allowed here"),
        ({"source": "benchmark"}, FAST, "benchmarked on 2026-11-30: 1.8 (1.7\N{EN DASH}1.9) times the next"),
    ],
    ids=["clear", "close", "alone", "not the winner", "benchmark"],
)
def test_reason_names_the_day_and_the_lead(changes: dict[str, Any], candidate: Candidate, why: str) -> None:
    assert replace(result(), **changes).explain(candidate) == why
