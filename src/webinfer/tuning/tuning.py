"""What a contest found: the winner, by how much it won, and how every candidate did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from webinfer.core.statistics import Interval
from webinfer.tuning.candidate import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one candidate did.

    Attributes:
        candidate: The candidate.
        seconds: Median seconds per item; ``None`` where it was never measured.
        interval: Interval of that; ``None`` where it was never measured.
        rounds: Rounds that it took part in.
        reason: Why it left; ``None`` where it was in until the end.
    """

    candidate: Candidate
    seconds: float | None = None
    interval: Interval | None = None
    rounds: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The result of a contest.

    Attributes:
        model: SHA-256 of the full-precision model.
        name: The model's name.
        machine: Id of the machine.
        version: The engine's version in the winner's browser.
        winner: The candidate that won.
        runner_up: The next one; ``None`` where the winner was alone.
        gain: The runner-up's time in units of the winner's, from paired rounds: 1.8 is 1.8 times as fast.
        seconds: The winner's median seconds per item.
        at: When it ended: ISO 8601, UTC.
        cost: Seconds that the contest took.
        standings: How every candidate did, the best first; those that never ran are last.
    """

    model: str
    name: str
    machine: str
    version: str
    winner: Candidate
    runner_up: Candidate | None
    gain: Interval | None
    seconds: float
    at: str
    cost: float
    standings: tuple[Standing, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built
