"""A decision as it is told with a result: what was taken, what else there was, and why not that."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from webinfer.pool.learning.bandit import MARGIN, Arm, Gain, Record, gain
from webinfer.pool.learning.lane_count import LaneCount

Source = Literal["override", "table", "learned", "explored"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a model might have run.

    Attributes:
        arm: The place.
        seconds: What a typical run takes there; ``None`` where none was measured.
        runs: Runs that this rests on.
        source: Where it is known from: the caller named it (``override``), the ``table`` does, it was ``learned`` from
            what ran there, or ``explored`` by trials alone.
        why_not: Why it was not taken; ``None`` for the one that was.
    """

    arm: Arm
    seconds: float | None
    runs: int
    source: Source
    why_not: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        told = {"seconds": self.seconds, "runs": self.runs, "source": self.source, "why_not": self.why_not}
        return {**self.arm._asdict(), **told}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where a request went. It is made for each, so it keeps what was known and works the rest out when asked.

    Attributes:
        taken: The place.
        source: Who decided: the caller (``override``), the ``table``, what was ``learned``; or it was ``explored``.
        reason: Why, in words.
        serving: The place that serves, where that is another one: then the request was a trial.
        arms: Every place that was considered, the one that the table prefers first.
        records: What was known of them.
        barred: Places that are out, and why.
        tried: Places that only trials ran at.
        lanes: How many lanes are enough there; ``None`` where that is not known, or their number was not free.
    """

    taken: Arm
    source: Source
    reason: str
    serving: Arm | None = None
    arms: Sequence[Arm] = ()
    records: Mapping[Arm, Record] = field(default_factory=dict)
    barred: Mapping[Arm, str] = field(default_factory=dict)
    tried: Collection[Arm] = ()
    lanes: LaneCount | None = None

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The places, the one that was taken first, then the fastest."""
        arms = dict.fromkeys((self.taken, *self.arms, *self.barred))
        others = sorted((arm for arm in arms if arm != self.taken), key=self._cost)
        return tuple(self._candidate(arm) for arm in (self.taken, *others))

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "taken": self.taken._asdict(),
            "source": self.source,
            "reason": self.reason,
            "lanes": {"enough": self.lanes.lanes, "why": self.lanes.why} if self.lanes else None,
            "candidates": [each.to_dict() for each in self.candidates],
        }

    def _cost(self, arm: Arm) -> float:
        record = self.records.get(arm)
        return record.mean if record and record.runs and arm not in self.barred else math.inf

    def _candidate(self, arm: Arm) -> Candidate:
        record = self.records.get(arm, Record())
        return Candidate(
            arm, record.seconds if record.runs else None, record.runs, self._source(arm), self._why_not(arm)
        )

    def _source(self, arm: Arm) -> Source:
        if self.source == "override":
            return "override" if arm == self.taken else "table"
        if not self.records.get(arm, Record()).runs:
            return "table"
        return "explored" if arm in self.tried else "learned"

    def _why_not(self, arm: Arm) -> str | None:
        if arm == self.taken:
            return None
        if arm in self.barred:
            return self.barred[arm]
        if self.source == "override":
            return f"the caller asked for {self.taken}"
        if arm == self.serving:
            return "it serves, and this request was a trial"
        base = self.serving or self.taken
        if not self.records.get(arm, Record()).runs:
            return "it was not measured yet"
        return _distance(gain(arm, base, self.records))


def _distance(seen: Gain) -> str:
    """Say how far a place is from the one that serves."""
    if math.isinf(seen.error):
        return "the one that serves was not measured yet"
    times = math.exp(abs(seen.mean))
    if seen.mean <= 0:
        return f"{times:.2f} times as slow"
    if seen.mean <= math.log(MARGIN):
        return f"{times:.2f} times as fast, which is not worth a change"
    return f"{times:.2f} times as fast, which may be chance: {math.exp(seen.least):.2f} to {math.exp(seen.most):.2f}"
