"""What a pool announces. Listeners must return at once and not raise."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar

from webinfer.core.placement import LaneId, Placement
from webinfer.pool.plan.assignment import SessionKey


@dataclass(frozen=True, slots=True)
class BrowserStarted:
    """A browser is up, and its page has reported what it can do."""

    browser: str
    name: str
    engine_version: str
    pid: int
    seconds: float


@dataclass(frozen=True, slots=True)
class BrowserRefused:
    """A browser did not start: ``failures`` times in a row by now, and not again within ``pause`` seconds."""

    name: str
    code: str
    cause: str
    failures: int
    pause: float


@dataclass(frozen=True, slots=True)
class BrowserEnded:
    """A browser ended: it was lost, or retired on purpose."""

    browser: str
    name: str
    cause: str
    lost: bool = True


@dataclass(frozen=True, slots=True)
class HeartbeatMissed:
    """A browser's page left a ping unanswered until the next was due, for the ``missed``-th time."""

    browser: str
    missed: int


@dataclass(frozen=True, slots=True)
class LaneStarted:
    """A lane can take work."""

    lane: LaneId


@dataclass(frozen=True, slots=True)
class LaneEnded:
    """A lane ended: it was lost, or retired on purpose; then ``code`` is empty."""

    lane: LaneId
    code: str
    cause: str
    lost: bool = True


@dataclass(frozen=True, slots=True)
class HostStalled:
    """The event loop was blocked, so that a heartbeat and more fell out."""

    code: ClassVar[str] = "host.stalled"
    seconds: float


@dataclass(frozen=True, slots=True)
class SessionLoaded:
    """A session was created. ``fetch`` and ``create`` are the lane's times, ``seconds`` the host's; all in seconds.

    ``stored`` of the ``nbytes`` were in the browser's own store, and not fetched. ``placement`` says which backend
    each node went to, if the runtime reports it. ``captured`` is whether its runs are recorded, or why they are not;
    ``None`` where nobody asked for it.
    """

    lane: LaneId
    key: SessionKey
    nbytes: int
    seconds: float
    fetch: float
    create: float
    stored: int = 0
    placement: Placement | None = None
    captured: bool | str | None = None


@dataclass(frozen=True, slots=True)
class LoadFailedEvent:
    """A lane could not create a session."""

    lane: LaneId
    key: SessionKey
    code: str
    reason: str = ""


@dataclass(slots=True)  # not frozen: one is made for every request, and freezing quadruples its cost
class RunFinished:
    """A request was answered. All times in seconds.

    Attributes:
        items: Rows of its own inputs.
        together: Requests that the run served.
        recorded: Whether it goes into the database.
    """

    lane: LaneId
    browser: str
    key: SessionKey
    items: int
    queue: float
    transfer: float
    run: float
    total: float
    attempts: int
    together: int = 1
    recorded: bool = True


@dataclass(frozen=True, slots=True)
class BatchFinished:
    """A run of a model with dynamic batching ended. ``size`` counts its requests, ``run`` is in seconds.

    ``recorded`` is whether one of them goes into the database.
    """

    lane: LaneId
    key: SessionKey
    size: int
    run: float
    recorded: bool = True


@dataclass(frozen=True, slots=True)
class RunFailedEvent:
    """An attempt failed. ``lane`` is ``None`` for a request that waited."""

    key: SessionKey
    code: str
    attempts: int
    retried: bool
    lane: LaneId | None = None
    reason: str = ""
    recorded: bool = True


Event = (
    BrowserStarted
    | BrowserRefused
    | BrowserEnded
    | HeartbeatMissed
    | LaneStarted
    | LaneEnded
    | HostStalled
    | SessionLoaded
    | LoadFailedEvent
    | RunFinished
    | BatchFinished
    | RunFailedEvent
)
Listener = Callable[[Event], None]

_WORDS = re.compile("(?<=[a-z])(?=[A-Z])")
_LEFT_OUT = {"placement", "recorded"}  # a list of every node, in a record; and what is the database's matter


def log_fields(event: Event) -> dict[str, object]:
    """Return what a log record has of an event beside its sentence: ``event``, such as ``lane_ended``, and its fields.

    A session's key becomes ``model``, which is the hash of its files, ``backend`` and ``precision``; ``name``, which
    records have of their own, becomes ``browser_name``; a lane is written as ``b1.2``.

    Args:
        event: The event.
    """
    record: dict[str, object] = {"event": _WORDS.sub("_", type(event).__name__.removesuffix("Event")).lower()}
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, SessionKey):
            record |= {"model": value.model, "backend": value.backend, "precision": value.precision}
        elif field.name not in _LEFT_OUT:
            name = "browser_name" if field.name == "name" else field.name
            record[name] = str(value) if isinstance(value, LaneId) else value
    return record
