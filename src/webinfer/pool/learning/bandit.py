"""Which browser and backend a model runs best on, learned from what was measured: a bandit, as pure functions.

An *arm* is a place where a model may run. Its latencies are kept as the mean and variance of their logarithm, so that a
stall of a second weighs little and a difference is a ratio. One arm serves; now and then a request goes to another, the
one whose optimistic bound promises the most (a bandit by upper confidence bounds), until none promises enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from webinfer.core.options import Backend

SHARE = 0.1
"""Part of a model's requests that may be trials."""
SLOWEST = 4.0
"""An arm that is so many times as slow as the one that serves is not tried with a caller's request."""
MARGIN = 1.1
"""A gain below this factor is not worth a change, nor further trials."""
ENOUGH = 5
"""Runs of an arm before anything is concluded from them."""
MOST = 30
"""Trials of an arm after which a difference that is still not clear is given up."""
WINDOW = 100
"""Runs that a mean remembers: older ones fade, so that a machine that changes is noticed."""
PATIENCE = 10
"""Requests that a model gets before others are looked for: one that runs a few times is not worth it."""
Z = 2.0
"""Standard errors on either side of a mean that are believed; 95 of 100 true means lie within them."""
PRIOR_RUNS, PRIOR_SPREAD = 2, 0.25
"""What is assumed of an arm's spread before it was seen: as if so many runs had differed by a quarter, or by what the
other arm's do."""


class Arm(NamedTuple):
    """A place where a model may run."""

    browser: str
    backend: Backend
    precision: str = "fp32"

    def __str__(self) -> str:
        return f"{self.browser} {self.backend}" + ("" if self.precision == "fp32" else f" {self.precision}")


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of an arm.

    Attributes:
        version: Version of the engine that it was measured with.
        runs: Runs that were measured.
        mean: Mean logarithm of their seconds, in which recent ones weigh more.
        variance: Variance of that.
        load: Seconds that creating its session took.
    """

    version: str = ""
    runs: int = 0
    mean: float = 0.0
    variance: float = 0.0
    load: float = 0.0

    @property
    def seconds(self) -> float:
        """A typical run: the geometric mean."""
        return math.exp(self.mean)

    def error(self, other: Record) -> float:
        """Return the standard error of the mean logarithm; infinite before the first run.

        Args:
            other: Another arm of the same machine: where that one's runs differ, so will this one's, until it is known.
        """
        if not self.runs:
            return math.inf
        count = min(self.runs, WINDOW)
        prior = max(PRIOR_SPREAD**2, other.variance)
        return math.sqrt((PRIOR_RUNS * prior + count * self.variance) / (PRIOR_RUNS + count) / count)

    def add(self, seconds: float, version: str) -> Record:
        """Return what is known after one more run; a browser of another version is another browser."""
        known = self if major(version) == major(self.version) else Record(load=self.load)
        weight = 1 / min(known.runs + 1, WINDOW)
        off = math.log(max(seconds, 1e-6)) - known.mean
        variance = (1 - weight) * (known.variance + weight * off * off)
        return replace(known, version=version, runs=known.runs + 1, mean=known.mean + weight * off, variance=variance)


def major(version: str) -> str:
    """Return the part of a browser's version whose change makes it another browser."""
    return version.partition(".")[0]


Records = Mapping[Arm, Record]


class Gain(NamedTuple):
    """How much faster one arm is than another, as a logarithm: what it seems, and how far that may be off."""

    mean: float
    error: float

    @property
    def most(self) -> float:
        """The most that is believable."""
        return self.mean + Z * self.error

    @property
    def least(self) -> float:
        """The least that is believable."""
        return self.mean - Z * self.error


def gain(arm: Arm, over: Arm, records: Records) -> Gain:
    """Compare an arm with the one that serves."""
    return between(records.get(arm, Record()), records.get(over, Record()))


def between(one: Record, other: Record) -> Gain:
    """Compare what is known of one with what is known of another."""
    if not (one.runs and other.runs):
        return Gain(0.0, math.inf)
    return Gain(other.mean - one.mean, math.hypot(one.error(other), other.error(one)))


def recall(arms: Iterable[Arm], records: Records, horizon: float) -> Arm | None:
    """Choose where to load a model, from earlier measurements.

    Args:
        arms: Places to choose from.
        records: What is known of them.
        horizon: Requests that the model is expected to get: a slow load pays only with many.

    Returns:
        The arm whose load and runs take the least; ``None`` where none was measured enough.
    """
    known = [arm for arm in arms if records.get(arm, Record()).runs >= ENOUGH]
    return min(known, key=lambda arm: records[arm].load + horizon * records[arm].seconds, default=None)


def better(serving: Arm, arms: Iterable[Arm], records: Records) -> Arm | None:
    """Return the arm that should serve instead: one that is faster by more than chance and ``MARGIN`` explain."""
    clear = [
        arm
        for arm in arms
        if arm != serving
        and min(records.get(arm, Record()).runs, records.get(serving, Record()).runs) >= ENOUGH
        and gain(arm, serving, records).mean > math.log(MARGIN)
        and gain(arm, serving, records).least > 0
    ]
    return max(clear, key=lambda arm: gain(arm, serving, records).mean, default=None)


