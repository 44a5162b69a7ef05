"""The tuner: runs a contest with real contestants, and returns its result."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from webinfer.core.errors import TuningFailed, WebinferError
from webinfer.core.options import Backend
from webinfer.tuning.candidate import Candidate
from webinfer.tuning.contest import Close, Contest, Open, Outcome, Round
from webinfer.tuning.tuning import Standing, Tuning

log = logging.getLogger("webinfer.tuning")

_PATIENCE = 10.0
"""A candidate counts as stuck after this many times the length of the longest turn."""
_SHORTEST = 5.0
"""Shortest limit of a turn, in seconds."""


class Contestant(Protocol):
    """A candidate that is open and warm, and whose first answer was right."""

    @property
    def version(self) -> str:
        """The version of the browser's engine."""

    async def turn(self) -> float:
        """Run some requests.

        Returns:
            Seconds that one item of this turn took.

        Raises:
            WebinferError: It failed, or answered wrongly.
        """

    async def close(self) -> None:
        """End it, and whatever it started."""


Opener = Callable[[Candidate], Awaitable[Contestant]]
"""Opens a candidate. If it fails or is cancelled, it leaves nothing running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningProgress:
    """How far a contest is.

    Attributes:
        text: What is being done.
        seconds: Seconds of the budget that are spent.
        budget: Seconds that the contest may take; 0 before it begins.
        left: Candidates that are still in.
        total: Candidates that took part from the start.
        leader: The fastest so far, if any was measured.
    """

    text: str
    seconds: float = 0.0
    budget: float = 0.0
    left: int = 0
    total: int = 0
    leader: Candidate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a caller asks of a contest; see ``AsyncModel.tune``."""

    budget: float = 60.0
    browsers: Sequence[str] | None = None
    platforms: Sequence[Backend] | None = None
    precisions: Sequence[str] | None = None
    lanes: Sequence[int] | None = None
    threads: Sequence[int | None] | None = None
    batch_sizes: Sequence[int] | None = None
    inputs: Any = None
    progress: Callable[[TuningProgress], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a contest is about.

    Attributes:
        model: SHA-256 of the full-precision model.
        name: The model's name.
        machine: Id of the machine.
    """

    model: str
    name: str
    machine: str


class Tuner:
    """Runs a contest.

    Args:
        open: Opens a candidate.
        tell: Called with the progress.
        clock: Returns seconds.
    """

    def __init__(
        self,
        open: Opener,
        tell: Callable[[TuningProgress], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._open = open
        self._tell = tell
        self._clock = clock
        self._contestants: dict[Candidate, Contestant] = {}

    def __repr__(self) -> str:
        return f"<Tuner open={len(self._contestants)}>"

    async def run(
        self,
        subject: Subject,
        candidates: Sequence[Candidate],
        budget: float,
        *,
        excluded: Mapping[Candidate, str] | None = None,
        began: float | None = None,
    ) -> Tuning:
        """Run a contest of candidates. A candidate that fails is out, and the others go on.

        Args:
            subject: What it is about.
            candidates: Those that take part, the preferred ones first.
            budget: Seconds that the contest may take; the round under way may end after it.
            excluded: Candidates that cannot take part, and why. They are listed among the standings.
            began: Time from which the cost counts, by ``clock``; ``None`` is now.

        Returns:
            The winner, and how every candidate did.

        Raises:
            TuningFailed: No candidate could be measured; the error says why for each.
        """
        began = self._clock() if began is None else began
        barred = [Standing(candidate=candidate, reason=why, failed=True) for candidate, why in (excluded or {}).items()]
        contest = Contest(candidates, budget)
        versions: dict[Candidate, str] = {}
        start = self._clock()
        try:
            while (action := contest.advance(self._clock() - start)) is not None:
                self._report(contest, _describe(action), self._clock() - start, budget, len(candidates))
                if isinstance(action, Open):
                    await self._admit(contest, action, versions)
                elif isinstance(action, Close):
                    await self._close(action.candidate)
                else:
                    await self._round(contest, action)
        finally:
            await self._close_all()
        outcome = contest.outcome()
        if outcome is None:
            reasons = [*contest.reasons.items(), *(excluded or {}).items()]
            raise TuningFailed(_failure(subject, reasons), model=subject.name)
        tuning = _tuning(subject, outcome, barred, versions, self._clock() - began)
        log.info("%s: %s wins", subject.name, tuning.winner)
        return tuning

    def _report(self, contest: Contest, text: str, seconds: float, budget: float, total: int) -> None:
        if self._tell is not None:
            leader, left = contest.leader, contest.left
            self._tell(TuningProgress(text=text, seconds=seconds, budget=budget, left=left, total=total, leader=leader))

    async def _admit(self, contest: Contest, action: Open, versions: dict[Candidate, str]) -> None:
        """Open a candidate, unless that takes too long."""
        candidate, began = action.candidate, self._clock()
        try:
            async with asyncio.timeout(action.limit):
                contestant = await self._open(candidate)
        except WebinferError as error:
            contest.failed(candidate, str(error))
        except TimeoutError:
            contest.late(candidate, f"it was not ready within {action.limit:.1f} s, its share of the budget")
        else:
            self._contestants[candidate] = contestant
            versions[candidate] = contestant.version
            contest.opened(candidate, self._clock() - began)

    async def _round(self, contest: Contest, action: Round) -> None:
        """Let all candidates take a turn. One that fails, or stops answering, is out."""
        for candidate in action.order:
            # The limit follows the turns so far, so that a stuck browser does not use up the budget.
            limit = max(_SHORTEST, _PATIENCE * contest.longest_turn)
            began = self._clock()
            try:
                async with asyncio.timeout(limit):
                    cost = await self._contestants[candidate].turn()
            except (WebinferError, TimeoutError) as error:
                why = str(error) if isinstance(error, WebinferError) else f"a turn took more than {limit:.0f} s"
                contest.failed(candidate, why)
                await self._close(candidate)
            else:
                contest.measured(candidate, cost, self._clock() - began)

    async def _close(self, candidate: Candidate) -> None:
        with suppress(WebinferError):  # the candidate is out, so an error of its end does not matter
            await self._contestants.pop(candidate).close()

    async def _close_all(self) -> None:
        """Close all open contestants, also when the contest is cancelled.

        Raises:
            CancelledError: The contest was cancelled again meanwhile. The contestants are closed then, too.
        """
        closing = asyncio.gather(*(self._close(candidate) for candidate in list(self._contestants)))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:  # a second cancel, such as another Ctrl-C: browsers must end all the same
            await closing
            raise


def _describe(action: Open | Close | Round) -> str:
    if isinstance(action, Open):
        return f"open {action.candidate}"
    return f"close {action.candidate}" if isinstance(action, Close) else f"round {action.number}"


def _tuning(
    subject: Subject, outcome: Outcome, barred: list[Standing], versions: Mapping[Candidate, str], cost: float
) -> Tuning:
    first = outcome.standings[0]
    assert first.seconds is not None  # the winner was measured
    return Tuning(
        model=subject.model,
        name=subject.name,
        machine=subject.machine,
        version=versions[outcome.winner],
        winner=outcome.winner,
        runner_up=outcome.runner_up,
        gain=outcome.gain,
        seconds=first.seconds,
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        cost=cost,
        standings=(*outcome.standings, *barred),
        versions={candidate.browser: version for candidate, version in versions.items()},
    )


def _failure(subject: Subject, reasons: Sequence[tuple[Candidate, str]]) -> str:
    """Return why no candidate could be measured. Candidates with the same reason share a sentence."""
    grouped: dict[str, list[str]] = {}
    for candidate, why in reasons:
        grouped.setdefault(why.rstrip("."), []).append(str(candidate))
    failures = "; ".join(f"{', '.join(names)}: {why}" for why, names in grouped.items()) or "there is none"
    return (
        f"No candidate of {subject.name} could be measured. {failures}. Allow other platforms or precisions, or raise "
        "the budget."
    )
