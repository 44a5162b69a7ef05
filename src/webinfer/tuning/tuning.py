"""The result of a contest: the winner, by how much it won, and how every candidate did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from webinfer.core.statistics import Interval
from webinfer.tuning.candidate import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one candidate did.

    Attributes:
        candidate: The candidate.
        seconds: Median seconds per item; ``None`` if it was never measured.
        interval: Interval of that median; ``None`` if it was never measured.
        rounds: Rounds that it took part in.
        reason: Why it left; ``None`` if it stayed until the end.
        failed: Whether it failed, or was refused, so that its figures do not count.
    """

    candidate: Candidate
    seconds: float | None = None
    interval: Interval | None = None
    rounds: int = 0
    reason: str | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The result of a contest.

    Attributes:
        model: SHA-256 of the full-precision model.
        name: The model's name.
        machine: Id of the machine.
        version: The engine's version in the winner's browser.
        winner: The candidate that won.
        runner_up: The next one; ``None`` if the winner was alone.
        gain: The runner-up's time in units of the winner's, from paired rounds: 1.8 is 1.8 times as fast.
        seconds: The winner's median seconds per item.
        at: When it ended: ISO 8601, UTC.
        cost: Seconds that the contest took.
        standings: How every candidate did, the best first; those that never ran are last.
        versions: The engine's version in each browser that was measured, by the browser's name.
        source: Where the figures come from: a ``contest`` of the tuner, or a ``benchmark`` of ``webinfer bench``.
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
    versions: Mapping[str, str] = field(default_factory=dict)
    source: Literal["contest", "benchmark"] = "contest"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as values of JSON."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built

    def version_of(self, browser: str) -> str | None:
        """Return the engine's version that a browser was measured with; ``None`` if it was not measured.

        Args:
            browser: The browser's name.
        """
        return self.version if browser == self.winner.browser else self.versions.get(browser)

    def is_stale(self, versions: Mapping[str, str]) -> bool:
        """Return whether the winner's browser is installed in another major version than the measured one.

        Args:
            versions: The engine's version in each installed browser, by name; empty if it is not known.
        """
        version = versions.get(self.winner.browser)
        return version is not None and not is_alike(version, self.version)

    def best(self, versions: Mapping[str, str], allows: Callable[[Candidate], bool]) -> Standing | None:
        """Return the fastest candidate that was measured in an installed browser, and that the caller allows.

        Args:
            versions: The engine's version in each installed browser, by name; empty if it is not known.
            allows: Returns whether the caller allows a candidate.

        Returns:
            How it did; ``None`` if there is none.
        """
        for standing in self.standings:
            candidate, version = standing.candidate, self.version_of(standing.candidate.browser)
            is_measured = standing.seconds is not None and not standing.failed and version is not None
            is_current = candidate.browser in versions and is_alike(versions[candidate.browser], version or "")
            if is_measured and is_current and allows(candidate):
                return standing
        return None

    def explain(self, candidate: Candidate) -> str:
        """Return why a candidate is chosen, by what was measured.

        Args:
            candidate: One of those that were measured.

        Returns:
            For the winner something like ``tuned on 2026-11-30: 1.8 (1.7–1.9) times the next``.
        """
        measured = "tuned" if self.source == "contest" else "benchmarked"
        if candidate != self.winner:
            why = f"{candidate} is the fastest that is allowed here"
        elif self.gain is None:
            why = "nothing else could be measured"
        else:
            why = f"{_ratio(self.gain)} times the next"
        return f"{measured} on {self.at[:10]}: {why}"


def is_alike(version: str, other: str) -> bool:
    """Return whether two versions of an engine have the same major part. An unknown version is like any other.

    Args:
        version: A version, such as ``153.0.7412.2``; empty if it is not known.
        other: Another version; empty if it is not known.
    """
    return not version or not other or version.partition(".")[0] == other.partition(".")[0]


def _ratio(gain: Interval) -> str:
    digits = 2 if gain.low < 1.1 or gain.high - gain.low < 0.1 else 1
    return f"{gain.estimate:.{digits}f} ({gain.low:.{digits}f}\N{EN DASH}{gain.high:.{digits}f})"
