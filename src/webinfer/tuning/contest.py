"""The contest as pure decisions: who opens, who takes a turn, who leaves, and who has won.

Candidates take turns in *rounds*. What slows a round down slows everyone in it. So only times of the same round are
compared, as ratios. A contest is a successive halving (Jamieson and Talwalkar, 2016, "Non-stochastic best arm
identification and hyperparameter optimization", AISTATS) with two additions. A candidate that is clearly slower than
the leader leaves at once. The number of open candidates is limited: when one leaves, a waiting one opens and is
compared with those that stayed.

This module does no I/O and reads no clock. The tuner reports what it spent and measured, and does what ``advance``
returns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from webinfer.core.statistics import Comparison, Interval, paired, within_launch
from webinfer.tuning.candidate import Candidate
from webinfer.tuning.tuning import Standing

AT_ONCE = 6
"""Most candidates that are open side by side."""
LEAST = 3
"""Rounds before anyone leaves."""
MOST = 40
"""Most rounds of one field: a difference that they do not show is too small to matter."""
HOPELESS = 2.0
"""A candidate that takes this many times the leader's time in every round leaves without a test."""
SURE = 0.99
"""Confidence at which a candidate is clearly slower. It is high because the test is repeated after every round."""
MARGIN = 0.05
"""Half-width of the gain's interval that is narrow enough."""
FAR = 1.5
"""A lower bound of the gain above which its exact size does not matter."""
TIE = 0.02
"""If chance may explain a lead below this, the preferred candidate wins."""
OUT_OF_TIME = "the budget ended before its turn"


@dataclass(frozen=True, slots=True)
class Open:
    """Open a candidate, within ``limit`` seconds."""

    candidate: Candidate
    limit: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close a candidate that has left."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Round:
    """Let these candidates take one turn each, in this order."""

    number: int
    order: tuple[Candidate, ...]


