"""What a pool has done lately, lane by lane and session by session, for whoever looks at it while it runs."""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from webinfer.core.errors import BrowserLost
from webinfer.core.lane_id import LaneId
from webinfer.pool.events import (
    BrowserEnded,
    BrowserRefused,
    BrowserStarted,
    Event,
    HostStalled,
    LaneEnded,
    LaneStarted,
    LoadFailedEvent,
    RunFailedEvent,
    RunFinished,
    SessionLoaded,
)
from webinfer.pool.plan.assignment import SessionKey
from webinfer.telemetry.counters.bounded import Kept

WINDOW = 10.0  # seconds that count as recent
_KEPT = 4096  # runs remembered for the recent figures; a faster pool's window is shorter. Likewise models and sessions
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


@dataclass(slots=True)
class LaneTally:
    """Sums for one lane.

    Attributes:
        runs: Requests that it answered.
        errors: Requests and loads that failed on it.
        busy: Seconds that it spent inside the runtime's runs.
        freed: When its last run ended, on the journal's clock.
    """

    freed: float
    runs: int = 0
    errors: int = 0
    busy: float = 0.0


@dataclass(slots=True)
class SessionTally:
    """Sums for one session on all lanes: requests answered, and attempts that failed."""

    runs: int = 0
    errors: int = 0


class Journal:
    """Sums and last faults since an accelerator was made; call it with each event.

    Args:
        clock: Seconds that only grow.

    Attributes:
        errors: Failed attempts of requests and loads, by code.
        recoveries: What was lost, retired on purpose and started, how often the event loop was blocked, and the
            requests that were run again or answered after that.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._names: Kept[str, str] = Kept(_KEPT)  # of models, by hash
        self._browsers: dict[str, float] = {}  # when they started
        self._lanes: dict[LaneId, LaneTally] = {}
        self._sessions: Kept[SessionKey, SessionTally] = Kept(_KEPT)
        self._recent: deque[tuple[float, RunFinished]] = deque(maxlen=_KEPT)
        self._faults: deque[tuple[float, Fault]] = deque(maxlen=_FAULTS)
        self.runs = self.items = self.loads = 0
        self.errors: Counter[str] = Counter()
        self.recoveries: Counter[str] = Counter(
            browsers_started=0,
            browsers_lost=0,
            browsers_retired=0,
            lanes_started=0,
            lanes_lost=0,
            lanes_retired=0,
            host_stalls=0,
            requests_rerun=0,
            requests_recovered=0,
        )

    def __repr__(self) -> str:
        return f"<Journal runs={self.runs} errors={self.errors.total()}>"

    @property
    def uptime(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began

    def name(self, sha256: str, model: str) -> None:
        """Remember a model's name."""
        self._names.keep(sha256, model)

    def named(self, sha256: str) -> str:
        """Return a model's name, or the start of its hash where it is not known."""
        return self._names.recall(sha256) or sha256[:12]

    def lane(self, id: LaneId) -> LaneTally:
        """Return a running lane's sums."""
        return self._lanes.get(id) or LaneTally(self._clock())

    def session(self, key: SessionKey) -> SessionTally:
        """Return a session's sums."""
        return self._sessions.get(key) or SessionTally()

    def browser_uptime(self, name: str) -> float:
        """Return the seconds since a running browser was ready."""
        now = self._clock()
        return now - self._browsers.get(name, now)

    def recent(self) -> Recent:
        """Return the figures of the last seconds."""
        now = self._clock()
        full = len(self._recent) == _KEPT
        span = min(WINDOW, now - (self._recent[0][0] if full else self._began))
        runs = [event for at, event in self._recent if at >= now - span]
        times = [event.total for event in runs]
        return Recent(
            seconds=span,
            runs=len(runs),
            items=sum(event.items for event in runs),
            p50=statistics.median(times) if times else None,
            p95=_quantile(times, 0.95),
        )

    def faults(self) -> tuple[Fault, ...]:
        """Return the last faults, the newest first."""
        now = self._clock()
        return tuple(replace(fault, age=now - at) for at, fault in reversed(self._faults))

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        match event:
            case RunFinished():
                self._finished(event)
            case RunFailedEvent():
                self.recoveries["requests_rerun"] += event.retried
                self._tally(event.key).errors += 1
                self._failed("request", event.code, event.lane, event.key, event.reason)
            case LoadFailedEvent():
                self._failed("load", event.code, event.lane, event.key, event.reason)
            case HostStalled():
                self.recoveries["host_stalls"] += 1
                self._note(
                    "host", HostStalled.code, None, None, f"The event loop was blocked for {event.seconds:.1f} s."
                )
            case SessionLoaded():
                self.loads += 1
            case LaneStarted():
                self.recoveries["lanes_started"] += 1
                self._lanes[event.lane] = LaneTally(self._clock())
            case LaneEnded():
                self.recoveries["lanes_lost" if event.lost else "lanes_retired"] += 1
                self._lanes.pop(event.lane, None)
                if event.lost:
                    self._note("lane", event.code, str(event.lane), None, event.cause)
            case BrowserStarted():
                self.recoveries["browsers_started"] += 1
                self._browsers[event.browser] = self._clock()
            case BrowserRefused():
                self._note("launch", event.code, event.name, None, event.cause)
            case BrowserEnded():
                self.recoveries["browsers_lost" if event.lost else "browsers_retired"] += 1
                self._browsers.pop(event.browser, None)
                if event.lost:
                    self._note("browser", BrowserLost.code, event.browser, None, event.cause)

    def _finished(self, event: RunFinished) -> None:
        now = self._clock()
        self.runs += 1
        self.items += event.items
        self.recoveries["requests_recovered"] += event.attempts > 1
        self._tally(event.key).runs += 1
        self._recent.append((now, event))
        if (lane := self._lanes.get(event.lane)) is not None:
            lane.runs += 1
            # Requests that ran together each tell the time of their one run; between two ends there is no more.
            lane.busy += min(event.run, now - lane.freed)
            lane.freed = now

    def _failed(self, kind: str, code: str, lane: LaneId | None, key: SessionKey, reason: str) -> None:
        self.errors[code] += 1
        if lane in self._lanes:
            self._lanes[lane].errors += 1
        self._note(kind, code, str(lane) if lane is not None else None, self.named(key.model), reason)

    def _note(self, kind: str, code: str, where: str | None, model: str | None, reason: str) -> None:
        times = 1
        if self._faults:
            last = self._faults[-1][1]
            if (last.kind, last.code, last.where, last.model) == (kind, code, where, model):
                times = self._faults.pop()[1].times + 1
        fault = Fault(kind=kind, code=code, where=where, model=model, reason=reason, times=times, age=0.0)
        self._faults.append((self._clock(), fault))

    def _tally(self, key: SessionKey) -> SessionTally:
        return self._sessions.recall(key) or self._sessions.keep(key, SessionTally())


def _quantile(values: Iterable[float], share: float) -> float | None:
    """Return the smallest value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else None
