"""What happened lately: the runs of the last seconds, and the last faults."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

WINDOW = 10.0
"""Seconds that count as recent."""

_RUNS = 4096  # remembered; a faster pool's window is shorter
_FAULTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """The runs of the last seconds.

    Attributes:
        seconds: How far back this looks.
        runs: Requests answered.
        items: Their batch sizes, summed.
        p50: Median of the seconds from asking to answer; ``None`` where there were no runs.
        p95: What 95 of 100 of them did not exceed.
    """

    seconds: float
    runs: int
    items: int
    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that failed, was lost or was refused by the runtime.

    Attributes:
        kind: ``"request"``, ``"load"``, ``"lane"``, ``"browser"``, ``"launch"`` of one that did not start, or
            ``"host"`` when the event loop was blocked.
        code: The error's code; ``host.stalled`` of the host, which is no error to anyone.
        where: Id of the lane or browser, where there was one; of one that did not start, its name.
        model: Name of the model, where there was one.
        reason: The error's message.
        times: How often it happened in a row.
        age: Seconds since it happened last.
    """

    kind: str
    code: str
    where: str | None
    model: str | None
    reason: str
    times: int
    age: float


class RecentRuns:
    """The runs of the last seconds, as they come.

    Args:
        began: When counting began.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._runs: deque[tuple[float, float, int]] = deque(maxlen=_RUNS)  # ends, seconds and items

    def __repr__(self) -> str:
        return f"<RecentRuns {len(self._runs)}>"

    def add(self, now: float, total: float, items: int) -> None:
        """Remember a run that ended now.

        Args:
            now: Now, on the steady clock, in seconds.
            total: What the run took, in seconds.
            items: Items in it.
        """
        self._runs.append((now, total, items))

    def look(self, now: float) -> Recent:
        """Return the figures of the last seconds.

        Args:
            now: Now, on the steady clock, in seconds.
        """
        full = len(self._runs) == _RUNS
        span = min(WINDOW, now - (self._runs[0][0] if full else self._began))
        runs = [(total, items) for at, total, items in self._runs if at >= now - span]
        times = [total for total, _ in runs]
        return Recent(
            seconds=span,
            runs=len(runs),
            items=sum(items for _, items in runs),
            p50=statistics.median(times) if times else None,
            p95=_quantile(times, 0.95),
        )


class FaultLog:
    """The last faults; like ones in a row are one."""

    def __init__(self) -> None:
        self._faults: deque[tuple[float, Fault]] = deque(maxlen=_FAULTS)

    def __repr__(self) -> str:
        return f"<FaultLog {len(self._faults)}>"

    def add(self, now: float, kind: str, code: str, where: str | None, model: str | None, reason: str) -> None:
        """Note a fault that happened now; see ``Fault``.

        Args:
            now: Now, on the steady clock, in seconds.
            kind: What failed: ``request``, ``load``, ``lane``, ``browser``, ``launch`` or ``host``.
            code: Code of the error.
            where: The lane or browser.
            model: Name of the model, where one is concerned.
            reason: The error's message.
        """
        times = 1
        if self._faults:
            last = self._faults[-1][1]
            if (last.kind, last.code, last.where, last.model) == (kind, code, where, model):
                times = self._faults.pop()[1].times + 1
        fault = Fault(kind=kind, code=code, where=where, model=model, reason=reason, times=times, age=0.0)
        self._faults.append((now, fault))

    def look(self, now: float) -> tuple[Fault, ...]:
        """Return the last faults, the newest first.

        Args:
            now: Now, on the steady clock, in seconds.
        """
        return tuple(replace(fault, age=now - at) for at, fault in reversed(self._faults))


def _quantile(values: Iterable[float], share: float) -> float | None:
    """Return the smallest value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    # The nearest rank, counted from 0. Floor division of a negative number rounds the rank up.
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else None
