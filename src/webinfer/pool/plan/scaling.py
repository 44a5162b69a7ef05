"""How many lanes there should be: more while requests wait, fewer when lanes are idle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from webinfer.core.placement import LaneId

PATIENCE = 0.25
"""Seconds for which requests must wait before a lane is added, counted anew with each lane: a short burst is done
before a new lane would have started and loaded its model."""


@dataclass(frozen=True, slots=True)
class ScalingLimits:
    """How far the number of lanes may go.

    Attributes:
        least: Lanes that are kept while idle, in all browsers together.
        most: Lanes that one browser may have.
        idle: Seconds without work after which a lane beyond ``least`` is ended; ``None`` for never.
    """

    least: int
    most: int
    idle: float | None


@dataclass(frozen=True, slots=True)
class LaneLoad:
    """A lane.

    Attributes:
        id: Which one it is.
        idle_since: When it was last at work; ``None`` while it is.
    """

    id: LaneId
    idle_since: float | None = None


@dataclass(frozen=True, slots=True)
class BrowserLoad:
    """A browser: its lanes, the oldest first, and what waits for them.

    Attributes:
        id: Its id.
        lanes: Lanes that can take work.
        starting: Lanes that will be able to.
        pressed_since: Since when requests have waited that its lanes have no room for, or since a lane was last
            added if that is later; ``None`` while none wait.
        full: It may not get further lanes: it is over its memory limit.
    """

    id: str
    lanes: Sequence[LaneLoad]
    starting: int = 0
    pressed_since: float | None = None
    full: bool = False


@dataclass(slots=True)
class LaneScaling:
    """What to do now.

    Attributes:
        grow: Browsers to start a lane in.
        end: Lanes to end, all idle.
        wake: When to look again though nothing happens; ``None`` where there is no need.
    """

    grow: list[str] = field(default_factory=list)
    end: list[LaneId] = field(default_factory=list)
    wake: float | None = None


def scale(browsers: Sequence[BrowserLoad], limits: ScalingLimits, now: float) -> LaneScaling:
    """Decide on lanes to start and to end.

    Up and down are far apart, so that the number does not swing. It goes up after ``PATIENCE`` under pressure, one lane
    at a time. It goes down after ``idle`` seconds without work, and never in a browser under pressure or growing.

    Args:
        browsers: All browsers.
        limits: How many lanes there may be.
        now: The time, on the caller's clock.

    Returns:
        How many lanes to start, and which to end.
    """
    todo = LaneScaling()
    resting: list[LaneLoad] = []
    spare = sum(len(browser.lanes) + browser.starting for browser in browsers) - limits.least
    for browser in browsers:
        if browser.pressed_since is not None or browser.starting:
            _grow(browser, limits, now, todo)
        else:
            resting += reversed(browser.lanes)  # the youngest first: the oldest holds the most sessions
    if limits.idle is not None and spare > 0:
        due = [(lane.idle_since + limits.idle, lane.id) for lane in resting if lane.idle_since is not None]
        due.sort(key=lambda lane: lane[0])
        _shrink(due[:spare], now, todo)
    return todo


def _grow(browser: BrowserLoad, limits: ScalingLimits, now: float, todo: LaneScaling) -> None:
    room = len(browser.lanes) + browser.starting < limits.most
    if browser.pressed_since is None or browser.starting or browser.full or not room:
        return
    due = browser.pressed_since + PATIENCE
    if due <= now:
        todo.grow.append(browser.id)
    else:
        _wake(todo, due)


def _shrink(due: Sequence[tuple[float, LaneId]], now: float, todo: LaneScaling) -> None:
    for at, lane in due:
        if at <= now:
            todo.end.append(lane)
        else:
            _wake(todo, at)


def _wake(todo: LaneScaling, at: float) -> None:
    todo.wake = at if todo.wake is None else min(todo.wake, at)
