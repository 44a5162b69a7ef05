"""Running accelerators over time: their rates between two snapshots."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from webinfer.api.services.results import Entry, running
from webinfer.core.errors import HostError

HISTORY = 30  # snapshots whose throughput is drawn

Fields = Mapping[str, Any]  # a snapshot's fields


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates between two snapshots. ``busy`` is a share of the time. New lanes are left out."""

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
        entry: Its process and address.
        snapshot: Its latest snapshot; ``None`` before the first.
        rates: Rates since the snapshot before; ``None`` before the second.
        error: Why the latest snapshot failed, if it did.
        history: Runs per second between the latest snapshots.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.snapshot: Fields | None = None
        self.rates: Rates | None = None
        self.error: HostError | None = None
        self.history: deque[float] = deque(maxlen=HISTORY)

    def __repr__(self) -> str:
        return f"<Watch {self.entry!r} looks={len(self.history)}>"

    def look(self) -> None:
        """Take a snapshot."""
        try:
            snapshot = self.entry.status()
        except HostError as error:
            self.error = error
            return
        self.error = None
        # The uptime is the accelerator's own clock, so a slow answer does not distort the rates.
        if self.snapshot is not None and snapshot["uptime"] > self.snapshot["uptime"]:
            self.rates = compare(self.snapshot, snapshot)
            self.history.append(self.rates.runs)
        self.snapshot = snapshot


class Watches:
    """The accelerators that run, or those of one process."""

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self._known: dict[tuple[str, int, float], Watch] = {}

    def __repr__(self) -> str:
        return f"<Watches {len(self._known)}>"

    def look(self) -> list[Watch]:
        """Return the accelerators with new snapshots, the oldest first. New ones join, and those that ended leave."""
        entries = [entry for entry in running() if self._pid in (None, entry.pid)]
        keys = [(entry.origin, entry.pid, entry.started) for entry in entries]
        self._known = {key: self._known.get(key) or Watch(entry) for key, entry in zip(keys, entries, strict=True)}
        for watch in self._known.values():
            watch.look()
        return [watch for watch in self._known.values() if watch.error is None or not watch.entry.stale]


def compare(before: Fields, now: Fields) -> Rates:
    """Return the rates between two snapshots of one accelerator.

    Args:
        before: Fields of the earlier snapshot.
        now: Fields of the later one.
    """
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


def session_id(session: Fields) -> str:
    """Return a text that identifies a session.

    Args:
        session: Fields of the session.
    """
    return repr((session["model_sha256"], session["backend"], session["precision"], session["dimensions"]))


def _busy(before: Fields, now: Fields, span: float) -> float:
    if now["oldest"] is not None and now["oldest"] >= span:
        return 1.0  # one run takes the whole time, and counts only when it ends
    share: float = (now["busy"] - before["busy"]) / span
    return max(0.0, min(1.0, share))


def _lanes(snapshot: Fields) -> dict[str, Fields]:
    return {lane["id"]: lane for browser in snapshot["browsers"] for lane in browser["lanes"]}


def _runs(snapshot: Fields) -> dict[str, int]:
    return {session_id(entry["session"]): entry["runs"] for entry in snapshot["queue"]}
