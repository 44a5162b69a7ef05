"""Running accelerators over time: what each did between two looks at it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from webinfer.api.services.results import Entry, running
from webinfer.core.errors import HostError

HISTORY = 30  # looks whose throughput is drawn

Seen = Mapping[str, Any]  # a snapshot's fields


@dataclass(frozen=True, slots=True)
class Rates:
    """What went on between two looks. ``busy`` is a share of the time; a lane that was not there before is left out."""

    seconds: float
    runs: float
    items: float
    errors: float
    lane_runs: dict[str, float] = field(default_factory=dict)
    lane_busy: dict[str, float] = field(default_factory=dict)
    session_runs: dict[str, float] = field(default_factory=dict)


class Watch:
    """One accelerator over time.

    Attributes:
        entry: Where it is.
        seen: What it was doing when last looked at; ``None`` before that.
        rates: What went on since the look before; ``None`` before the second.
        error: Why the last look failed, if it did.
        history: Runs per second between the last looks.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.seen: Seen | None = None
        self.rates: Rates | None = None
        self.error: HostError | None = None
        self.history: deque[float] = deque(maxlen=HISTORY)

    def __repr__(self) -> str:
        return f"<Watch {self.entry!r} looks={len(self.history)}>"

    def look(self) -> None:
        """Ask it again."""
        try:
            seen = self.entry.status()
        except HostError as error:
            self.error = error
            return
        self.error = None
        if self.seen is not None and seen["uptime"] > self.seen["uptime"]:
            self.rates = compare(self.seen, seen)
            self.history.append(self.rates.runs)
        self.seen = seen


class Watches:
    """The accelerators that run, or the ones of one process."""

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self._known: dict[tuple[str, int, float], Watch] = {}

    def __repr__(self) -> str:
        return f"<Watches {len(self._known)}>"

    def look(self) -> list[Watch]:
        """Look at each, at new ones too, and forget those that are gone; the oldest comes first."""
        entries = [entry for entry in running() if self._pid in (None, entry.pid)]
        keys = [(entry.origin, entry.pid, entry.started) for entry in entries]
        self._known = {key: self._known.get(key) or Watch(entry) for key, entry in zip(keys, entries, strict=True)}
        for watch in self._known.values():
            watch.look()
        return [watch for watch in self._known.values() if watch.error is None or not watch.entry.stale]


def compare(before: Seen, now: Seen) -> Rates:
    """Return what went on between two snapshots of one accelerator."""
    span = now["uptime"] - before["uptime"]
    lanes, sessions = _lanes(before), _runs(before)
    pairs = [(lane, lanes[name]) for name, lane in _lanes(now).items() if name in lanes]
    return Rates(
        seconds=span,
        runs=(now["totals"]["runs"] - before["totals"]["runs"]) / span,
        items=(now["totals"]["items"] - before["totals"]["items"]) / span,
        errors=(sum(now["errors"].values()) - sum(before["errors"].values())) / span,
        lane_runs={lane["id"]: (lane["runs"] - old["runs"]) / span for lane, old in pairs},
        lane_busy={lane["id"]: _busy(old, lane, span) for lane, old in pairs},
        session_runs={name: (runs - sessions.get(name, 0)) / span for name, runs in _runs(now).items()},
    )


def session_id(session: Seen) -> str:
    """Return what tells a session from all others."""
    return repr((session["model_sha256"], session["backend"], session["precision"], session["dimensions"]))


def _busy(before: Seen, now: Seen, span: float) -> float:
    if now["oldest"] is not None and now["oldest"] >= span:
        return 1.0  # one run lasts all the while, and is counted when it ends
    share: float = (now["busy"] - before["busy"]) / span
    return max(0.0, min(1.0, share))


def _lanes(seen: Seen) -> dict[str, Seen]:
    return {lane["id"]: lane for browser in seen["browsers"] for lane in browser["lanes"]}


def _runs(seen: Seen) -> dict[str, int]:
    return {session_id(each["session"]): each["runs"] for each in seen["queue"]}
