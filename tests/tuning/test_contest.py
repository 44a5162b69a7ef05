"""The contest, without browsers: a clock and times that are made up here."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from webinfer.tuning.candidate import Candidate
from webinfer.tuning.contest import AT_ONCE, FAR, LEAST, MARGIN, OUT_OF_TIME, Close, Contest, Open, Outcome, Round

TURN = 0.1
SURE_ROUNDS = 8  # from which on a signed-rank test may be as sure as the contest wants


def candidates(count: int) -> list[Candidate]:
    return [Candidate(browser="embedded", backend="wasm", precision="fp32", lanes=1 + each) for each in range(count)]


class Course:
    """A contest that is run to its end.

    Args:
        times: Seconds per item of each candidate.
        budget: Seconds.
        noise: Standard deviation of the logarithm of each time, besides what the round as a whole has.
        openings: Seconds of each opening.
        failures: The round in which a candidate fails; 0 fails to open.
    """

    def __init__(
        self,
        times: Mapping[Candidate, float],
        budget: float,
        *,
        noise: float = 0.0,
        openings: Mapping[Candidate, float] | None = None,
        failures: Mapping[Candidate, int] | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        self.contest = Contest(list(times), budget, at_once=at_once)
        self.times, self.noise = times, noise
        self.openings, self.failures = openings or {}, failures or {}
        self.chance = random.Random(1)
        self.clock, self.longest = 0.0, 0.0
        self.open: set[Candidate] = set()
        self.most_open = 0
        self.orders: list[tuple[Candidate, ...]] = []

    def run(self) -> Outcome | None:
        while (action := self.contest.advance(self.clock)) is not None:
            if isinstance(action, Open):
                self._open(action)
            elif isinstance(action, Close):
                self.open.remove(action.candidate)
            else:
                self._round(action)
            self.most_open = max(self.most_open, len(self.open))
        return self.contest.outcome()

    def _open(self, action: Open) -> None:
        needed = self.openings.get(action.candidate, 0.5)
        self.clock += min(needed, action.limit)
        if needed > action.limit or self.failures.get(action.candidate) == 0:
            self.contest.failed(action.candidate, "failed")
            return
        self.open.add(action.candidate)
        self.contest.opened(action.candidate, needed)

    def _round(self, action: Round) -> None:
        self.orders.append(action.order)
        assert set(action.order) == self.open
        began, shared = self.clock, math.exp(self.chance.gauss(0, 0.3))  # what slows all of a round down
        for candidate in action.order:
            seconds = self.times[candidate] * shared * math.exp(self.chance.gauss(0, self.noise))
            self.clock += TURN * seconds
            if self.failures.get(candidate) == action.number:
                self.contest.failed(candidate, "failed")
                self.open.remove(candidate)
            else:
                self.contest.measured(candidate, seconds, TURN * seconds)
        self.longest = max(self.longest, self.clock - began)


def course(times: list[float], budget: float, **settings: object) -> Course:
    return Course(dict(zip(candidates(len(times)), times, strict=True)), budget, **settings)  # type: ignore[arg-type]


TIMES = st.lists(st.floats(0.5, 20), min_size=1, max_size=20)


@given(TIMES, st.floats(1, 60), st.lists(st.floats(0.01, 30), min_size=20, max_size=20))
def test_budget_is_exceeded_by_one_round_at_most(times: list[float], budget: float, openings: list[float]) -> None:
    run = course(times, budget, noise=0.1, openings=dict(zip(candidates(20), openings, strict=True)))
    run.run()
    assert run.clock <= budget + run.longest + 1e-9


@given(TIMES, st.integers(2, 8))
def test_true_best_wins_on_clear_data(times: list[float], at_once: int) -> None:
    ordered = sorted(times)
    assume(len(times) < 2 or ordered[1] > 1.15 * ordered[0])
    run = course(times, 1000, noise=0.01, at_once=at_once)
    outcome = run.run()
    assert outcome is not None
    assert run.times[outcome.winner] == ordered[0]


@given(TIMES, st.floats(0.01, 1000), st.integers(2, 8))
def test_true_best_never_leaves_on_clear_data(times: list[float], budget: float, at_once: int) -> None:
    ordered = sorted(times)
    assume(len(times) < 2 or ordered[1] > 1.15 * ordered[0])
    run = course(times, budget, noise=0.01, at_once=at_once)
    outcome = run.run()
    best = min(run.times, key=lambda candidate: run.times[candidate])
    reasons = {each.candidate: each.reason for each in outcome.standings} if outcome else {}
    assert reasons.get(best) in (None, OUT_OF_TIME, "failed")  # for want of time alone


@given(TIMES, st.floats(1, 100), st.integers(2, 8))
def test_no_more_are_open_than_may_be(times: list[float], budget: float, at_once: int) -> None:
    run = course(times, budget, noise=0.2, at_once=at_once)
    run.run()
    assert run.most_open <= at_once


@given(TIMES, st.floats(1, 100), st.dictionaries(st.integers(0, 19), st.integers(0, 20)))
def test_everyone_has_one_standing_and_failures_their_reason(
    times: list[float], budget: float, failing: dict[int, int]
) -> None:
    names = candidates(20)
    failures = {names[at]: number for at, number in failing.items()}
    run = course(times, budget, noise=0.1, failures=failures)
    outcome = run.run()
    if outcome is None:
        assert not run.open
        return
    assert sorted(map(str, run.times)) == sorted(str(each.candidate) for each in outcome.standings)
    assert outcome.winner == outcome.standings[0].candidate
    assert outcome.winner in run.open
    for standing in outcome.standings:
        in_until_the_end = standing.candidate in run.open and standing.rounds > 0
        assert (standing.reason is None) == in_until_the_end
        assert (standing.seconds is None) == (standing.rounds == 0)


def test_first_round_takes_place_whatever_opening_took() -> None:
    outcome = course([1.0, 2.0], 1.0, openings={candidates(2)[0]: 0.49, candidates(2)[1]: 0.25}).run()
    assert outcome is not None
    assert str(outcome.winner).startswith("wasm")


def test_nobody_measured_is_no_outcome() -> None:
    one, two = candidates(2)
    assert course([1.0, 2.0], 10, failures={one: 0, two: 0}).run() is None


def test_gain_is_that_of_paired_ratios() -> None:
    run = course([1.0, 1.3], 1000, noise=0.02)
    outcome = run.run()
    assert outcome is not None
    assert outcome.gain is not None
    # Rounds as a whole differ by 30 %: unpaired times could not say it so well in so few rounds.
    assert outcome.gain.low < 1.3 < outcome.gain.high
    assert outcome.gain.margin <= MARGIN
    assert outcome.standings[0].interval is not None
    assert outcome.standings[0].interval.margin > MARGIN


def test_contest_ends_when_the_gain_is_known() -> None:
    run = course([1.0, 1.3, 1.6, 5.0], 1000, noise=0.02)
    run.run()
    assert run.clock < 30


def test_size_of_a_large_gain_is_not_looked_for() -> None:
    run = course([1.0, 3.0], 1000, noise=0.2)
    outcome = run.run()
    assert outcome is not None
    assert outcome.gain is not None
    assert outcome.gain.low > FAR
    assert len(run.orders) < 20


def test_slower_candidates_leave_before_the_last_two() -> None:
    run = course([1.0, 1.1, 1.4, 1.6, 1.9, 10.0], 1000, noise=0.02)
    outcome = run.run()
    assert outcome is not None
    rounds = {run.times[each.candidate]: each.rounds for each in outcome.standings}
    assert rounds[1.0] == rounds[1.1] >= rounds[1.4] > rounds[10.0] == 3
    reasons = [each.reason for each in outcome.standings]
    assert reasons[:2] == [None, None]
    assert all(reason and "times the time of wasm in embedded" in reason for reason in reasons[2:])


@pytest.mark.parametrize("budget", [8.0, 12.0, 16.0])
def test_slower_half_leaves_when_its_time_has_come(budget: float) -> None:
    run = course([1.6, 1.5, 1.0, 1.4, 1.3, 1.2], budget, noise=0.01)
    outcome = run.run()
    assert outcome is not None
    rounds = {run.times[each.candidate]: each.rounds for each in outcome.standings}
    assert LEAST <= rounds[1.6] == rounds[1.4] < SURE_ROUNDS  # too few for a test to be sure of anything
    assert rounds[1.0] == rounds[1.2] > rounds[1.4]
    assert run.times[outcome.winner] == 1.0


def test_waiting_candidates_come_in_where_others_left() -> None:
    times = [2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4, 1.0]
    run = course(times, 1000, noise=0.01)
    outcome = run.run()
    assert outcome is not None
    assert run.times[outcome.winner] == 1.0


def test_those_left_waiting_say_so() -> None:
    run = course([1.0] * 10, 4.0, noise=0.1, openings=dict.fromkeys(candidates(10), 1.0))
    outcome = run.run()
    assert outcome is not None
    assert [each.reason for each in outcome.standings].count(OUT_OF_TIME) >= 4


def test_others_of_a_place_that_was_late_are_not_tried() -> None:
    one, two = candidates(2)
    elsewhere = Candidate(browser="firefox", backend="wasm", precision="fp32")
    contest = Contest([one, two, elsewhere], 10)
    assert contest.advance(0) == Open(one, 5)
    contest.late(one, "too late")
    assert contest.reasons == {one: "too late", two: "wasm in embedded, fp32 was not ready in time"}
    assert contest.advance(5) == Open(elsewhere, 5)


def test_lead_that_chance_explains_goes_to_the_preferred() -> None:
    winners = set()
    for seed in range(5):
        run = course([1.0, 0.999], 100, noise=0.03)
        run.chance = random.Random(seed)
        outcome = run.run()
        assert outcome is not None
        winners.add(run.times[outcome.winner])
    assert winners == {1.0}


def test_orders_of_turns_differ() -> None:
    run = course([1.0, 1.0, 1.01], 100, noise=0.05)
    run.run()
    assert len({order[0] for order in run.orders[:20]}) == 3


@pytest.mark.parametrize("at_once", [2, 3, 6])
def test_noisy_contests_pick_a_good_one(at_once: int) -> None:
    regrets = []
    for seed in range(20):
        chance = np.random.default_rng(seed)
        run = course(list(chance.uniform(1, 2, 12)), 60, noise=0.15, at_once=at_once)
        run.chance = random.Random(seed)
        outcome = run.run()
        assert outcome is not None
        regrets.append(run.times[outcome.winner] / min(run.times.values()) - 1)
    assert float(np.mean(regrets)) < 0.05
