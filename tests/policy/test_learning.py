"""What is learned converges, is bounded in what it costs, and forgets what is no longer so."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webinfer.pool.learning.bandit import (
    ENOUGH,
    PATIENCE,
    SHARE,
    SLOWEST,
    WINDOW,
    Arm,
    Learning,
    Record,
    better,
    gain,
    recall,
    try_now,
)

A, B, C = (Arm(name, "wasm") for name in ("embedded", "chromium", "firefox"))
REQUESTS = 200
RECORDED = json.loads((Path(__file__).parent / "latencies.json").read_text(encoding="utf-8"))["seconds"]

Latencies = dict[Arm, list[float]]


def measured(*seconds: float, version: str = "1.0", load: float = 0.0) -> Record:
    record = Record(load=load)
    for each in seconds:
        record = record.add(each, version)
    return record


def replay(latencies: Latencies, requests: int, seed: int) -> tuple[Learning, list[Arm]]:
    """Have a policy live through latencies that were recorded; every arm that it wants is ready at once.

    Returns:
        The policy, and where each request went.
    """
    chance = random.Random(seed)
    learning, picks = Learning(next(iter(latencies)), list(latencies)), []
    learning.ready.add(learning.serving)
    for _ in range(requests):
        picks.append(arm := learning.pick(chance.random()))
        learning.observe(arm, chance.choice(latencies[arm]), "1.0")
        if (wanted := learning.wanted()) is not None:
            learning.observe(wanted, min(chance.choice(latencies[wanted]) for _ in range(3)), "1.0")
            learning.ready.add(wanted)
    return learning, picks


def typical(seconds: list[float]) -> float:
    return math.exp(sum(map(math.log, seconds)) / len(seconds))


@pytest.mark.parametrize("model", RECORDED)
@pytest.mark.parametrize("first", range(len(next(iter(RECORDED.values())))))
def test_recorded_latencies_lead_to_the_best_choice_from_wherever_it_begins(model: str, first: int) -> None:
    arms = {Arm(*name.split()): seconds for name, seconds in RECORDED[model].items()}
    order = [*arms][first:] + [*arms][:first]
    cost = {arm: typical(seconds) for arm, seconds in arms.items()}
    best = min(cost.values())
    regrets = []
    for seed in range(20):
        learning, picks = replay({arm: arms[arm] for arm in order}, REQUESTS, seed)
        assert cost[learning.serving] < 1.2 * best, learning.explain(learning.serving)
        regrets.append(sum(cost[arm] - best for arm in picks))
    stubborn = REQUESTS * (cost[order[0]] - best)  # the regret of staying where it began
    trials = REQUESTS * SHARE * (SLOWEST - 1) * best  # that of trials as slow as they may be, to the last
    assert sum(regrets) / len(regrets) < stubborn / 2 + trials / 2


@given(
    means=st.lists(st.floats(0.001, 1.0), min_size=2, max_size=5),
    spread=st.floats(0.0, 0.5),
    requests=st.integers(1, 300),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=100, deadline=None)
def test_trials_are_a_tenth_of_the_requests_at_most_and_what_serves_is_never_clearly_worse(
    means: list[float], spread: float, requests: int, seed: int
) -> None:
    chance = random.Random(seed)
    arms = {
        Arm(f"b{at}", "wasm"): [mean * math.exp(chance.gauss(0, spread)) for _ in range(50)]
        for at, mean in enumerate(means)
    }
    learning, picks = replay(arms, requests, seed)
    assert learning.requests == len(picks) == requests
    assert learning.trials <= SHARE * requests
    assert better(learning.serving, learning.ready, learning.records) is None


def test_first_requests_are_served_where_the_table_says() -> None:
    learning = Learning(A, [A, B])
    learning.ready |= {A, B}
    assert [learning.pick(0.0) for _ in range(PATIENCE - 1)] == [A] * (PATIENCE - 1)
    assert learning.pick(0.0) == B


def test_request_that_must_not_be_a_trial_is_none() -> None:
    learning = Learning(A, [A, B])
    learning.ready |= {A, B}
    assert {learning.pick(0.0, trial=False) for _ in range(100)} == {A}


def test_what_is_not_ready_or_is_barred_gets_no_request() -> None:
    learning = Learning(A, [A, B, C])
    learning.ready |= {A, C}
    learning.bar(C, "its answers differ")
    assert {learning.pick(0.0) for _ in range(100)} == {A}
    assert "firefox wasm is out: its answers differ" in learning.explain(A)


def test_much_slower_place_is_left_after_one_measurement() -> None:
    learning = Learning(A, [A, B], {A: measured(*[0.01] * 20), B: measured(0.01 * SLOWEST * 2)})
    learning.ready |= {A, B}
    assert learning.promising() == []
    assert {learning.pick(0.0) for _ in range(100)} == {A}


def test_change_needs_more_than_luck_and_more_than_a_little() -> None:
    noisy = {A: measured(0.010, 0.012, 0.009, 0.011, 0.010), B: measured(0.006, 0.013, 0.007, 0.012, 0.008)}
    assert better(A, [A, B], noisy) is None
    little = {A: measured(*[0.0100] * 500), B: measured(*[0.0097] * 500)}
    assert gain(B, A, little).mean > 0
    assert better(A, [A, B], little) is None
    clear = {A: measured(*[0.010] * 30), B: measured(*[0.006] * 30)}
    assert better(A, [A, B], clear) == B
    assert better(B, [A, B], clear) is None


def test_new_version_of_a_browser_is_measured_anew_and_an_update_of_the_same_is_not() -> None:
    old = measured(*[0.01] * 50, version="140.0", load=2.0)
    assert old.add(0.01, "140.1").runs == 51
    new = old.add(0.02, "141.0")
    assert (new.runs, new.version, new.load) == (1, "141.0", 2.0)
    assert new.seconds == pytest.approx(0.02)


@given(st.lists(st.floats(1e-5, 1e3), min_size=1, max_size=WINDOW))
def test_mean_and_variance_are_those_of_the_logarithms(seconds: list[float]) -> None:
    record = measured(*seconds)
    logs = [math.log(each) for each in seconds]
    mean = sum(logs) / len(logs)
    assert record.mean == pytest.approx(mean)
    assert record.variance == pytest.approx(sum((each - mean) ** 2 for each in logs) / len(logs), abs=1e-9)


def test_what_was_measured_long_ago_fades() -> None:
    record = measured(*[0.01] * 1000, *[0.05] * 3 * WINDOW)
    assert record.seconds == pytest.approx(0.05, rel=0.1)
    assert record.error(record) > 0


def test_earlier_measurements_choose_the_place_with_the_load_counted() -> None:
    records = {
        A: measured(*[0.010] * 20, load=0.5),
        B: measured(*[0.005] * 20, load=3.0),
        C: measured(*[0.001] * (ENOUGH - 1)),
    }
    assert recall([A, B, C], records, horizon=100) == A
    assert recall([A, B, C], records, horizon=10_000) == B
    assert recall([C], records, horizon=100) is None


def test_next_place_is_made_ready_once_the_model_served_as_long_as_the_last_one_took() -> None:
    learning = Learning(A, [A, B, C])
    learning.ready.add(A)
    for _ in range(PATIENCE):
        assert learning.wanted() is None
        learning.observe(learning.pick(1.0), 0.1, "1.0")
    assert learning.wanted() == B
    learning.bar(B, "it does not load")
    learning.invested += 5.0
    assert learning.wanted() is None
    for _ in range(45):
        learning.observe(learning.pick(1.0), 0.1, "1.0")
    assert learning.wanted() == C


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1))
def test_budget_of_trials_is_never_overdrawn(requests: int, trials: int, chance: float) -> None:
    if try_now(requests, trials, chance):
        assert trials + 1 <= SHARE * (requests + 1)