def is_open(arm: Arm, serving: Arm, records: Records) -> bool:
    """Whether an arm may still turn out to be worth a change."""
    record, seen = records.get(arm, Record()), gain(arm, serving, records)
    if seen.mean + seen.error < -math.log(SLOWEST):
        return False
    return record.runs < MOST and seen.most > math.log(MARGIN)


def promising(serving: Arm, arms: Iterable[Arm], records: Records) -> list[Arm]:
    """Return the arms that are worth trying, the one that promises the most first; of equal ones, in their order."""
    open_arms = [arm for arm in arms if arm != serving and is_open(arm, serving, records)]
    return sorted(open_arms, key=lambda arm: -gain(arm, serving, records).most)


def try_now(requests: int, trials: int, chance: float) -> bool:
    """Decide whether the next request is a trial.

    Chance spreads them, so that a pattern in the requests does not decide who gets which; the budget bounds them.

    Args:
        requests: Requests so far, trials included.
        trials: Trials among them.
        chance: A random number from 0 to 1, for this request alone.
    """
    return chance < 3 * SHARE and trials + 1 <= SHARE * (requests + 1)


@dataclass(slots=True)
class Learning:
    """What is learned of one model while it runs.

    Attributes:
        serving: The arm that requests go to.
        arms: Every arm that there is to choose from, the one that the table prefers first.
        records: What is known of them.
        requests: Requests so far, trials included.
        trials: Trials among them.
        served: Seconds that runs took.
        invested: Seconds that was spent in the background, on making arms ready.
        ready: Arms that are loaded and give the same answers, which requests may go to.
        barred: Arms that are out, and why.
        tried: Arms that only trials ran at, as far as this process knows.
    """

    serving: Arm
    arms: Sequence[Arm]
    records: dict[Arm, Record] = field(default_factory=dict)
    requests: int = 0
    trials: int = 0
    served: float = 0.0
    invested: float = 0.0
    ready: set[Arm] = field(default_factory=set)
    barred: dict[Arm, str] = field(default_factory=dict)
    tried: set[Arm] = field(default_factory=set)

    def pick(self, chance: float, trial: bool = True) -> Arm:
        """Choose the arm of the next request.

        Args:
            chance: A random number from 0 to 1, for this request alone.
            trial: Whether the request may be one.
        """
        self.requests += 1
        if trial and try_now(self.requests - 1, self.trials, chance):
            for arm in self.promising():
                if arm in self.ready:
                    self.trials += 1
                    return arm
        return self.serving

    def observe(self, arm: Arm, seconds: float, version: str) -> bool:
        """Take in what a run took; returns whether another arm serves from now on."""
        self.served += seconds
        if arm == self.serving:
            self.tried.discard(arm)
        elif arm not in self.records:
            self.tried.add(arm)
        self.records[arm] = self.records.get(arm, Record()).add(seconds, version)
        found = better(self.serving, self.ready - self.barred.keys(), self.records)
        if found is None:
            return False
        self.ready.add(self.serving)
        self.serving = found
        return True

    def loaded(self, arm: Arm, seconds: float) -> None:
        """Take in what a load took."""
        self.records[arm] = replace(self.records.get(arm, Record()), load=seconds)

    def bar(self, arm: Arm, why: str) -> None:
        """Leave an arm alone from now on."""
        self.barred[arm] = why
        self.ready.discard(arm)

    def wanted(self) -> Arm | None:
        """Return the arm to load next in the background, to be tried.

        They come one after another, and only when the model has served for as long as those before took: what is
        hardly used is not worth more.
        """
        if self.requests < PATIENCE or self.invested > self.served:
            return None
        return next((arm for arm in self.promising() if arm not in self.ready), None)

    def promising(self) -> list[Arm]:
        """Return the arms that are worth trying, the one that promises the most first."""
        return promising(self.serving, [arm for arm in self.arms if arm not in self.barred], self.records)

    def explain(self, arm: Arm) -> str:
        """Say why a request went to an arm: what the arms take, and what is wrong with those that are out."""
        known = sorted(
            (each for each in self.records if each != arm and self.records[each].runs),
            key=lambda each: self.records[each].mean,
        )
        told = [self._describe(each) for each in (arm, *known) if self.records.get(each, Record()).runs]
        out = [f"{each} is out: {why}" for each, why in self.barred.items()]
        if arm != self.serving:
            return f"a trial of {arm}, beside {self.serving}"
        return "; ".join(["measured: " + ", ".join(told) if told else "nothing measured yet", *out])

    def _describe(self, arm: Arm) -> str:
        record = self.records.get(arm, Record())
        return f"{arm} {record.seconds * 1e3:.3g} ms in {record.runs} runs" if record.runs else f"{arm} not measured"