Action = Open | Close | Round


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a contest ended.

    Attributes:
        winner: The candidate that won.
        runner_up: The next one, if another was measured.
        gain: The runner-up's time in units of the winner's, over the rounds that both were in.
        standings: How everyone did, the best first.
    """

    winner: Candidate
    runner_up: Candidate | None
    gain: Interval | None
    standings: tuple[Standing, ...]


class Contest:
    """Decides what happens next in a contest.

    Args:
        candidates: Those that take part, the preferred ones first.
        budget: Seconds for openings and rounds together.
        at_once: Candidates that are open side by side, at least two.
        seed: Chooses the order of turns.
    """

    def __init__(
        self, candidates: Sequence[Candidate], budget: float, *, at_once: int = AT_ONCE, seed: int = 0
    ) -> None:
        self._candidates = tuple(candidates)
        self._budget = budget
        self._at_once = max(2, at_once)
        self._seed = seed
        self._waiting = list(candidates)  # not opened yet, in order
        self._field: list[Candidate] = []  # open and still in
        self._leaving: list[Candidate] = []  # out, but still open
        self._reasons: dict[Candidate, str] = {}  # why candidates left, in the order in which they left
        self._failed: set[Candidate] = set()  # candidates that left because they failed
        self._costs: dict[Candidate, dict[int, float]] = {candidate: {} for candidate in candidates}
        self._openings: list[float] = []  # seconds of the openings that succeeded
        self._round = 0  # rounds so far
        self._since = 0  # rounds at the last change of the field
        self._last = 0.0  # seconds of the last round
        self._longest_turn = 0.0  # seconds
        self._began: float | None = None  # seconds spent when the current round began
        self._deadline: float | None = None  # seconds at which the next halving is due; None: not planned yet

    def __repr__(self) -> str:
        return f"<Contest round={self._round} field={len(self._field)} waiting={len(self._waiting)}>"

    @property
    def field(self) -> tuple[Candidate, ...]:
        """The candidates that are open and still in."""
        return tuple(self._field)

    @property
    def left(self) -> int:
        """How many have not left."""
        return len(self._field) + len(self._waiting)

    @property
    def leader(self) -> Candidate | None:
        """The fastest open candidate; ``None`` before the first common round."""
        return self._ranked()[0] if self._common(self._field) else None

    @property
    def longest_turn(self) -> float:
        """Seconds of the longest turn so far."""
        return self._longest_turn

    @property
    def reasons(self) -> Mapping[Candidate, str]:
        """Why candidates left, in the order in which they left."""
        return self._reasons

    def opened(self, candidate: Candidate, seconds: float) -> None:
        """Record that a candidate is ready.

        Args:
            candidate: The candidate.
            seconds: Time that the opening took.
        """
        self._waiting.remove(candidate)
        self._field.append(candidate)
        self._openings.append(seconds)
        self._change()

    def measured(self, candidate: Candidate, cost: float, seconds: float) -> None:
        """Record a turn of the current round.

        Args:
            candidate: The candidate.
            cost: Seconds per item.
            seconds: Seconds of the turn.
        """
        self._costs[candidate][self._round] = cost
        self._longest_turn = max(self._longest_turn, seconds)

    def late(self, candidate: Candidate, reason: str) -> None:
        """Record that a candidate was not ready in time. Waiting candidates of the same place fail with it.

        Args:
            candidate: The candidate.
            reason: Why, in words.
        """
        self.failed(candidate, reason)
        for other in [waiting for waiting in self._waiting if waiting.place == candidate.place]:
            self.failed(other, f"{candidate} was not ready in time")

    def failed(self, candidate: Candidate, reason: str) -> None:
        """Record that a candidate failed. The caller closes it.

        Args:
            candidate: The candidate.
            reason: Why, in words.
        """
        if candidate in self._waiting:
            self._waiting.remove(candidate)
        if candidate in self._field:
            self._field.remove(candidate)
            self._change()
        self._reasons[candidate] = reason
        self._failed.add(candidate)

    def advance(self, spent: float) -> Action | None:
        """Return what to do next; ``None`` where the contest is over.

        A round does not begin if it would end after the budget, judged by the last one. The first round always begins,
        so that there is a winner if any candidate could be opened.

        Args:
            spent: Seconds since the contest began.
        """
        if self._began is not None:
            self._last, self._began = spent - self._began, None
        # Candidates that left close first, one a call. Then waiting ones open. Only then comes a round, undisturbed.
        if not self._leaving and self._common(self._field):
            self._drop(spent)
        if self._leaving:
            return Close(self._leaving.pop())
        if (opening := self._next_opening(spent)) is not None:
            return opening
        is_over = self._round > 0 and spent + self._last > self._budget
        if not self._field or is_over or self._is_decided():
            self._leave_waiting()
            return None
        if self._deadline is None:
            self._deadline = spent + self._share(spent)
        self._round += 1
        self._began = spent
        # A new order in each round, so that no candidate always follows the same other one.
        order = np.random.default_rng((self._seed, self._round)).permutation(len(self._field))
        return Round(self._round, tuple(self._field[at] for at in order))

    def outcome(self) -> Outcome | None:
        """Return how the contest ended; ``None`` where nobody was measured."""
        for candidate in [candidate for candidate in self._field if not self._costs[candidate]]:
            self._field.remove(candidate)
            self._reasons[candidate] = OUT_OF_TIME
        if not self._field:
            return None
        winner, *others = self._preferred(self._ranked())
        # Whoever left last among the slower ones was the closest, so it is the runner-up if the winner is alone.
        slower = [candidate for candidate in reversed(self._reasons) if self._is_comparable(winner, candidate)]
        runner_up = next(iter([*others, *slower]), None)
        compared = self._compare(winner, runner_up) if runner_up is not None else None
        ordered = [winner, *others, *reversed(self._reasons)]
        ordered.sort(key=lambda candidate: candidate in self._failed or not self._costs[candidate])
        return Outcome(winner, runner_up, _gain(compared), tuple(map(self._standing, ordered)))

    def _change(self) -> None:
        """Count rounds from now, because the field has changed."""
        self._since, self._deadline = self._round, None

    def _next_opening(self, spent: float) -> Open | None:
        """Return the next opening; ``None`` if there is no room or no time for it."""
        # Not between the rounds of a field: all of it is compared first, and newcomers start a field of their own.
        if not self._waiting or len(self._field) >= self._at_once or self._round > self._since:
            return None
        left = self._budget - spent
        expected = median(self._openings) if self._openings else 0.0
        reserve = self._budget / (4 if len(self._field) > 1 else 16)  # two measured well are worth more than a third
        is_late = left < reserve or expected > 0.75 * left or expected + LEAST * self._last > left
        if is_late:
            self._leave_waiting()
            return None
        if len(self._waiting) == 1 and not self._field:
            return Open(self._waiting[0], left)
        if not self._openings:
            return Open(self._waiting[0], left / 2)
        # A limit keeps one slow opening from using up the budget: three times the usual time, or an equal share.
        return Open(self._waiting[0], min(0.75 * left, max(3 * expected, left / len(self._waiting))))

    def _leave_waiting(self) -> None:
        for candidate in self._waiting:
            self._reasons[candidate] = OUT_OF_TIME
        self._waiting.clear()

    def _drop(self, spent: float) -> None:
        """Remove the candidates that are clearly slower, and the slower half when the halving is due."""
        if self._round - self._since < LEAST:
            return
        ranked, least = self._ranked(), 1 if self._waiting else 2
        leader = ranked[0]
        for candidate in reversed(ranked[least:]):
            compared = self._compare(leader, candidate)
            if self._is_hopeless(leader, candidate) or _is_sure(compared):
                self._leave(candidate, leader, compared)
        is_late = self._deadline is not None and spent >= self._deadline
        # Halve only if nobody left just now: whoever left made the field smaller, and so the halving is planned anew.
        if len(self._field) == len(ranked) and (is_late or self._round - self._since >= MOST):
            keep = max(least, len(ranked) // 2)
            for candidate in reversed(ranked[keep:]):
                self._leave(candidate, leader, self._compare(leader, candidate))

    def _leave(self, candidate: Candidate, leader: Candidate, compared: Comparison) -> None:
        self._reasons[candidate] = f"{1 + compared.change:.2f} times the time of {leader}, in {compared.n} rounds"
        self._field.remove(candidate)
        self._leaving.append(candidate)
        self._change()

    def _is_decided(self) -> bool:
        """Return whether more rounds would add nothing: for one candidate alone, or for the last two."""
        if self._waiting or len(self._field) > 2:
            return False
        rounds = len(self._common(self._field))
        if len(self._field) == 1:
            return rounds >= 2 * LEAST
        if rounds >= MOST:
            return True
        if rounds < 2 * LEAST:
            return False
        gain = _gain(self._compare(*self._ranked()))
        return gain is not None and (gain.is_within(MARGIN) or (gain.low > FAR and gain.confidence >= 0.95))

    def _share(self, spent: float) -> float:
        """Return the seconds until the next halving: an equal share of the rest for each halving to come."""
        # Play the contest to its end: each halving makes room, and waiting candidates fill it.
        halvings, field, waiting = 1, len(self._field), len(self._waiting)
        while field > 2 or waiting:
            field = max(1 if waiting else 2, field // 2)
            entering = min(waiting, self._at_once - field)
            field, waiting, halvings = field + entering, waiting - entering, halvings + 1
        openings = len(self._waiting) * (fmean(self._openings) if self._openings else 0.0)
        return max(0.0, self._budget - spent - openings) / halvings

    def _common(self, candidates: Sequence[Candidate]) -> list[int]:
        """Return the rounds that all of some candidates took part in."""
        if not candidates:
            return []
        return sorted(set.intersection(*(set(self._costs[candidate]) for candidate in candidates)))

    def _rounds_of(self, one: Candidate, other: Candidate) -> list[int]:
        return self._common((one, other))

    def _is_comparable(self, one: Candidate, other: Candidate) -> bool:
        return other not in self._failed and bool(self._rounds_of(one, other))

    def _ranked(self) -> list[Candidate]:
        """Return the field by speed, the fastest first: over its common rounds, or else over all rounds."""
        rounds = self._common(self._field)

        def typical(candidate: Candidate) -> float:
            costs = self._costs[candidate]
            known = [costs[number] for number in rounds] or list(costs.values())
            # The mean of logarithms is the geometric mean: ratios count, as in the comparisons.
            return fmean(map(math.log, known)) if known else math.inf

        return sorted(self._field, key=typical)

    def _preferred(self, ranked: list[Candidate]) -> list[Candidate]:
        """Return the field with a preferred candidate first, if chance may explain the other one's lead."""
        leader = ranked[0]
        for candidate in sorted(ranked[1:], key=self._candidates.index):
            is_preferred = self._candidates.index(candidate) < self._candidates.index(leader)
            if is_preferred and self._rounds_of(leader, candidate):
                compared = self._compare(leader, candidate)
                if compared.change < TIE and compared.low <= 0:
                    return [candidate, *(other for other in ranked if other != candidate)]
        return ranked

    def _compare(self, one: Candidate, other: Candidate) -> Comparison:
        rounds = self._rounds_of(one, other)
        return paired(*([self._costs[candidate][number] for number in rounds] for candidate in (one, other)))

    def _is_hopeless(self, leader: Candidate, candidate: Candidate) -> bool:
        rounds = self._rounds_of(leader, candidate)
        return all(self._costs[candidate][number] >= HOPELESS * self._costs[leader][number] for number in rounds)

    def _standing(self, candidate: Candidate) -> Standing:
        costs = list(self._costs[candidate].values())
        interval = within_launch(costs) if costs else None
        return Standing(
            candidate=candidate,
            seconds=interval.estimate if interval is not None else None,
            interval=interval,
            rounds=len(costs),
            reason=self._reasons.get(candidate),
            failed=candidate in self._failed,
        )


def _is_sure(compared: Comparison) -> bool:
    """Return whether a candidate is slower, and chance is a very unlikely reason."""
    return compared.change > 0 and compared.p_value < 1 - SURE


def _gain(compared: Comparison | None) -> Interval | None:
    """Return a comparison as a ratio of times; ``None`` without one."""
    if compared is None:
        return None
    ends = (1 + compared.change, 1 + compared.low, 1 + compared.high)
    return Interval(*ends, compared.confidence, "within one launch")
